use super::*;

fn table(name: &str, oid: u32) -> Object {
    Object::new(Kind::Table, Name::of("public", name), Address { class: 1259, oid, sub: 0 })
}

fn column(table: &str, oid: u32, sub: i32, name: &str) -> Object {
    Object::new(Kind::Column, Name::part("public", table, name), Address { class: 1259, oid, sub })
        .with(Fact::Type, "text")
        .at(sub)
}

fn said(old: &Catalog, new: &Catalog) -> Vec<String> {
    diff(old, new).iter().map(ToString::to_string).collect()
}

#[test]
fn equal_readings_have_no_changes_whatever_their_addresses() {
    let old: Catalog = [table("t", 1), column("t", 1, 1, "a")].into_iter().collect();
    let new: Catalog = [table("t", 9), column("t", 9, 4, "a")].into_iter().collect();
    assert!(said(&old, &new).is_empty());
}

#[test]
fn a_new_table_says_it_for_its_columns_but_not_for_its_triggers() {
    let trigger = Object::new(Kind::Trigger, Name::part("public", "t", "stamp"), Address::default());
    let new: Catalog = [table("t", 1), column("t", 1, 1, "a"), trigger].into_iter().collect();
    assert_eq!(said(&Catalog::default(), &new), ["adds table t", "adds trigger t.stamp"]);
}

#[test]
fn the_same_address_under_another_name_is_a_rename() {
    let old: Catalog = [table("t", 1), column("t", 1, 1, "a")].into_iter().collect();
    let new: Catalog = [table("t", 1), column("t", 1, 1, "b")].into_iter().collect();
    assert_eq!(said(&old, &new), ["renames column t.a to t.b"]);
}

#[test]
fn a_renamed_table_takes_its_columns_along() {
    let old: Catalog = [table("t", 1), column("t", 1, 1, "a")].into_iter().collect();
    let new: Catalog = [table("u", 1), column("u", 1, 1, "a")].into_iter().collect();
    assert_eq!(said(&old, &new), ["renames table t to u"]);
}

#[test]
fn what_comes_and_goes_inside_a_renamed_table_is_listed() {
    let old: Catalog = [table("t", 1), column("t", 1, 1, "a"), column("t", 1, 2, "b")].into_iter().collect();
    let new: Catalog = [table("u", 1), column("u", 1, 1, "a"), column("u", 1, 3, "c")].into_iter().collect();
    assert_eq!(said(&old, &new), ["renames table t to u", "removes column t.b", "adds column u.c text"]);
}

#[test]
fn a_rename_away_and_a_new_object_of_the_old_name_is_no_loss_of_the_name() {
    let old: Catalog = [table("t", 1)].into_iter().collect();
    let new: Catalog = [table("t", 2), table("t_old", 1)].into_iter().collect();
    assert_eq!(said(&old, &new), ["adds table t_old"]);
}

#[test]
fn a_constraint_added_again_under_another_name_is_renamed() {
    let check = |name: &str| {
        Object::new(Kind::Constraint, Name::part("public", "t", name), Address::default())
            .with(Fact::Definition, "CHECK ((a > 0))")
    };
    let old: Catalog = [table("t", 1), check("one")].into_iter().collect();
    let new: Catalog = [table("t", 1), check("two")].into_iter().collect();
    assert_eq!(said(&old, &new), ["renames constraint t.one to t.two"]);
}

#[test]
fn only_the_order_of_common_columns_counts() {
    let old: Catalog =
        [table("t", 1), column("t", 1, 1, "a"), column("t", 1, 2, "b"), column("t", 1, 3, "c")]
            .into_iter()
            .collect();
    let gap: Catalog = [table("t", 1), column("t", 1, 2, "b"), column("t", 1, 3, "c")].into_iter().collect();
    assert_eq!(said(&old, &gap), ["removes column t.a"]);
    let moved: Catalog =
        [table("t", 1), column("t", 1, 5, "a"), column("t", 1, 2, "b"), column("t", 1, 3, "c")]
            .into_iter()
            .collect();
    assert_eq!(said(&old, &moved), ["puts the columns of table t in another order"]);
}

#[test]
fn every_fact_that_differs_is_one_change() {
    let was = column("t", 1, 1, "a").with(Fact::NotNull, "t").with(Fact::Default, "'x'::text");
    let now = column("t", 1, 1, "a").with(Fact::Default, "'y'::text");
    let old: Catalog = [table("t", 1), was].into_iter().collect();
    let new: Catalog = [table("t", 1), now].into_iter().collect();
    assert_eq!(
        said(&old, &new),
        ["column t.a: NOT NULL dropped", "column t.a: default changed from 'x'::text to 'y'::text"]
    );
}

#[test]
fn the_json_of_a_change_names_it_and_carries_both_values() {
    let old: Catalog = [table("t", 1), column("t", 1, 1, "a")].into_iter().collect();
    let new: Catalog =
        [table("t", 1), column("t", 1, 1, "a").with(Fact::Type, "integer")].into_iter().collect();
    insta::assert_json_snapshot!(diff(&old, &new), @r#"
    [
      {
        "change": "altered",
        "kind": "column",
        "name": "t.a",
        "fact": "type",
        "from": "text",
        "to": "integer"
      }
    ]
    "#);
}

#[test]
fn a_reading_is_not_robbed_of_a_newer_object_of_the_same_name() {
    let mut catalog: Catalog = [table("t", 1)].into_iter().collect();
    let key = Key { kind: Kind::Table, name: Name::of("public", "t") };
    catalog.remove(&key, Address { class: 1259, oid: 7, sub: 0 });
    assert_eq!(catalog.len(), 1);
    catalog.remove(&key, Address { class: 1259, oid: 1, sub: 0 });
    assert!(catalog.is_empty());
}
