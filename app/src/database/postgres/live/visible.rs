//! The catalog as the service's: without the tool's version table, and without what unship keeps there.

use unship_core::schema::{Catalog, Fact, Kind, Object};
use unship_core::tools::{Tool, about};

use super::home::SCHEMA;

/// Takes out what is not the service's.
pub fn visible(catalog: &Catalog, tool: Tool) -> Catalog {
    let names: Vec<String> = about(tool).table.iter().map(|table| table.name.to_owned()).collect();
    let mut catalog = catalog.without_tables(&names);
    let ours: Vec<_> = catalog.objects().filter(|object| is_ours(object)).cloned().collect();
    for object in ours {
        let key = unship_core::schema::Key { kind: object.kind, name: object.name.clone() };
        catalog.remove(&key, object.address);
    }
    catalog
}

/// Everything in the schema, the schema, and triggers that call a function of it.
fn is_ours(object: &Object) -> bool {
    let calls = || {
        let definition = object.fact(Fact::Definition).unwrap_or_default();
        definition
            .split_once(" EXECUTE FUNCTION ")
            .is_some_and(|(_, call)| call.strip_prefix(SCHEMA).is_some_and(|rest| rest.starts_with('.')))
    };
    object.name.schema == SCHEMA
        || object.kind == Kind::Schema && object.name.object == SCHEMA
        || object.kind == Kind::Trigger && calls()
}
