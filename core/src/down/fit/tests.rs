use super::unfit;
use crate::schema::{Address, Catalog, Fact, Kind, Name, Object};

fn table() -> Object {
    Object::new(Kind::Table, Name::of("public", "issues"), Address { class: 1, oid: 1, sub: 0 })
}

fn column(name: &str) -> Object {
    Object::new(Kind::Column, Name::part("public", "issues", name), Address::default())
        .with(Fact::Type, "text")
}

fn catalog(objects: impl IntoIterator<Item = Object>) -> Catalog {
    objects.into_iter().collect()
}

#[test]
fn what_a_program_does_not_notice_is_fit() {
    let known = catalog([table(), column("title")]);
    let index = Object::new(Kind::Index, Name::part("public", "issues", "i"), Address::default());
    let sequence = Object::new(Kind::Sequence, Name::of("public", "left_over"), Address::default());
    let left =
        catalog([table(), column("title").with(Fact::Comment, "c"), column("optional"), index, sequence]);
    assert_eq!(unfit(&known, &left), Vec::<String>::new());
}

#[test]
fn what_is_gone_changed_or_in_the_way_is_not() {
    let known = catalog([table(), column("title").with(Fact::NotNull, "t").with(Fact::Default, "''")]);
    let cases = [
        (catalog([table()]), "removes column issues.title"),
        (catalog([table(), column("title").with(Fact::Default, "''")]), "NOT NULL dropped"),
        (catalog([table(), column("title").with(Fact::NotNull, "t")]), "default dropped"),
    ];
    for (left, said) in cases {
        let why = unfit(&known, &left).join("; ");
        assert!(why.contains(said), "{why}");
    }
    let required = column("extra").with(Fact::NotNull, "t");
    let left =
        catalog([table(), column("title").with(Fact::NotNull, "t").with(Fact::Default, "''"), required]);
    assert!(unfit(&known, &left).join("; ").contains("extra"));
}
