//! A reading of what changed says the same as a reading of everything, after every fixture.

use std::sync::Arc;

use unship::database::postgres::catalog;
use unship::database::shadow::Limits;
use unship::database::shadow::postgres::{Binaries, Cluster, Piece, Server, Session};
use unship_core::schema::diff;

use crate::world::{has_postgres, repository};

#[test]
fn reading_what_changed_is_reading_everything() {
    if !has_postgres() {
        return;
    }
    let folder = repository().join("testbed/fixtures/check/classes");
    let mut ups: Vec<_> = std::fs::read_dir(folder)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(".up.sql"))
        .collect();
    ups.sort();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let limits = Limits::default();
        let cluster =
            Cluster::start(Binaries::find(None).expect("binaries"), &limits).await.expect("a cluster");
        let mut session =
            Session::open(Arc::new(Server::Throwaway(cluster)), limits).await.expect("a session");
        let mut base =
            catalog::read(session.connection().await.expect("connected")).await.expect("a reading");
        for up in ups {
            let sql = std::fs::read_to_string(&up).expect("a file");
            session.say("RESET ALL").await.expect("reset");
            // Some fixtures fail on purpose; what they leave is read all the same.
            let _ = session.run(&[Piece::Sql(sql)], 0).await.expect("the session lives");
            session.say("ROLLBACK; RESET ROLE").await.expect("reset");
            let conn = session.connection().await.expect("connected");
            let since = catalog::read_since(conn, &base).await.expect("a reading");
            let whole = catalog::read(conn).await.expect("a reading");
            let differences: Vec<String> =
                diff(&whole.catalog, &since.catalog).iter().map(ToString::to_string).collect();
            assert!(differences.is_empty(), "{}: {differences:?}", up.display());
            assert_eq!(whole.catalog.len(), since.catalog.len(), "{}", up.display());
            base = since;
        }
    });
}
