//! A database that is reached through a host: a real server of PostgreSQL that listens to its own machine alone.

use std::sync::Arc;

use unship::database::postgres::live::PostgresDatabase;
use unship::database::shadow::postgres::{Binaries, Cluster, PostgresShadow, Server as Databases};
use unship::ports::{Database as _, Shadow as _, Tunnels};
use unship::transport::{SshOptions, SshTunnels};
use unship::wire::ShadowLimits;
use unship_core::tools::Tool;

use super::server::{Server, server};

fn tunnels(server: &Server) -> Arc<dyn Tunnels> {
    Arc::new(SshTunnels { options: SshOptions::from(&server.table()), to: server.destination(0) })
}

/// The way through the first host to a database at `url`.
fn database(server: &Server, url: &str) -> PostgresDatabase {
    let url_file = server.folder.path().join("database-url");
    fs_err::write(&url_file, url).expect("a file");
    PostgresDatabase { url_file, through: Some(tunnels(server)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_only_a_host_reaches_is_looked_at_through_it() {
    let Some(server) = server(1) else { return };
    let binaries = match Binaries::find(None) {
        Ok(binaries) => binaries,
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{error}");
            return crate::say(&format!("SKIP: {error}"));
        }
    };
    let cluster = Cluster::start(binaries, &ShadowLimits::default()).await.expect("a cluster");
    let databases = Arc::new(Databases::Throwaway(cluster));
    let mut shadow = PostgresShadow::open(databases, ShadowLimits::default(), &[]).await.expect("a database");
    let url = shadow.lend(&[]).await.expect("an address").url;
    let through = database(&server, &url);
    let live = through.look(Tool::Sqlx).await.expect("it is looked at");
    assert!(live.name.starts_with("PostgreSQL "), "{live:?}");
    assert!(live.applied.versions.is_empty());
    assert_eq!(server.lines(0), Vec::<String>::new(), "nothing is run on the host");
    // Two ways at once are two sockets.
    let (one, two) = tokio::join!(through.fences(), through.look(Tool::Sqlx));
    assert_eq!(one.expect("it answers").len(), 0);
    two.expect("it answers");
}

#[tokio::test]
async fn a_changed_host_key_is_refused_and_the_password_is_not_said() {
    let Some(mut server) = server(1) else { return };
    server.change_host_key();
    let through = database(&server, "postgres://app:hunter2@db.internal/app");
    let failure = through.look(Tool::Sqlx).await.expect_err("it is not gone through");
    assert!(failure.message.contains("its host key is not the one that is known"), "{failure:?}");
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
}

#[tokio::test]
async fn nothing_that_listens_behind_the_host_is_told_as_that() {
    let Some(server) = server(1) else { return };
    let free = super::server::free_ports(1)[0];
    let through = database(&server, &format!("postgres://app:hunter2@127.0.0.1:{free}/app"));
    let failure = through.look(Tool::Sqlx).await.expect_err("nothing listens");
    assert!(failure.message.contains("cannot connect to the database"), "{failure:?}");
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
}
