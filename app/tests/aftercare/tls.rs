//! Receivers behind TLS: one that is trusted, one whose authority nobody knows, one with another's name, one whose
//! certificate has expired. The certificates are those of `testbed/fixtures/tls`.

use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use unship::aftercare::{Carrier, Courier, Credentials, MailCourier, MailTls, Step, WorldCarrier};
use unship::sender::HttpSender;
use unship_core::aftercare::Suspects;

use super::parts::notice;
use super::receiver::OK;
use super::servers::{free_port, mail_server};
use super::site::{Site, repository};

pub fn fixture(name: &str) -> PathBuf {
    repository().join("testbed/fixtures/tls").join(name)
}

/// A server that shows the certificate.
pub fn server_config(certificate: &str) -> Arc<ServerConfig> {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let chain = vec![CertificateDer::from_pem_file(fixture(certificate)).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).expect("a key");
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they fit");
    Arc::new(config)
}

/// A receiver that shows the certificate; its address, and how many whole requests it got.
fn receiver(certificate: &str) -> (String, Arc<AtomicUsize>) {
    let config = server_config(certificate);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/hook", listener.local_addr().expect("an address"));
    let got = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&got);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            let mut request = Vec::new();
            let mut buffer = [0; 4_096];
            // A client that does not trust it says nothing.
            while !request.ends_with(b"}") {
                match stream.read(&mut buffer) {
                    Ok(length @ 1..) => request.extend_from_slice(&buffer[..length]),
                    _ => break,
                }
            }
            if request.starts_with(b"POST /hook ") {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.get_mut().write_all(OK.as_bytes());
                let _ = stream.get_mut().flush();
            }
        }
    });
    (url, got)
}

#[test]
fn only_a_receiver_that_can_be_trusted_hears_anything_and_the_rollback_is_none_the_worse() {
    let receivers = ["server.pem", "other.pem", "expired.pem"].map(receiver);
    let mut lines =
        format!("[aftercare]\nbudget = \"3s\"\nca_file = \"{}\"\n", fixture("authority.pem").display());
    for ((url, _), name) in receivers.iter().zip(["trusted", "other", "expired"]) {
        lines.push_str(&format!(
            "[[aftercare.note]]\nvia = \"webhook\"\nname = \"{name}\"\nurl = \"{url}\"\n"
        ));
    }
    let site = Site::with(&lines);
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let went = site.unship(&["rollback", "--yes"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    let got: Vec<usize> = receivers.iter().map(|(_, got)| got.load(Ordering::SeqCst)).collect();
    assert_eq!(got, [1, 0, 0], "{}", went.stderr);
    let status = site.unship(&["status"]).stdout;
    for (name, owed) in [("trusted", false), ("other", true), ("expired", true)] {
        assert_eq!(status.contains(&format!(".rollback.{name}")), owed, "{name}: {status}");
    }
    let list = site.unship(&["aftercare", "list"]).stdout.to_lowercase();
    assert!(list.contains("certificate"), "it says what is wrong: {list}");

    // The same receiver without the authority.
    let text = fs_err::read_to_string(site.config()).expect("reads");
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("ca_file")).collect();
    fs_err::write(site.config(), without.join("\n")).expect("writes");
    assert_eq!(site.unship(&["deploy", "1.6.0"]).status, 0);
    let went = site.unship(&["rollback", "--yes"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert_eq!(receivers[0].1.load(Ordering::SeqCst), 1, "{}", went.stderr);
}

#[tokio::test]
async fn mail_goes_over_tls_to_a_server_that_is_trusted_and_to_no_other() {
    let port = free_port();
    let paths = ["server.pem", "server.key"].map(|name| fixture(name).display().to_string());
    let Some(server) = mail_server(port, &["--tlscert", &paths[0], "--tlskey", &paths[1]]) else { return };
    let courier = MailCourier {
        host: "127.0.0.1".into(),
        port,
        tls: MailTls::Starttls,
        user: None,
        from: "unship@example.org".into(),
        to: vec!["on-call@example.org".into()],
    };
    let (notice, suspects) = (notice("20261123T031500-000-1"), Suspects::No { why: "nobody looked".into() });
    let letter =
        unship::aftercare::Letter { notice: &notice, key: "k", may_repeat: false, suspects: &suspects };
    let Step::Act(request) = courier.step(&letter, &[]) else { panic!("an act") };
    for (certificates, trusted) in [(None, false), (Some(fixture("authority.pem")), true)] {
        let sender = Arc::new(HttpSender::new(None).expect("a sender"));
        let carrier = WorldCarrier { sender, certificates };
        let came = carrier.carry(&request, &Credentials::default(), 10_000).await;
        match came {
            Ok(_) => assert!(trusted),
            Err(error) => {
                assert!(!trusted && !error.may_have_arrived, "{error:?}");
                assert!(error.why.to_lowercase().contains("certificate"), "{error:?}");
            }
        }
    }
    assert_eq!(server.printed().matches("MESSAGE FOLLOWS").count(), 1);
}
