//! The verb itself: what it shows, what it refuses and with which status, and that it changes nothing then.

use unship_core::tools::Tool;

use super::world::{ALL, ISSUES, LABELS, NOTE, Said, Step, World};

fn applied(steps: &[Step]) -> Option<World> {
    let world = World::postgres()?;
    world.lay("migrations", Tool::Sqlx, steps);
    world.migrate("up", "migrations", Tool::Sqlx, &[]).ok();
    Some(world)
}

fn down(world: &World, words: &[&str]) -> Said {
    world.migrate("down", "migrations", Tool::Sqlx, words)
}

#[test]
fn what_it_would_do_is_shown_and_nothing_is_done() {
    let Some(world) = applied(&ALL) else { return };
    world.sql("INSERT INTO labels VALUES (1, 'a'), (2, 'b')");
    let shown = down(&world, &["--dry-run"]).ok();
    assert!(shown.stderr.contains("drops table labels with 2 rows"), "{}", shown.stderr);
    assert!(shown.stderr.contains("its digest is "), "{}", shown.stderr);
    let by_hand = down(&world, &["--print-commands"]).ok();
    assert!(
        by_hand.stdout.contains("LOCK TABLE \"public\".\"labels\" IN ACCESS EXCLUSIVE MODE;"),
        "{}",
        by_hand.stdout
    );
    assert!(by_hand.stderr.contains("psql --no-psqlrc"), "{}", by_hand.stderr);
    assert_eq!(world.tables().len(), 2);
    assert_eq!(world.applied("migrations", Tool::Sqlx).len(), 3);
    // What it prints does what it says.
    world.sql(&by_hand.stdout);
    assert_eq!(world.applied("migrations", Tool::Sqlx).len(), 2);
    assert_eq!(world.rows("SELECT count(*)::text FROM unship_saved_3_0"), ["2"]);
    world.migrate("up", "migrations", Tool::Sqlx, &[]).ok();
}

#[test]
fn a_loss_is_accepted_by_its_digest_and_in_no_other_way() {
    let Some(world) = applied(&ALL) else { return };
    world.sql("INSERT INTO labels VALUES (1, 'a')");
    for words in [&["--yes"][..], &[]] {
        let said = down(&world, words);
        assert_eq!(said.status, 3, "{}", said.stderr);
        assert!(said.stderr.contains("destroys data, and that was not accepted"), "{}", said.stderr);
        assert!(
            said.stderr.contains("hint: all of it is salvaged; to accept it: `--accept-loss "),
            "{}",
            said.stderr
        );
    }
    let other = "0".repeat(64);
    let said = down(&world, &["--yes", "--accept-loss", &other]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(said.stderr.contains("the loss is another one than 000000000000 names"), "{}", said.stderr);
    assert_eq!(world.tables().len(), 2);
    let said = world.down("migrations", Tool::Sqlx).ok();
    assert!(said.stdout.starts_with("0003_labels is down\n"), "{}", said.stdout);
    assert!(said.stdout.ends_with("  the newest applied version is 2\n"), "{}", said.stdout);
    assert_eq!(world.tables().len(), 1);
}

#[test]
fn where_nothing_is_lost_yes_is_enough_and_without_a_terminal_it_is_needed() {
    let Some(world) = applied(&ALL) else { return };
    let said = down(&world, &[]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(said.stderr.contains("there is no terminal to ask at"), "{}", said.stderr);
    down(&world, &["--yes"]).ok();
    assert_eq!(world.applied("migrations", Tool::Sqlx).len(), 2);
}

#[test]
fn what_no_transaction_can_hold_is_refused_until_that_is_accepted() {
    let index: Step = (
        3,
        "index",
        "CREATE INDEX issues_title ON issues (title);",
        Some("-- no-transaction\nDROP INDEX CONCURRENTLY issues_title;"),
    );
    let Some(world) = applied(&[ISSUES, NOTE, index]) else { return };
    let said = down(&world, &["--yes"]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(
        said.stderr.contains("cannot be taken back once begun: DROP INDEX CONCURRENTLY on line 2"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("--accept-not-atomic"), "{}", said.stderr);
    down(&world, &["--yes", "--accept-not-atomic"]).ok();
    assert_eq!(world.applied("migrations", Tool::Sqlx).len(), 2);
    world.migrate("up", "migrations", Tool::Sqlx, &[]).ok();
}

#[test]
fn a_begin_and_a_commit_of_its_own_are_no_hindrance() {
    let own: Step = (LABELS.0, LABELS.1, LABELS.2, Some("BEGIN;\nDROP TABLE labels;\nCOMMIT;\n"));
    let Some(world) = applied(&[ISSUES, NOTE, own]) else { return };
    let said = down(&world, &["--yes"]).ok();
    assert!(said.stderr.contains("its own BEGIN and COMMIT are left out"), "{}", said.stderr);
    assert_eq!(world.tables().len(), 1);
}

#[test]
fn a_down_that_fails_or_meets_rows_in_its_way_is_refused_before_anything_is_touched() {
    let broken: Step =
        (LABELS.0, LABELS.1, LABELS.2, Some("DROP TABLE labels;\nDROP TABLE nothing_of_the_kind;"));
    let Some(world) = applied(&[ISSUES, NOTE, broken]) else { return };
    let said = down(&world, &["--yes"]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(said.stderr.contains("0003_labels.down.sql:2"), "{}", said.stderr);
    assert_eq!(world.tables().len(), 2);
    drop(world);

    let loosened: Step = (
        2,
        "title",
        "ALTER TABLE issues ALTER COLUMN title DROP NOT NULL;",
        Some("ALTER TABLE issues ALTER COLUMN title SET NOT NULL;"),
    );
    let Some(world) = applied(&[ISSUES, loosened]) else { return };
    world.sql("INSERT INTO issues VALUES (1, NULL)");
    let said = down(&world, &["--yes"]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(
        said.stderr.contains("would fail on the live data") && said.stderr.contains("title"),
        "{}",
        said.stderr
    );
    assert_eq!(world.applied("migrations", Tool::Sqlx).len(), 2);
}

#[test]
fn drift_on_what_the_down_touches_is_refused_and_elsewhere_it_is_named() {
    let Some(world) = applied(&ALL) else { return };
    world.sql("ALTER TABLE issues ADD COLUMN by_hand text; CREATE INDEX by_hand ON labels (name)");
    let verified = world.migrate("verify", "migrations", Tool::Sqlx, &[]);
    assert_eq!(verified.status, 1, "{}", verified.stdout);
    assert!(verified.stdout.contains("it has column issues.by_hand"), "{}", verified.stdout);
    let said = down(&world, &["--dry-run"]).ok();
    assert!(
        said.stderr.contains("beside what it touches") && said.stderr.contains("issues.by_hand"),
        "{}",
        said.stderr
    );
    world.sql("ALTER TABLE labels ADD COLUMN by_hand text");
    let said = down(&world, &["--yes"]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert!(
        said.stderr.contains("it has column labels.by_hand, which no migration makes"),
        "{}",
        said.stderr
    );
    assert_eq!(world.applied("migrations", Tool::Sqlx).len(), 3);
}

#[test]
fn rows_that_a_down_changes_and_what_cascades_from_them_are_a_loss() {
    let parts: Step = (
        3,
        "parts",
        "CREATE TABLE parts (issue bigint REFERENCES issues ON DELETE CASCADE);",
        Some("DELETE FROM issues WHERE title = 'a';"),
    );
    let Some(world) = applied(&[ISSUES, NOTE, parts]) else { return };
    world.sql("INSERT INTO issues VALUES (1, 'a'), (2, 'b'); INSERT INTO parts VALUES (1), (1), (2)");
    let shown = down(&world, &["--dry-run"]).ok();
    assert!(shown.stderr.contains("rows of issues: 2 rows at most"), "{}", shown.stderr);
    assert!(shown.stderr.contains("rows of parts: 3 rows at most"), "{}", shown.stderr);
    assert!(shown.stderr.contains("it leaves behind: table parts"), "{}", shown.stderr);
    world.down("migrations", Tool::Sqlx).ok();
    assert_eq!(world.rows("SELECT count(*)::text FROM parts"), ["1"]);
}

#[test]
fn two_at_once_take_one_step_between_them() {
    let Some(world) = applied(&ALL) else { return };
    let both: Vec<Said> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..2).map(|_| scope.spawn(|| down(&world, &["--yes"]))).collect();
        tries.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    let won = both.iter().filter(|said| said.status == 0).count();
    // One that came late enough took the next step, which is its own and no half of the other's.
    let left = world.applied("migrations", Tool::Sqlx).len();
    assert_eq!(left, 3 - won, "{both:?}");
    assert!(won >= 1, "{both:?}");
    world.migrate("up", "migrations", Tool::Sqlx, &[]).ok();
    world.migrate("verify", "migrations", Tool::Sqlx, &[]).ok();
}

#[test]
fn what_is_asked_wrongly_is_named() {
    let world = World::sqlite();
    world.lay("migrations", Tool::Sqlx, &ALL);
    let nothing = world.migrate("down", "migrations", Tool::Sqlx, &["--yes"]);
    assert_eq!(nothing.status, 1, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("nothing is applied in "), "{}", nothing.stderr);
    fs_err::remove_file(world.path("url")).expect("removed");
    let no_url = world.migrate("status", "migrations", Tool::Sqlx, &[]);
    assert_eq!(no_url.status, 2, "{}", no_url.stderr);
    assert!(no_url.stderr.contains("cannot read the database URL"), "{}", no_url.stderr);
    let no_folder = world.migrate("status", "elsewhere", Tool::Sqlx, &[]);
    assert_eq!(no_folder.status, 2, "{}", no_folder.stderr);
    assert!(no_folder.stderr.contains("elsewhere"), "{}", no_folder.stderr);
}
