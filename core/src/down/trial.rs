//! What was seen when a down was run on a throwaway database.

use crate::schema::Catalog;
use crate::sql::ObjectName;
use crate::verdict::RunFailure;

/// A down that was run for good on a throwaway database, where its up and all before it had been run.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The catalog before it.
    pub before: Catalog,
    /// The catalog after it, or why there is none; then the database is as it was.
    pub after: Result<Catalog, RunFailure>,
    /// In the database's words why one transaction cannot hold it, if so. It was then run as its tool runs it.
    pub outside: Option<String>,
    /// Tables that were there before it and that it wrote to or kept writers from, by schema and name. Empty where
    /// the database locks as a whole.
    pub locks: Vec<ObjectName>,
    /// Columns that were there before it, of tables that it wrote anew, where it wrote the column's own definition too:
    /// their values may be other ones now, whatever their type. By table and column; empty where the database shows its
    /// losses in another way.
    pub rewritten: Vec<(ObjectName, String)>,
    /// What had to be given or left out for it to run there.
    pub remarks: Vec<String>,
}

impl Trial {
    /// Nothing was run, because there is nothing to run.
    pub fn of_nothing(catalog: Catalog) -> Trial {
        Trial {
            before: catalog.clone(),
            after: Ok(catalog),
            outside: None,
            locks: Vec::new(),
            rewritten: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// It did not run.
    pub fn failed(before: Catalog, failure: RunFailure, remarks: Vec<String>) -> Trial {
        Trial {
            before,
            after: Err(failure),
            outside: None,
            locks: Vec::new(),
            rewritten: Vec::new(),
            remarks,
        }
    }
}
