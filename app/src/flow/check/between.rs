//! What lies between two releases beside the migrations themselves: the older one's queries, its boot, and the
//! schema on both sides.

use std::sync::Arc;

use unship_core::queries::{Outcome, Query, QueryRun};
use unship_core::schema::Catalog;
use unship_core::tools::{self, Migration, MigrationSet, Migrator};
use unship_core::verdict::{
    Boot, BootAnswer, SpanEvidence, SpanStep, SpanVerdict, StepReport, StepRun, TableLock, Told, Uses, judge,
    judge_span,
};

use crate::ports::{AtStart, BootSaid, Shadow, ShadowFailure};

/// The queries of the older release.
#[derive(Debug, Clone)]
pub struct OldQueries {
    pub queries: Vec<Query>,
    /// Where they come from, for people.
    pub source: String,
    /// As whom the service connects, if that is known.
    pub role: Option<String>,
}

/// The two releases.
#[derive(Debug, Clone)]
pub(super) struct Between {
    old: MigrationSet,
    new: MigrationSet,
    queries: Option<OldQueries>,
    boot: Boot,
}

/// What the shadow says at one end of the span.
pub(super) struct Side {
    catalog: Catalog,
    outcomes: Vec<Outcome>,
}

impl Side {
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub async fn look(shadow: &mut dyn Shadow, between: &Between) -> Result<Side, ShadowFailure> {
        let catalog = shadow.catalog().await?;
        let outcomes = match &between.queries {
            Some(old) => shadow.plan_queries(&old.queries, old.role.as_deref()).await?,
            None => Vec::new(),
        };
        Ok(Side { catalog, outcomes })
    }
}

impl Between {
    pub fn of(
        old: &MigrationSet,
        new: &MigrationSet,
        queries: Option<OldQueries>,
        start: AtStart,
    ) -> Between {
        let migrator = start.migrator.unwrap_or(Migrator::Read(old.tool));
        let said = |why: &str| Boot { answer: BootAnswer::Starts, why: why.to_owned(), proven: false };
        let boot = match start.boot {
            BootSaid::ByTool => Boot::by_rule(&tools::boots(migrator, old, new)),
            BootSaid::IgnoresNewer => said("it was said to ignore newer migrations"),
            BootSaid::RunsNone => said("it was said to run no migrator when it starts"),
        };
        let queries = queries.filter(|old| !old.queries.is_empty());
        Between { old: old.clone(), new: new.clone(), queries, boot }
    }

    /// Judges the span, and every step of it again with what the queries say.
    pub fn judge(
        &self,
        migrations: &[Arc<Migration>],
        reports: &mut [StepReport],
        ran: &[(Told, StepRun)],
        before: Side,
        after: Side,
    ) -> SpanVerdict {
        let uses = self.queries.as_ref().map(|old| {
            let runs = old.queries.iter().cloned().zip(before.outcomes).zip(after.outcomes);
            let runs = runs.map(|((query, before), after)| QueryRun { query, before, after }).collect();
            let (source, role) = (old.source.clone(), old.role.clone());
            Uses::new(runs, &before.catalog, &after.catalog, source, role)
        });
        if uses.is_some() {
            for ((migration, report), (told, run)) in migrations.iter().zip(reports.iter_mut()).zip(ran) {
                let again = judge(migration, told, run, uses.as_ref());
                (report.verdict, report.reasons) = (again.verdict, again.reasons);
            }
        }
        let steps: Vec<SpanStep> = migrations
            .iter()
            .zip(reports.iter())
            .zip(ran)
            .map(|((migration, report), (told, _))| SpanStep { migration, told, report })
            .collect();
        let locks: Vec<TableLock> = ran.iter().flat_map(|(_, run)| run.locks.clone()).collect();
        judge_span(&SpanEvidence {
            before: &before.catalog,
            after: &after.catalog,
            steps: &steps,
            compared: Some(&tools::compare(&self.old, &self.new)),
            uses: uses.as_ref(),
            boot: &self.boot,
            locks: &locks,
        })
    }
}
