//! Mail, to a server that others wrote: aiosmtpd.

use unship::aftercare::{MailCourier, MailTls, SecretSources};
use unship::ports::{Aftercare, DeliveryState};

use super::parts::{Desk, notice};
use super::servers::{free_port, mail_server};

fn courier(port: u16, tls: MailTls) -> MailCourier {
    MailCourier {
        host: "127.0.0.1".into(),
        port,
        tls,
        user: None,
        from: "unship <unship@example.org>".into(),
        to: vec!["on-call@example.org".into(), "Second <second@example.org>".into()],
    }
}

#[tokio::test]
async fn a_mail_arrives_and_after_a_kill_a_second_one_that_says_so() {
    let port = free_port();
    let Some(server) = mail_server(port, &[]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::new(folder.path(), Box::new(courier(port, MailTls::None)), SecretSources::default());
    let mut hostile = notice("20261123T031500-000-1");
    hostile.reason = "panic loop\r\nBcc: everybody@example.org\r\n.\r\nMAIL FROM:<x@y>".into();
    desk.outbox.tell(&hostile).await.expect("is owed");
    desk.die().await;
    assert_eq!(desk.deliver().await.state, DeliveryState::Delivered);
    let printed = server.printed();
    assert_eq!(printed.matches("MESSAGE FOLLOWS").count(), 2, "{printed}");
    assert_eq!(printed.matches("Message-ID: <20261123T031500-000-1.rollback.tried@unship>").count(), 2);
    assert_eq!(printed.matches("may repeat").count(), 1, "{printed}");
    assert!(printed.contains("Subject: shithub production: v1.4.0 taken back to v1.3.2"), "{printed}");
    assert!(printed.contains("Auto-Submitted: auto-generated"), "{printed}");
    assert!(!printed.lines().any(|line| line.starts_with("Bcc:")), "{printed}");
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_mail_where_it_is_required() {
    let port = free_port();
    let Some(server) = mail_server(port, &[]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::new(folder.path(), Box::new(courier(port, MailTls::Starttls)), SecretSources::default());
    desk.outbox.tell(&notice("20261123T031500-000-1")).await.expect("is owed");
    let delivery = desk.deliver().await;
    assert_eq!(delivery.state, DeliveryState::Waiting, "{delivery:?}");
    assert!(!server.printed().contains("MESSAGE FOLLOWS"));
}
