//! The service's database as a model: versions, fences and salvages in memory, changed wholly or not at all, and an
//! eye on whether anything serves while the schema changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use unship::ports::*;
use unship_core::down::{Allowed, Applied, Dialect, Loss, LossKind, Program, RowChange, Session, Value};
use unship_core::protocol::InstanceState;
use unship_core::release::{Digest, Release};
use unship_core::schema::Catalog;
use unship_core::sql::ObjectName;
use unship_core::time::Timestamp;
use unship_core::tools::{Migration, Tool};

use super::host::ModelHost;
use super::lock;
use crate::points::Points;

/// The versions of `v1`, and what `v2` brings.
pub const OLD: &str = "1";
pub const NEW: [&str; 2] = ["2", "3"];

#[derive(Debug, Clone, Default)]
pub struct DatabaseState {
    /// Version to the rows that only the newer release wrote.
    pub applied: BTreeMap<String, u32>,
    pub fences: Vec<Fence>,
    pub salvaged: Vec<Salvaged>,
    epoch: u64,
    /// Asked to, it refuses every step down.
    pub refuses: bool,
    /// The same for every step up.
    pub refuses_up: bool,
    pub violations: Vec<String>,
}

impl DatabaseState {
    /// As it is when `v2` serves.
    pub fn new() -> DatabaseState {
        let applied = [OLD, NEW[0], NEW[1]].map(|version| (version.to_owned(), 7));
        DatabaseState { applied: applied.into(), ..DatabaseState::default() }
    }

    pub fn versions(&self) -> Vec<&str> {
        self.applied.keys().map(String::as_str).collect()
    }
}

/// The steps down from `v2` to `v1`.
pub fn programs() -> Vec<Program> {
    let table = ObjectName { schema: None, name: "_sqlx_migrations".into() };
    let lost = ObjectName { schema: None, name: "notes".into() };
    let before = [(NEW[1], vec![OLD, NEW[0], NEW[1]]), (NEW[0], vec![OLD, NEW[0]])];
    let program = |(version, applied): (&str, Vec<&str>)| Program {
        dialect: Dialect::Postgres,
        tool: Tool::Sqlx,
        migration: format!("000{version}_notes"),
        version: version.into(),
        version_before: applied.iter().rev().nth(1).map(ToString::to_string),
        applied: applied.into_iter().map(str::to_owned).collect(),
        down: Digest::of(version.as_bytes()),
        session: Session { lock_ms_max: 1, lock_attempts_max: 1, statement_ms_max: 1 },
        table: table.clone(),
        tool_lock: None,
        locks: Vec::new(),
        allowed: vec![Allowed { kind: LossKind::Table { table: lost.clone() }, affected_max: 10 }],
        captured: Vec::new(),
        batches: vec!["DROP TABLE notes".into()],
        rows: vec![RowChange {
            sql: "DELETE FROM {table} WHERE version = $1".into(),
            values: vec![Value::Number(version.parse().expect("a number"))],
        }],
        delta: Vec::new(),
        atomic: true,
        foreign_keys: true,
        fence: true,
    };
    before.map(program).into()
}

pub struct ModelDatabase {
    pub state: Arc<Mutex<DatabaseState>>,
    /// Those that must not serve while the schema changes; none where they are real.
    pub hosts: Vec<Arc<Mutex<ModelHost>>>,
    pub points: Arc<Points>,
}

fn failure(message: &str) -> DatabaseFailure {
    DatabaseFailure { message: message.to_owned(), hint: None, in_doubt: false }
}

impl ModelDatabase {
    /// Nothing of the service runs while its schema changes.
    fn watch(&self, what: &str) {
        for host in &self.hosts {
            let host = lock(host);
            let serves = |one: &unship_core::protocol::Instance| {
                !one.release.is_hold() && one.state != InstanceState::Draining
            };
            if let Some(one) = host.state().instances.iter().find(|one| serves(one)) {
                let text = format!("{what} while {} serves {}", host.name, one.release);
                lock(&self.state).violations.push(text);
            }
        }
    }
}

#[async_trait]
impl Database for ModelDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn look(&self, _: Tool) -> Result<Live, DatabaseFailure> {
        let versions = lock(&self.state).applied.keys().cloned().collect();
        Ok(Live {
            name: "a model".into(),
            database: "model".into(),
            table: None,
            applied: Applied { versions, dirty: false },
            checksums: Vec::new(),
            cannot_change: None,
        })
    }

    async fn catalog(&self, _: Tool) -> Result<Catalog, DatabaseFailure> {
        Ok(Catalog::default())
    }

    async fn count(&self, _: &[LossKind], _: Option<Timestamp>) -> Result<Vec<Loss>, DatabaseFailure> {
        Ok(Vec::new())
    }

    async fn in_the_way(&self, _: &Catalog, _: &Catalog) -> Result<Vec<String>, DatabaseFailure> {
        Ok(Vec::new())
    }

    async fn step_down(
        &self,
        program: &Program,
        by: &StepBy,
        _: &dyn Progress,
    ) -> Result<SteppedDown, DatabaseFailure> {
        self.points.pass("inside, the step down before its transaction");
        self.watch("a migration is taken down");
        {
            let mut state = lock(&self.state);
            if by.epoch.0 < state.epoch {
                return Err(failure("a higher epoch was here"));
            }
            if state.refuses {
                return Err(failure("canceling statement due to lock timeout"));
            }
            if state.versions() != program.applied {
                return Err(failure("other versions are applied"));
            }
            state.epoch = by.epoch.0;
            let rows = state.applied.remove(&program.version).unwrap_or_default();
            let store = Store {
                kind: program.allowed[0].kind.clone(),
                place: ObjectName { schema: None, name: "store".into() },
                rows: rows.into(),
                bytes: 0,
            };
            state.salvaged.push(Salvaged {
                run: by.run.clone(),
                step: by.step,
                migration: program.migration.clone(),
                version: program.version.clone(),
                release: by.release.clone(),
                at: by.at,
                stores: vec![store],
                restored: None,
            });
            state.fences.push(Fence {
                migration: program.migration.clone(),
                version: program.version.clone(),
                release: by.release.clone(),
                run: by.run.clone(),
                reason: by.reason.clone(),
                since: by.at,
            });
        }
        self.points.pass("inside, the step down after its transaction");
        Ok(SteppedDown { said: vec!["1 table salvaged".into()], locked_us: 1 })
    }

    async fn landed(&self, program: &Program) -> Result<Landed, DatabaseFailure> {
        let state = lock(&self.state);
        let (now, after) = (state.versions(), &program.applied[..program.applied.len() - 1]);
        Ok(if now == program.applied {
            Landed::Before
        } else if now == after {
            Landed::After
        } else {
            Landed::Neither { why: format!("{now:?} are applied") }
        })
    }

    async fn step_up(&self, migration: &Migration, _: &Live) -> Result<(), DatabaseFailure> {
        self.watch("a migration is applied");
        let version = migration.version.recorded().to_owned();
        let mut state = lock(&self.state);
        if state.refuses_up {
            return Err(failure("canceling statement due to lock timeout"));
        }
        if state.fences.iter().any(|fence| fence.version == version) {
            return Err(failure("a fence stands"));
        }
        if state.versions().last().is_some_and(|newest| *newest >= version.as_str()) {
            return Err(failure("it is applied"));
        }
        state.applied.insert(version, 0);
        Ok(())
    }

    async fn fences(&self) -> Result<Vec<Fence>, DatabaseFailure> {
        Ok(lock(&self.state).fences.clone())
    }

    async fn lift_fences(&self, release: &Release) -> Result<Vec<Fence>, DatabaseFailure> {
        let mut state = lock(&self.state);
        let of = |fence: &Fence| fence.release.as_ref().is_some_and(|of| of.digest == release.digest);
        let (lifted, left) = std::mem::take(&mut state.fences).into_iter().partition(of);
        state.fences = left;
        Ok(lifted)
    }

    async fn salvaged(&self) -> Result<Vec<Salvaged>, DatabaseFailure> {
        Ok(lock(&self.state).salvaged.clone())
    }

    async fn export(&self, _: &Salvaged, _: &Path) -> Result<Vec<PathBuf>, DatabaseFailure> {
        Err(failure("a model has no files"))
    }

    async fn drop_salvage(&self, _: &Salvaged) -> Result<(), DatabaseFailure> {
        Err(failure("a model drops nothing"))
    }

    async fn restore(
        &self,
        salvage: &Salvaged,
        _: OnConflict,
        _: bool,
        _: &dyn Progress,
    ) -> Result<Restored, DatabaseFailure> {
        let mut state = lock(&self.state);
        let rows = salvage.stores.iter().map(|store| store.rows).sum();
        let Some(now) = state.applied.get_mut(&salvage.version) else {
            return Err(failure("its migration is not applied"));
        };
        *now += u32::try_from(rows).unwrap_or(u32::MAX);
        let own = |one: &&mut Salvaged| one.run == salvage.run && one.step == salvage.step;
        if let Some(own) = state.salvaged.iter_mut().find(own) {
            own.restored = Some(Timestamp(1));
        }
        Ok(Restored { rows, ..Restored::default() })
    }
}

/// Throwaway databases of a service whose settings are known, and no server for them.
pub struct NoShadows(pub SchemaSettings);

#[async_trait]
impl Shadows for NoShadows {
    fn settings(&self) -> &SchemaSettings {
        &self.0
    }

    async fn open(&self, _: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
        Err(ShadowFailure { message: "a model has no server".into(), hint: None })
    }

    async fn boot(&self, _: &Release, _: &Lent) -> Option<Result<(), CheckFailure>> {
        None
    }

    async fn live(&self, _: Tool) -> Option<Result<LiveSchema, CheckFailure>> {
        None
    }
}

impl NoShadows {
    pub fn port() -> Option<Arc<dyn Shadows>> {
        let settings = SchemaSettings {
            folder: "migrations".into(),
            tool: Some(Tool::Sqlx),
            ..SchemaSettings::default()
        };
        Some(Arc::new(NoShadows(settings)))
    }
}
