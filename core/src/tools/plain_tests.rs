use super::*;

#[test]
fn names() {
    let read =
        |path: &str| name_of(path).map(|n| (n.order.trim_start_matches('0').to_owned(), n.title, n.down));
    let ok = |order: &str, name: &str, down| Ok((order.to_owned(), name.to_owned(), down));
    assert_eq!(read("001_init.sql"), ok("1", "init", false));
    assert_eq!(read("001-init.up.sql"), ok("1", "init", false));
    assert_eq!(read("001_init.down.sql"), ok("1", "init", true));
    assert_eq!(read("001_init_rollback.sql"), ok("1", "init", true));
    assert_eq!(read("down/001_init.sql"), ok("1", "init", true));
    assert_eq!(read("up/001_init.SQL"), ok("1", "init", false));
    assert_eq!(read("V2__x.sql"), ok("2", "x", false));
    assert_eq!(read("003a_x.sql"), ok("3a", "x", false));
    assert_eq!(read("12.sql"), ok("12", "", false));
    assert_eq!(read("2024-01-15_x.sql"), ok("20240115000000", "x", false));
    assert_eq!(read("2024_01_15_123045_x.sql"), ok("20240115123045", "x", false));
    assert_eq!(read("2fa.sql"), Err("has no number in front"));
    assert_eq!(read("readme.md"), Err("not an .sql file"));
    assert_eq!(read("é.sql"), Err("has no number in front"));
    assert_eq!(read("seeds/001_x.sql"), Err("in a folder below that is called neither up nor down"));
}
