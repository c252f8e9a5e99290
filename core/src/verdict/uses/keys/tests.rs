use super::*;
use crate::schema::Address;

fn object(kind: Kind, name: Name) -> Object {
    Object::new(kind, name, Address::default())
}

fn table(name: &str, columns: &[(&str, &str)]) -> Vec<Object> {
    let columns = columns.iter().map(|(column, of_type)| {
        object(Kind::Column, Name::part("public", name, *column)).with(Fact::Type, *of_type)
    });
    [object(Kind::Table, Name::of("public", name))].into_iter().chain(columns).collect()
}

fn key(table: &str, definition: &str) -> Object {
    object(Kind::Constraint, Name::part("public", table, format!("{table}_fkey")))
        .with(Fact::Sort, "f")
        .with(Fact::Definition, definition)
}

/// Does the key of `d` refuse a DELETE, and another key?
fn refuses(definition: &str, more: Vec<Object>) -> (bool, bool) {
    let mut objects = table("a", &[("id", "integer")]);
    objects.extend(table("d", &[("a_id", "integer"), ("x", "integer")]));
    let own = key("d", definition);
    objects.push(own.clone());
    objects.extend(more);
    let catalog: Catalog = objects.into_iter().collect();
    let own = ForeignKey::of(&own).expect("a foreign key");
    (own.may_refuse(Event::Delete, &catalog), own.may_refuse(Event::Update, &catalog))
}

const POINTS: &str = "FOREIGN KEY (a_id) REFERENCES public.a(id)";

fn with(actions: &str) -> String {
    format!("{POINTS} {actions}")
}

#[test]
fn each_event_has_an_action_of_its_own() {
    assert_eq!(refuses(POINTS, Vec::new()), (true, true));
    assert_eq!(refuses(&with("ON DELETE CASCADE"), Vec::new()), (false, true));
    assert_eq!(refuses(&with("ON UPDATE CASCADE"), Vec::new()), (true, false));
    assert_eq!(refuses(&with("ON UPDATE CASCADE ON DELETE SET NULL"), Vec::new()), (false, false));
    assert_eq!(refuses(&with("ON UPDATE SET DEFAULT ON DELETE SET DEFAULT"), Vec::new()), (true, true));
}

#[test]
fn what_an_action_meets_may_refuse_it() {
    let all = with("ON UPDATE CASCADE ON DELETE CASCADE");
    let check = |column: &str| {
        object(Kind::Constraint, Name::part("public", "d", "d_check"))
            .with(Fact::Sort, "c")
            .with(Fact::Columns, column)
            .with(Fact::Definition, format!("CHECK (({column} < 5))"))
    };
    assert_eq!(refuses(&all, vec![check("a_id")]), (false, true));
    assert_eq!(refuses(&all, vec![check("x")]), (false, false));
    let trigger = object(Kind::Trigger, Name::part("public", "d", "t"))
        .with(Fact::Definition, "CREATE TRIGGER t BEFORE DELETE ON public.d EXECUTE FUNCTION f()");
    assert_eq!(refuses(&all, vec![trigger]), (true, false));
    let mut third = table("e", &[("d", "integer")]);
    third.push(key("e", "FOREIGN KEY (d) REFERENCES public.d(x)"));
    assert_eq!(refuses(&all, third), (true, false));
}

#[test]
fn keys_that_go_round_in_a_circle_come_to_an_end() {
    let back = key("a", "FOREIGN KEY (id) REFERENCES public.d(a_id) ON UPDATE CASCADE ON DELETE CASCADE");
    assert_eq!(refuses(&with("ON UPDATE CASCADE ON DELETE CASCADE"), vec![back]), (false, false));
}

#[test]
fn names_are_read_as_they_are_printed() {
    let own = key(
        "d",
        "FOREIGN KEY (\"A b\", c) REFERENCES \"My\".\"T a\"(\"I d\", k) MATCH FULL ON DELETE CASCADE",
    );
    let own = ForeignKey::of(&own).expect("a foreign key");
    assert_eq!(own.columns, ["A b", "c"]);
    assert_eq!(own.keys, ["i d", "k"]);
    assert_eq!((own.target.schema.as_str(), own.target.object.as_str()), ("My", "T a"));
    assert!(own.match_full && own.acts());
}
