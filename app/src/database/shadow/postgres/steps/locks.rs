//! Which locks an up takes on tables that were there before it, and which tables it writes anew.

use std::sync::Arc;

use unship_core::schema::Catalog;
use unship_core::tools::Migration;
use unship_core::verdict::TableLock;

use super::super::failure::Failure;
use super::super::script::Prepared;
use super::super::{Piece, ShadowError, queries};
use super::{PostgresShadow, is_artefact};

impl PostgresShadow {
    /// Runs pieces that are transactions of their own, each held open until its locks were seen.
    pub(super) async fn run_apart(
        &mut self,
        script: &Prepared,
        from: usize,
    ) -> Result<Result<(), Failure>, ShadowError> {
        self.session.say("RESET ALL").await?;
        let mut outcome = Ok(());
        for place in from..script.pieces.len() {
            self.session.say("BEGIN").await?;
            outcome = self.session.run(&script.pieces[..=place], place).await?;
            if outcome.is_ok() {
                self.note_locks().await?;
                let commit = [Piece::Sql("COMMIT".to_owned())];
                let ended = self.session.run(&commit, 0).await?;
                outcome = ended.map_err(|failure| Failure { piece: place, position: None, ..failure });
            } else if outcome
                .as_ref()
                .is_err_and(|failure| !failure.is_connection_lost && is_artefact(failure))
            {
                // Sent as its tool does, it goes; its locks end with each of its own transactions.
                self.session.say("ROLLBACK").await?;
                outcome = self.session.run(&script.pieces[..=place], place).await?;
            }
            if outcome.is_err() {
                break;
            }
        }
        self.session.say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION; DISCARD TEMP").await?;
        Ok(outcome)
    }

    /// Adds the locks of the open transaction, which are gone when it ends.
    pub(super) async fn note_locks(&mut self) -> Result<(), ShadowError> {
        // A script may leave the session in a state that cannot be read; then the transaction must still go on.
        self.session.say("SAVEPOINT unship_locks").await?;
        match queries::locks(self.session.connection().await?).await {
            Ok(held) => self.held.extend(held),
            Err(_) => self.session.say("ROLLBACK TO SAVEPOINT unship_locks").await?,
        }
        Ok(())
    }

    /// What the up that ran last held of tables that were there before it. A table that is in another file now was
    /// written anew.
    pub(super) fn locks_of(&mut self, migration: &Migration, before: &Catalog) -> Vec<TableLock> {
        let Some(files) = &mut self.files else { return Vec::new() };
        let mut locks: Vec<TableLock> = Vec::new();
        for held in queries::strongest(&self.held) {
            // A table is made with its own number for its file.
            let was = files.insert(held.oid, held.file).unwrap_or(held.oid);
            let known = |object: &Arc<unship_core::schema::Object>| {
                i64::from(object.address.oid) == held.oid && before.has_table(&object.name)
            };
            if before.objects().any(known) {
                locks.push(TableLock {
                    migration: migration.id.clone(),
                    table: held.table.clone(),
                    mode: held.mode_words().to_owned(),
                    rewrites: held.file != 0 && was != held.file,
                });
            }
        }
        locks
    }
}
