//! Rows to objects: all queries of the reader give text columns in a fixed order.

use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use unship_core::schema::Object;

/// An object and the oid of the unit it was read with.
#[derive(Debug)]
pub(super) struct Found {
    pub oid: u32,
    pub object: Object,
}

/// Columns of one row, taken one after the other.
pub(super) struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Columns<'r> {
    pub fn of(row: &'r PgRow) -> Self {
        Self { row, next: 0 }
    }

    fn place(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    pub fn oid(&mut self) -> Result<u32, sqlx::Error> {
        let place = self.place();
        self.row.try_get::<Oid, _>(place).map(|oid| oid.0)
    }

    /// NULL reads as empty: a fact that is not there.
    pub fn text(&mut self) -> Result<String, sqlx::Error> {
        let place = self.place();
        self.row.try_get::<Option<String>, _>(place).map(Option::unwrap_or_default)
    }

    pub fn number(&mut self) -> Result<i32, sqlx::Error> {
        let place = self.place();
        self.row.try_get(place)
    }
}
