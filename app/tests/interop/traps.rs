//! Every way in which a real tool reverts another migration than the newest one, or none at all, and says that all
//! went well. Each is shown with the tool first, so that it is known to be one; unship refuses, and changes nothing.

use unship_core::tools::Tool;

use super::world::{ALL, ISSUES, LABELS, NOTE, Said, Step, World, has};

/// What there is to see of a database: its tables, and the columns of `issues`.
fn shape(world: &World) -> (Vec<String>, Vec<String>) {
    let columns = world.rows(
        "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'issues' ORDER BY 1",
    );
    (world.tables().into_iter().collect(), columns)
}

#[track_caller]
fn refused(world: &World, said: &Said, words: &str, before: &(Vec<String>, Vec<String>)) {
    assert_ne!(said.status, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains(words), "{}", said.stderr);
    assert_eq!(&shape(world), before);
}

#[test]
fn sqlx_skips_a_newest_migration_without_a_down_and_reverts_the_one_before_it() {
    if !has("sqlx") {
        return;
    }
    let Some(world) = World::postgres() else { return };
    let no_down: Step = (LABELS.0, LABELS.1, LABELS.2, None);
    world.lay("migrations", Tool::Sqlx, &[ISSUES, NOTE, no_down]);
    world.tool(Tool::Sqlx, "migrations", &["run"]).ok();
    let before = shape(&world);

    let said = world.migrate("down", "migrations", Tool::Sqlx, &["--yes"]);
    refused(&world, &said, "0003_labels has no down", &before);

    world.tool(Tool::Sqlx, "migrations", &["revert"]).ok();
    let after = shape(&world);
    assert_eq!(after.0, before.0, "the newest migration stays");
    assert!(!after.1.contains(&"note".to_owned()), "and the one before it is gone: {after:?}");
}

#[test]
fn sqlx_of_an_old_release_reverts_its_own_newest_migration() {
    if !has("sqlx") {
        return;
    }
    let Some(world) = World::postgres() else { return };
    world.lay("new", Tool::Sqlx, &ALL);
    world.lay("old", Tool::Sqlx, &[ISSUES, NOTE]);
    world.tool(Tool::Sqlx, "new", &["run"]).ok();
    let before = shape(&world);

    let said = world.migrate("down", "old", Tool::Sqlx, &["--yes"]);
    refused(&world, &said, "the database has 3, for which there is no file here", &before);
    assert_ne!(world.tool(Tool::Sqlx, "old", &["revert"]).status, 0);
    assert_eq!(shape(&world), before);

    world.tool(Tool::Sqlx, "old", &["revert", "--ignore-missing"]).ok();
    let after = shape(&world);
    assert_eq!(after.0, before.0, "the newest migration stays");
    assert!(!after.1.contains(&"note".to_owned()), "and the one before it is gone: {after:?}");
}

#[test]
fn dbmate_of_an_old_release_reverts_its_own_newest_migration() {
    if !has("dbmate") {
        return;
    }
    let Some(world) = World::postgres() else { return };
    world.lay("new", Tool::Dbmate, &ALL);
    world.lay("old", Tool::Dbmate, &[ISSUES, NOTE]);
    world.tool(Tool::Dbmate, "new", &["migrate"]).ok();
    let before = shape(&world);

    let said = world.migrate("down", "old", Tool::Dbmate, &["--yes"]);
    refused(&world, &said, "the database has 20260103, for which there is no file here", &before);

    world.tool(Tool::Dbmate, "old", &["rollback"]).ok();
    let after = shape(&world);
    assert_eq!(after.0, before.0, "the newest migration stays");
    assert!(!after.1.contains(&"note".to_owned()), "and the one before it is gone: {after:?}");
}

#[test]
fn diesel_of_an_old_release_refuses_as_unship_does() {
    if !has("diesel") {
        return;
    }
    let Some(world) = World::postgres() else { return };
    world.lay("new", Tool::Diesel, &ALL);
    world.lay("old", Tool::Diesel, &[ISSUES, NOTE]);
    world.tool(Tool::Diesel, "new", &["run"]).ok();
    let before = shape(&world);
    let said = world.migrate("down", "old", Tool::Diesel, &["--yes"]);
    refused(&world, &said, "for which there is no file here", &before);
    assert_ne!(world.tool(Tool::Diesel, "old", &["revert"]).status, 0);
    assert_eq!(shape(&world), before);
}

#[test]
fn a_down_that_was_edited_after_the_release_is_not_covered_by_sqlxs_checksum_and_is_the_one_that_was_checked()
{
    if !has("sqlx") {
        return;
    }
    let Some(world) = World::postgres() else { return };
    world.lay("migrations", Tool::Sqlx, &ALL);
    world.tool(Tool::Sqlx, "migrations", &["run"]).ok();
    let shown = world.migrate("down", "migrations", Tool::Sqlx, &["--dry-run", "--json"]).ok();
    let document: serde_json::Value = serde_json::from_str(&shown.stdout).expect("a document");
    let digest = document["loss_digest"].as_str().expect("a digest");
    world.sql("INSERT INTO labels VALUES (1, 'a')");
    // One row more than nothing is another loss.
    let said = world.migrate("down", "migrations", Tool::Sqlx, &["--yes", "--accept-loss", digest]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    let shown = world.migrate("down", "migrations", Tool::Sqlx, &["--dry-run", "--json"]).ok();
    let document: serde_json::Value = serde_json::from_str(&shown.stdout).expect("a document");
    let digest = document["loss_digest"].as_str().expect("a digest");
    // The text that was accepted is the text that is run.
    let edited: Step = (LABELS.0, LABELS.1, LABELS.2, Some("DROP TABLE issues, labels;"));
    world.lay("migrations", Tool::Sqlx, &[ISSUES, NOTE, edited]);
    let said = world.migrate("down", "migrations", Tool::Sqlx, &["--yes", "--accept-loss", digest]);
    assert_eq!(said.status, 3, "{}", said.stderr);
    assert_eq!(world.tables().len(), 2);
    world.tool(Tool::Sqlx, "migrations", &["info"]).ok();
}
