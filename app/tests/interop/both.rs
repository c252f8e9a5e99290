//! Applied by the tool and taken down by unship, and the other way round: the other one never notices.

use unship_core::tools::Tool;

use super::world::{ALL, World, has};

/// How a tool is asked.
struct Real {
    tool: Tool,
    program: &'static str,
    up: &'static str,
    status: &'static str,
    revert: &'static str,
    /// What stands on the line of an applied migration, and what on that of one that is not.
    marks: [&'static str; 2],
    /// The names of the three migrations in its status.
    names: [&'static str; 3],
}

const SQLX: Real = Real {
    tool: Tool::Sqlx,
    program: "sqlx",
    up: "run",
    status: "info",
    revert: "revert",
    marks: ["/installed", "/pending"],
    names: ["issues", "note", "labels"],
};
const DIESEL: Real = Real {
    tool: Tool::Diesel,
    program: "diesel",
    up: "run",
    status: "list",
    revert: "revert",
    marks: ["[X]", "[ ]"],
    names: ["2026-01-01-000000_issues", "2026-01-02-000000_note", "2026-01-03-000000_labels"],
};
const DBMATE: Real = Real {
    tool: Tool::Dbmate,
    program: "dbmate",
    up: "migrate",
    status: "status",
    revert: "rollback",
    marks: ["[X]", "[ ]"],
    names: ["20260101_issues", "20260102_note", "20260103_labels"],
};

impl Real {
    /// How many of the three migrations the tool calls applied: always the oldest ones, and it names all three.
    fn applied(&self, world: &World) -> usize {
        let said = world.tool(self.tool, "migrations", &[self.status]).ok();
        let line = |name: &str| {
            let line = said.stdout.lines().find(|line| line.contains(name));
            line.unwrap_or_else(|| panic!("{name} is not in {}", said.stdout)).to_owned()
        };
        let is: Vec<bool> = self
            .names
            .iter()
            .map(|name| {
                let line = line(name);
                assert!(!line.contains("different checksum"), "{line}");
                let [applied, pending] = self.marks.map(|mark| line.contains(mark));
                assert_ne!(applied, pending, "{line}");
                applied
            })
            .collect();
        assert!(is.is_sorted_by(|a, b| a >= b), "{is:?}");
        is.iter().filter(|applied| **applied).count()
    }
}

/// The tool applies; unship takes down; the tool goes on as if it had done that itself.
fn tool_up_unship_down(real: &Real, world: &World) {
    world.lay("migrations", real.tool, &ALL);
    world.tool(real.tool, "migrations", &[real.up]).ok();
    assert_eq!(real.applied(world), 3);
    assert_eq!(world.applied("migrations", real.tool).len(), 3);
    world
        .sql("INSERT INTO issues (id, title, note) VALUES (1, 'a', 'b'); INSERT INTO labels VALUES (1, 'c')");

    world.down("migrations", real.tool).ok();
    assert_eq!(real.applied(world), 2);
    assert_eq!(world.tables().into_iter().collect::<Vec<_>>(), ["issues"]);
    world.down("migrations", real.tool).ok();
    assert_eq!(real.applied(world), 1);
    assert_eq!(world.rows("SELECT title FROM issues"), ["a"]);

    world.tool(real.tool, "migrations", &[real.up]).ok();
    assert_eq!(real.applied(world), 3);
    world.migrate("verify", "migrations", real.tool, &[]).ok();
    // And the tool takes down what it applied after unship had taken it down.
    world.tool(real.tool, "migrations", &[real.revert]).ok();
    assert_eq!(world.applied("migrations", real.tool).len(), 2);
}

/// unship applies; the tool knows it for its own and takes it down; unship sees that and applies it again.
fn unship_up_tool_down(real: &Real, world: &World) {
    world.lay("migrations", real.tool, &ALL);
    world.migrate("up", "migrations", real.tool, &[]).ok();
    assert_eq!(real.applied(world), 3);
    world.tool(real.tool, "migrations", &[real.revert]).ok();
    assert_eq!(world.applied("migrations", real.tool).len(), 2);
    assert_eq!(world.tables().into_iter().collect::<Vec<_>>(), ["issues"]);
    world.migrate("up", "migrations", real.tool, &[]).ok();
    assert_eq!(real.applied(world), 3);
    let again = world.tool(real.tool, "migrations", &[real.up]).ok();
    assert_eq!(world.tables().len(), 2, "{}{}", again.stdout, again.stderr);
    world.migrate("verify", "migrations", real.tool, &[]).ok();
}

fn on_both(real: &Real, test: fn(&Real, &World)) {
    if !has(real.program) {
        return;
    }
    if let Some(world) = World::postgres() {
        test(real, &world);
    }
    test(real, &World::sqlite());
}

#[test]
fn sqlx_applies_and_unship_takes_down() {
    on_both(&SQLX, tool_up_unship_down);
}

#[test]
fn unship_applies_and_sqlx_takes_down() {
    on_both(&SQLX, unship_up_tool_down);
}

#[test]
fn diesel_applies_and_unship_takes_down() {
    on_both(&DIESEL, tool_up_unship_down);
}

#[test]
fn unship_applies_and_diesel_takes_down() {
    on_both(&DIESEL, unship_up_tool_down);
}

#[test]
fn dbmate_applies_and_unship_takes_down() {
    on_both(&DBMATE, tool_up_unship_down);
}

#[test]
fn unship_applies_and_dbmate_takes_down() {
    on_both(&DBMATE, unship_up_tool_down);
}
