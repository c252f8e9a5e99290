//! The connection cut and processes killed at every request of a step: wholly before or wholly after, never in doubt
//! once the server answers again.

use unship::ports::{Database as _, Landed};
use unship_core::down::Program;
use unship_core::tools::Tool;

use crate::proxy::{Act, Proxy};
use crate::server::{Server, has_postgres};
use crate::world::{Heard, OWNER, World, by, say, tally};

/// One run through a proxy on a fresh copy of the database; how it ended.
async fn run(
    template: &World<'static>,
    program: &Program,
    server: &'static Server,
    point: usize,
    act: Act,
) -> (String, Vec<String>) {
    let copy = server.new_name();
    let mut admin = server.admin("postgres").await;
    say(&mut admin, &format!("CREATE DATABASE {copy} OWNER {OWNER} TEMPLATE {}", template.name)).await;
    let world = template.named(&copy);
    let before = world.state().await;
    let program = world.program_in(program);
    let proxy = Proxy::start(server, point, act);
    let database = world.database_at(&Server::url_through(proxy.folder(), OWNER, &copy));
    let ended = database.step_down(&program, &by(1), &Heard::default()).await;
    drop(database);
    let labels = proxy.seen.labels.lock().expect("a lock").clone();
    drop(proxy);
    let what = labels.get(point.saturating_sub(1)).cloned().unwrap_or_default();
    let at = format!("{act:?} at {point} ({})", what.chars().take(60).collect::<String>());
    // It may be recovering.
    drop(server.admin("postgres").await);
    let landed = world.database().landed(&program).await.expect("an answer");
    let ended = match ended {
        Ok(_) => {
            assert_eq!(landed, Landed::After, "{at}");
            assert_eq!(world.ask("SELECT count(*) FROM _unship.step").await, 1, "{at}");
            assert_eq!(world.database().fences().await.expect("fences").len(), 1, "{at}");
            "after"
        }
        Err(failure) => {
            assert!(!failure.in_doubt, "{at}: {failure}");
            assert!(!failure.message.contains("hunter2"), "{at}: {failure}");
            assert_eq!(landed, Landed::Before, "{at}: {failure}");
            assert_eq!(world.state().await, before, "{at}: {failure}");
            // What is left of it is in nobody's way.
            world
                .database()
                .step_down(&program, &by(2), &Heard::default())
                .await
                .unwrap_or_else(|failure| panic!("{at}: again: {failure}"));
            "before"
        }
    };
    let mut admin = server.admin("postgres").await;
    say(&mut admin, &format!("DROP DATABASE {copy} WITH (FORCE)")).await;
    (ended.to_owned(), labels)
}

fn place_of_commit(labels: &[String]) -> usize {
    labels.iter().rposition(|label| label.trim() == "COMMIT").expect("a commit") + 1
}

/// Every request under `UNSHIP_PROVE`, else each of so many, and always those around the commit.
fn points(count: usize, commit: usize, each: usize, offset: usize) -> impl Iterator<Item = usize> {
    let all = std::env::var_os("UNSHIP_PROVE").is_some();
    (1..=count).filter(move |point| all || point % each == offset || point.abs_diff(commit) <= 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_any_request_a_step_is_wholly_before_or_wholly_after() {
    if !has_postgres() {
        return;
    }
    let server = Server::shared();
    let template = World::new(server, Tool::Sqlx).await;
    let program = template.usual().await;
    let (ended, labels) = run(&template, &program, server, usize::MAX, Act::Nothing).await;
    assert_eq!(ended, "after");
    let commit = place_of_commit(&labels);
    let mut seen = Vec::new();
    for (offset, act) in [Act::CutBefore, Act::CutAfter, Act::Terminate].into_iter().enumerate() {
        for point in points(labels.len(), commit, 6, offset * 2) {
            let (ended, _) = run(&template, &program, server, point, act).await;
            if point > commit {
                assert_eq!(
                    ended,
                    "after",
                    "{act:?} at {point} of {}: {:?}",
                    labels.len(),
                    labels.get(point - 1)
                );
            }
            if point == commit {
                // Before it was sent, after it landed, and a session that ended first.
                let wanted = if act == Act::CutAfter { "after" } else { "before" };
                assert_eq!(ended, wanted, "{act:?}");
            }
            seen.push(format!("{act:?}: {ended}"));
        }
    }
    println!("{} requests in a step, the commit is number {commit}: {:?}", labels.len(), tally(seen));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_a_step_is_wholly_before_or_wholly_after() {
    killed(&[Act::KillBackend]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_server_killed_at_any_request_a_step_is_wholly_before_or_wholly_after() {
    killed(&[Act::KillServer, Act::KillServerAfter]).await;
}

async fn killed(acts: &[Act]) {
    if !has_postgres() {
        return;
    }
    // A server of its own: the others would be thrown out with it. It has to live as long as the process.
    let server: &'static Server = Box::leak(Box::new(Server::start(&[])));
    let template = World::new(server, Tool::GolangMigrate).await;
    let program = template.usual().await;
    let (_, labels) = run(&template, &program, server, usize::MAX, Act::Nothing).await;
    let commit = place_of_commit(&labels);
    let mut seen = Vec::new();
    for &act in acts {
        for point in points(labels.len(), commit, 12, 0) {
            let (ended, _) = run(&template, &program, server, point, act).await;
            if point < commit {
                assert_eq!(ended, "before", "{act:?} at {point}");
            }
            seen.push(format!("{act:?}: {ended}"));
        }
    }
    println!("{} requests in a step, the commit is number {commit}: {:?}", labels.len(), tally(seen));
}
