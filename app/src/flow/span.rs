//! Judging two releases by their capsules: the same check as on the command line, and a start of the older one.

use unship_core::capsule::{Capsule, CapsuleFile, CapsuleVerdict};
use unship_core::evidence::Evidence;
use unship_core::explain;
use unship_core::release::Release;
use unship_core::schema::Catalog;
use unship_core::tools::{self, MigrationFile, MigrationSet, Tool};
use unship_core::verdict::{Boot, BootAnswer, Drift, SpanVerdict, StepReport};

use super::check::{self, OldQueries, Schemas, Span, StepsSeen};
use crate::ports::{BootSaid, LiveSchema, SchemaSettings, Shadow, Shadows, World};

/// Most releases that a new one is judged against.
const TARGETS_MAX: usize = 5;

/// The migrations that a capsule carries, read as their tool would.
pub(super) fn set_of(settings: &SchemaSettings, capsule: &Capsule) -> Result<MigrationSet, String> {
    let files = migrations(capsule)?;
    read(tool_of(settings, files)?, settings, files)
}

struct Unseen;

impl StepsSeen for Unseen {
    fn begins(&mut self, _id: &str) {}
    fn judged(&mut self, _report: &StepReport) {}
}

/// A span that was judged here, with the schemas at its ends.
pub(super) struct Judged {
    pub span: SpanVerdict,
    pub schemas: Schemas,
}

/// Can the release of `old` run on the schema of that of `new`? An error says why nobody can tell here.
pub(super) async fn judge(world: &World, old: &Capsule, new: &Capsule) -> Result<Judged, String> {
    let shadows = world.shadows.as_ref().ok_or("unship.toml has no [migrations]")?;
    let settings = shadows.settings();
    let (old_files, new_files) = (migrations(old)?, migrations(new)?);
    let tool = tool_of(settings, new_files)?;
    let (old_set, new_set) = (read(tool, settings, old_files)?, read(tool, settings, new_files)?);
    let queries = old.queries.value().map(|files| {
        let set =
            unship_core::queries::read(files.iter().map(|file| (file.path.as_str(), file.text.as_str())));
        OldQueries { queries: set.queries, source: source_of(&old.queries), role: settings.role.clone() }
    });
    let span = Span { old: old.release.to_string(), new: new.release.to_string() };
    let plan = check::plan_span(&old_set, &new_set, span, queries, settings.start);
    let mut shadow = shadows.open(tool).await.map_err(|error| error.message)?;
    let report = check::execute(plan, shadow.as_mut(), &mut Unseen).await.map_err(|error| error.message);
    let judged = match report {
        Ok(report) => {
            let mut span = report.span_verdict.ok_or("the span was not judged")?;
            let schemas = report.schemas.ok_or("the span was not judged")?;
            let applied = applied(&old_set, &new_set);
            span.set_boot(
                prove_boot(shadows.as_ref(), shadow.as_mut(), &old.release, &applied, &span.boot).await,
            );
            Ok(Judged { span, schemas })
        }
        Err(why) => Err(why),
    };
    // It is thrown away either way; what was learned counts.
    let _ = shadow.close().await;
    judged
}

/// What is applied in a database that had the older release and then the newer one.
pub fn applied(old: &MigrationSet, new: &MigrationSet) -> Vec<tools::Migration> {
    let mut applied = old.migrations.clone();
    applied.extend(tools::compare(old, new).added.into_iter().cloned());
    applied
}

/// Starts the old release on the shadow as it is, if that can be done here and nobody has said what it does. Gives
/// what is known of its boot then: that it refuses is proved only if it does start on an empty database.
pub async fn prove_boot(
    shadows: &dyn Shadows,
    shadow: &mut dyn Shadow,
    old: &Release,
    applied: &[tools::Migration],
    by_rule: &Boot,
) -> Boot {
    if shadows.settings().start.boot != BootSaid::ByTool {
        return by_rule.clone();
    }
    let lent = match shadow.lend(applied).await {
        Ok(lent) => lent,
        Err(error) => {
            let why = format!("{} (not tried: {})", by_rule.why, error.message);
            return Boot { why, ..by_rule.clone() };
        }
    };
    match shadows.boot(old, &lent).await {
        None => by_rule.clone(),
        Some(Ok(())) => {
            let why = format!("{old} was started on a throwaway database with the newer schema");
            Boot { answer: BootAnswer::Starts, why, proven: true }
        }
        Some(Err(failure)) => match start_on_empty(shadows, old, applied).await {
            Ok(()) => Boot { answer: BootAnswer::Refuses, why: failure.message, proven: true },
            Err(why) => Boot {
                why: format!(
                    "{} (tried, which showed nothing: on an empty database {old} does not start here either: {why})",
                    by_rule.why
                ),
                ..by_rule.clone()
            },
        },
    }
}

/// Whether the release starts on an empty database: what cannot start here at all says nothing about a newer schema.
async fn start_on_empty(
    shadows: &dyn Shadows,
    old: &Release,
    applied: &[tools::Migration],
) -> Result<(), String> {
    let tool = applied.first().ok_or("no migration is applied")?.tool;
    let mut empty = shadows.open(tool).await.map_err(|error| error.message)?;
    let started = match empty.lend(&[]).await {
        Ok(lent) => shadows.boot(old, &lent).await.unwrap_or(Ok(())).map_err(|failure| failure.message),
        Err(error) => Err(error.message),
    };
    // It is thrown away either way; what was learned counts.
    let _ = empty.close().await;
    started
}

/// Takes in what the live database has: where it is not as `expected`, and whether the migration tool's last run broke
/// off there. Evidence that expires, so it is never kept.
pub(super) async fn look_at_live(
    world: &World,
    of: &Capsule,
    expected: Option<&Catalog>,
    span: &mut SpanVerdict,
) {
    match live(world, of).await {
        None => {}
        Some(Err(why)) => span.remarks.push(why),
        Some(Ok(live)) => amend_with_live(&live, expected, span),
    }
}

/// The live database of `world`; none if its URL is not configured.
async fn live(world: &World, of: &Capsule) -> Option<Result<LiveSchema, String>> {
    let shadows = world.shadows.as_ref()?;
    let tool = tool_of(shadows.settings(), migrations(of).ok()?).ok()?;
    Some(shadows.live(tool).await?.map_err(|error| error.message))
}

/// Takes in what was seen of the live database.
pub fn amend_with_live(live: &LiveSchema, expected: Option<&Catalog>, span: &mut SpanVerdict) {
    if let Some(version) = &live.dirty {
        let why = format!(
            "the tool's last run broke off at version {version}, and it refuses to start until that is mended"
        );
        span.set_boot(Boot { answer: BootAnswer::Refuses, why, proven: false });
    }
    match expected {
        Some(expected) => span.drifted(&Drift::between(expected, &live.catalog, &span.touches)),
        None => span.remarks.push(
            "whether the live schema is what the migrations leave is not known: the release was deployed without \
             that being kept"
                .to_owned(),
        ),
    }
}

fn migrations(capsule: &Capsule) -> Result<&[CapsuleFile], String> {
    match &capsule.migrations {
        Evidence::Known { value, .. } => Ok(value),
        Evidence::Missing { why } => {
            Err(format!("the migrations of {} are not known: {why}", capsule.release))
        }
    }
}

fn source_of(evidence: &Evidence<Vec<CapsuleFile>>) -> String {
    match evidence {
        Evidence::Known { source, .. } => source.clone(),
        Evidence::Missing { why } => why.clone(),
    }
}

fn files(settings: &SchemaSettings, files: &[CapsuleFile]) -> Vec<MigrationFile> {
    let below = |path: &str| {
        path.strip_prefix(&settings.folder).map_or(path, |rest| rest.trim_start_matches('/')).to_owned()
    };
    files.iter().map(|file| MigrationFile::new(below(&file.path), file.text.as_bytes())).collect()
}

fn tool_of(settings: &SchemaSettings, of_new: &[CapsuleFile]) -> Result<Tool, String> {
    let detection = || tools::detect(&files(settings, of_new));
    settings.tool.or_else(|| detection().tool()).ok_or_else(|| {
        format!("cannot tell whose migrations `{}` are; write `tool` in [migrations]", settings.folder)
    })
}

fn read(tool: Tool, settings: &SchemaSettings, of: &[CapsuleFile]) -> Result<MigrationSet, String> {
    tools::read(tool, files(settings, of)).map_err(|error| error.to_string())
}

/// Says, before anything is done, what the migrations will do to tables that are in use, and where the live database
/// is not what the release that serves has left.
async fn preflight(world: &World, new: &Capsule, mut span: SpanVerdict, schemas: &Schemas) {
    let live = live(world, new).await;
    let bytes = |table: &str| live.as_ref()?.as_ref().ok()?.bytes_of(table);
    for lock in span.locks.iter().filter(|lock| lock.stops_others()) {
        world.progress.note(&explain::lock(lock, bytes(&lock.table)));
    }
    let (reasons, remarks) = (span.reasons.len(), span.remarks.len());
    match live {
        None => return,
        Some(Err(why)) => span.remarks.push(why),
        Some(Ok(live)) => amend_with_live(&live, Some(&schemas.before), &mut span),
    }
    let drift = span.reasons.iter().filter(|reason| reason.rule == unship_core::verdict::LIVE_DRIFT);
    if span.reasons.len() > reasons {
        drift.for_each(|reason| world.progress.note(&format!("live schema: {}", reason.text)));
    }
    span.remarks[remarks..].iter().for_each(|remark| world.progress.note(remark));
}

/// Puts into the capsule of `new` what is found out about going back to each of `targets`, newest first. `serves` is
/// the one that serves now.
pub(super) async fn store(world: &World, new: &Release, serves: Option<&Release>, targets: &[Release]) {
    if world.shadows.is_none() || world.target.stateless {
        return;
    }
    let Ok(artifact) = world.source.kept(new).await else { return };
    let mut capsule = artifact.capsule;
    let mut verdicts = Vec::new();
    let mut trouble = None;
    for target in targets.iter().filter(|target| target.digest != new.digest).take(TARGETS_MAX) {
        let Ok(kept) = world.source.kept(target).await else { continue };
        let title = format!("judge going back from {new} to {target}");
        world.progress.started(&title);
        let began = world.clock.now();
        match judge(world, &kept.capsule, &capsule).await {
            Ok(Judged { span, schemas }) => {
                world.progress.done(&title, world.clock.now().since_ms(began));
                if serves.is_some_and(|serves| serves.digest == target.digest) {
                    preflight(world, &capsule, span.clone(), &schemas).await;
                }
                capsule.schema = Evidence::Known {
                    value: schemas.after,
                    source: "a throwaway database, at deploy".to_owned(),
                    observed_at: world.clock.now(),
                };
                verdicts.push(CapsuleVerdict { target: target.clone(), span });
            }
            Err(why) => {
                world.progress.failed(&title, &why);
                trouble = Some(why);
            }
        }
    }
    capsule.verdicts = match (verdicts.is_empty(), trouble) {
        (true, Some(why)) => Evidence::Missing { why },
        _ => Evidence::Known {
            value: verdicts,
            source: "a throwaway database, at deploy".to_owned(),
            observed_at: world.clock.now(),
        },
    };
    // Without it the rollback finds out by itself.
    if let Err(error) = world.source.keep_capsule(&capsule).await {
        world.progress.note(&format!("the verdicts of {new} could not be kept: {error}"));
    }
}
