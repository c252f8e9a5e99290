//! Runs a down for good, as it would be run on a live database: in one transaction, with its locks seen.

use std::collections::BTreeSet;

use unship_core::down::Trial;
use unship_core::schema::{Catalog, Kind};
use unship_core::sql::ObjectName;
use unship_core::tools::Migration;
use unship_core::verdict::RunFailure;

use super::super::failure::Failure;
use super::super::queries::Definition;
use super::super::script::Prepared;
use super::super::{Piece, ShadowError, queries};
use super::{HELP_MAX, PostgresShadow, is_artefact};

/// How a down went in one transaction.
enum Ended {
    /// Committed, with what it locked.
    Done(Vec<ObjectName>),
    /// No transaction can hold it.
    Outside(String),
    Failed(RunFailure),
}

impl PostgresShadow {
    pub(super) async fn run_down(&mut self, migration: &Migration) -> Result<Trial, ShadowError> {
        if self.is_stale {
            self.reading = self.read_since_base().await?;
            self.is_stale = false;
        }
        let before = self.visible(&self.reading);
        let Some(script) = migration.down.script() else { return Ok(Trial::of_nothing(before)) };
        let prepared = match Prepared::of(migration.tool, script, &self.limits) {
            Ok(prepared) => prepared,
            Err(failure) => return Ok(Trial::failed(before, failure, Vec::new())),
        };
        let mut remarks = prepared.remarks.clone();
        let prepared = self.without_missing(prepared);
        let columns = queries::definitions(self.session.connection().await?).await?;
        let ended = if prepared.fits_transaction() {
            self.down_in_one(&prepared, &before, &mut remarks).await?
        } else {
            Ended::Outside("it ends a transaction in a way of its own".to_owned())
        };
        let (locks, outside) = match ended {
            Ended::Done(locks) => (locks, None),
            Ended::Failed(failure) => return Ok(Trial::failed(before, failure, remarks)),
            Ended::Outside(why) => {
                // It may fail halfway, and the database must then be as it was.
                self.session.enter_clone().await?;
                let tried = self.run_alone(prepared.clone(), script.wrap, &mut Vec::new()).await;
                self.session.leave_clone().await?;
                if let Err(failure) = tried? {
                    return Ok(Trial::failed(before, failure, remarks));
                }
                if let Err(failure) = self.run_alone(prepared, script.wrap, &mut remarks).await? {
                    return Ok(Trial::failed(before, failure, remarks));
                }
                (Vec::new(), Some(why))
            }
        };
        self.reading = self.read_since_base().await?;
        remarks.dedup();
        let rewritten = self.rewritten(&columns, &before).await?;
        Ok(Trial { before, after: Ok(self.visible(&self.reading)), outside, locks, rewritten, remarks })
    }

    /// Columns whose values were written anew since, by the names that they had `before`.
    async fn rewritten(
        &mut self,
        columns: &[Definition],
        before: &Catalog,
    ) -> Result<Vec<(ObjectName, String)>, ShadowError> {
        let now = queries::definitions(self.session.connection().await?).await?;
        let written = columns.iter().filter(|was| now.iter().any(|now| now.is_rewritten_since(was)));
        let named = written
            .flat_map(|was| names(&[was.table], before).into_iter().map(|table| (table, was.name.clone())));
        Ok(named.collect())
    }

    async fn down_in_one(
        &mut self,
        script: &Prepared,
        before: &Catalog,
        remarks: &mut Vec<String>,
    ) -> Result<Ended, ShadowError> {
        let mut script = script.inside_transaction();
        for _ in 0..HELP_MAX {
            let failure = match self.commit_nested(&script, before).await? {
                Ok(locks) => return Ok(Ended::Done(locks)),
                Err(failure) => failure,
            };
            match self.help(&script, &failure, remarks).await? {
                Some(helped) => script = helped,
                None if failure.is_connection_lost => return Ok(Ended::Failed(script.place(failure))),
                None if is_artefact(&failure) => return Ok(Ended::Outside(failure.message)),
                None => {
                    let failure = self.locate(&script, failure).await?;
                    return Ok(Ended::Failed(script.place(failure)));
                }
            }
        }
        let why = format!("not finished: it lacks more than {HELP_MAX} roles or extensions");
        Ok(Ended::Failed(RunFailure::not_sent(&script.path(), None, why)))
    }

    async fn commit_nested(
        &mut self,
        script: &Prepared,
        before: &Catalog,
    ) -> Result<Result<Vec<ObjectName>, Failure>, ShadowError> {
        self.session.say("BEGIN").await?;
        self.session.start_clock();
        let mut ended = self.run_nested(script).await?.map(|()| Vec::new());
        if ended.is_ok() {
            let held = queries::locked(self.session.connection().await?).await?;
            let last = script.pieces.len().saturating_sub(1);
            let commit = [Piece::Sql("COMMIT".to_owned())];
            let committed = self.session.run(&commit, 0).await?;
            ended = committed.map(|()| names(&held, before)).map_err(|failure| Failure {
                piece: last,
                position: None,
                ..failure
            });
        }
        // What a script leaves open or set ends with its session; here the session goes on.
        self.session.say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION; DISCARD TEMP").await?;
        Ok(ended)
    }
}

/// Tables by their numbers, as they were called before; those that it dropped too.
fn names(held: &[i64], before: &Catalog) -> Vec<ObjectName> {
    let tables = before.objects().filter(|object| object.kind == Kind::Table);
    let locked = tables.filter(|object| held.contains(&i64::from(object.address.oid)));
    let names: BTreeSet<ObjectName> = locked
        .map(|object| ObjectName {
            schema: Some(object.name.schema.clone()),
            name: object.name.object.clone(),
        })
        .collect();
    names.into_iter().collect()
}
