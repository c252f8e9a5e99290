//! The drill `additive` on real hosts with PostgreSQL: the migrations of the bad release only add something, so the code
//! goes back and the schema stays, while users write and requests go on.

use serde_json::json;
use unship::flow::drill::{Figures, Phase, Windows};
use unship::load::Load;
use unship::load::attribution::Window;
use unship::load::plan::{Body, RequestPlan};

use crate::forge::{Forge, GOOD};
use crate::lives;
use crate::testbed::Failure;
use crate::users::{Api, Rows, User};
use crate::world::{Units, World, in_proof, request, say, until};

/// Ends by itself a moment after every start. Its two migrations only add what v1.0.0 does not know.
const BAD: &str = "v1.1.0";
/// How often its deploy is tried: where a flip takes as long, it ends before it is proved, and unship goes back.
const DEPLOYS_MAX: usize = 4;
/// Both kinds of its units are templates.
const BAD_UNIT: &str = "shithubd-web@v1.1.0.service";

#[tokio::test]
async fn additive_migrations_stay_when_the_code_goes_back() {
    in_proof(Units::Plain, async |world| {
        let forge = Forge::new(world, &[GOOD, BAD])?;
        forge.install_overlap()?;
        forge.unship(&["deploy", GOOD])?.ends_with(0)?;
        forge.all_come_to_serve(GOOD)?;
        let on = |number: usize| Api { forge: &forge, host: &world.hosts()[number].name };

        let (ada, bob) = before(&on(0))?;
        let loads = forge.load_of(requests(&ada))?;
        let written_on_good = Rows::now(&forge)?;

        let mut deploy = Between::begins(&loads);
        // The proof is made here and kept: the rollback has no need of a throwaway database.
        let mut deployed = forge.unship(&["deploy", BAD])?.ends_with(0);
        for _ in 1..DEPLOYS_MAX {
            let Err(failed) = &deployed else { break };
            say(&format!("on a busy machine it ends before it is proved: {failed}"));
            deployed = forge.unship(&["deploy", BAD])?.ends_with(0);
        }
        deployed?.says(&format!("judge going back from {BAD} to {GOOD}"))?;
        deploy.ends(&loads);
        written_on_good.outlive(&Rows::now(&forge)?)?;
        let (migrations, schema) = (migrations(&forge)?, forge.schema()?);

        let (carol, closed) = between(&on(1), &ada, &bob)?;
        fails_by_itself(world)?;
        let written_on_bad = Rows::now(&forge)?;
        assert_eq!(written_on_bad.count("users"), written_on_good.count("users") + 1);
        assert_eq!(written_on_bad.count("repo_topics"), 2);

        let mut rollback = Between::begins(&loads);
        let said = forge.unship(&["rollback", "--mode", "degraded", "--yes"])?.ends_with(0)?;
        rollback.ends(&loads);
        say(&said.text);
        said.says("decision  option 1: roll the code back, leave the schema alone")?
            .says(&format!("compatible: {BAD} added 2 migrations and the old code runs on the new schema"))?
            .says(&format!("30 of 30 queries of {GOOD} plan on the new schema; it boots there\n"))?;
        forge.all_come_to_serve(GOOD)?;

        // v1.0.0 reads what was written on v1.1.0, and users go on.
        assert_eq!(on(2).issue(&ada, closed)?["state"], "closed");
        let opened = after(&on(2), &ada, &carol)?;
        let written_after = Rows::now(&forge)?;
        let acknowledged = judged(world, loads, &deploy, &rollback).await?;

        assert_eq!(migrations, self::migrations(&forge)?, "the version table was written to");
        assert_eq!(schema, forge.schema()?, "the schema was changed");
        let now = Rows::now(&forge)?;
        let compared = written_on_bad.outlive(&now)? + written_after.outlive(&now)?;
        assert_eq!(on(0).issue(&carol, opened)?["title"], "written after");
        let opened = forge.query("select count(*) from issues where title like 'number %'")?;
        let opened: usize = opened.trim().parse()?;
        assert!(opened >= acknowledged && acknowledged > 0, "{opened} of {acknowledged} issues are there");
        say(&format!("{compared} values compared, {acknowledged} issues of the load"));
        Ok(())
    })
    .await;
}

/// Two users, and what they write on the good release.
fn before(api: &Api<'_>) -> Result<(User, User), Failure> {
    let (ada, bob) = (api.sign_up("ada", &json!({}))?, api.sign_up("bob", &json!({}))?);
    for title in ["leak 1", "leak 2", "leak 3"] {
        api.open(&bob, &ada, title)?;
    }
    api.close(&ada, 1)?;
    api.star(&bob, &ada)?;
    Ok((ada, bob))
}

/// What users write on the bad release, with what only that one knows; the third of them, and an issue that was closed.
fn between(api: &Api<'_>, ada: &User, bob: &User) -> Result<(User, i64), Failure> {
    let carol = api.sign_up("carol", &json!({"visibility": "unlisted"}))?;
    api.topics(ada, &["forge", "git"])?;
    api.star(&carol, ada)?;
    api.star(&carol, bob)?;
    let number = api.open(&carol, ada, "written between")?;
    api.close(ada, number)?;
    Ok((carol, number))
}

/// What users write once the good release is back; an issue in the repository that was made on the bad one.
fn after(api: &Api<'_>, ada: &User, carol: &User) -> Result<i64, Failure> {
    let dave = api.sign_up("dave", &json!({}))?;
    api.star(&dave, ada)?;
    api.open(ada, &dave, "written after")?;
    api.open(&dave, carol, "written after")
}

/// What the load sends in a user's name: reads and writes, some of which are slow.
fn requests(user: &User) -> Vec<RequestPlan> {
    let authorized = |mut request: RequestPlan| {
        request.headers.insert("authorization".to_owned(), format!("Bearer {}", user.token));
        request
    };
    let open = request("open issue", "POST", &user.repo("/issues"), 15, 201);
    let open = RequestPlan { body: Some(Body::Json(json!({"title": "number {n}"}))), ..open };
    vec![
        request("repositories", "GET", "/api/repos", 25, 200),
        request("repository", "GET", &user.repo(""), 25, 200),
        request("issue", "GET", &user.repo("/issues/1"), 15, 200),
        authorized(open),
        authorized(request("star", "POST", &user.repo("/star"), 15, 200)),
        request("slow", "GET", "/slow?ms=1500", 5, 200),
    ]
}

/// Waits until the bad release has ended by itself on every host.
fn fails_by_itself(world: &World) -> Result<(), Failure> {
    world.hosts().iter().try_for_each(|host| {
        until(&format!("{BAD_UNIT} ended by itself on {}", host.name), || {
            let said = world.testbed.at(&host.name, &["systemctl", "show", "-P", "NRestarts", BAD_UNIT])?;
            Ok(said.trim().parse::<u32>()? > 0)
        })
    })
}

/// Every row of the table in which sqlx keeps what it applied.
fn migrations(forge: &Forge<'_>) -> Result<String, Failure> {
    let rows = forge.query("select to_jsonb(applied) from _sqlx_migrations applied order by version")?;
    assert_eq!(rows.lines().count(), 4, "{rows}");
    Ok(rows)
}

/// When unship acted, on the clock of each host's load.
struct Between(Vec<Window>);

impl Between {
    fn begins(loads: &[(String, Load)]) -> Between {
        let window = |load: &Load| Window { from_us: load.now_us(), until_us: u64::MAX };
        Between(loads.iter().map(|(_, load)| window(load)).collect())
    }

    fn ends(&mut self, loads: &[(String, Load)]) {
        for (window, (_, load)) in self.0.iter_mut().zip(loads) {
            window.until_us = load.now_us();
        }
    }
}

/// Ends the loads. No request failed but those that the bad release failed itself; how many issues were opened.
async fn judged(
    world: &World,
    loads: Vec<(String, Load)>,
    deploy: &Between,
    rollback: &Between,
) -> Result<usize, Failure> {
    let mut acknowledged = 0;
    for ((host, load), (deploy, rollback)) in loads.into_iter().zip(deploy.0.iter().zip(&rollback.0)) {
        let recording = load.stop().await?;
        let lives = lives::of_template(&world.testbed, &host, "shithubd-web", &recording)?;
        let windows = Windows { deploy: *deploy, rollback: *rollback, unfit_us: None, holding: None };
        let figures = Figures::of(&recording, &lives, (&GOOD.parse()?, &BAD.parse()?), windows);
        for phase in &figures.phases {
            let (all, failed, by_bad) = (phase.requests, phase.failed, phase.failed_by_bad_release);
            say(&format!("{host}: {:?}: of {all} requests {BAD} failed {by_bad}", phase.phase));
            assert!(all > 0 && failed == 0, "{host}: {phase:#?}\n{lives:#?}");
            assert!(by_bad == 0 || phase.phase != Phase::Before, "{host}: {phase:#?}");
        }
        assert_eq!(recording.unrecorded, 0, "{host}");
        let opened = |sample: &&unship::load::Sample| {
            recording.request_name(sample.request) == "open issue" && !recording.failed(sample)
        };
        acknowledged += recording.samples.iter().filter(opened).count();
    }
    Ok(acknowledged)
}
