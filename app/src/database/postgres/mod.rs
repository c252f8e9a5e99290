//! PostgreSQL: the catalog reader, looks at live servers, a service's own database, and what is salvaged there.

pub mod catalog;
pub mod live;
pub mod live_schema;
pub mod salvage;
pub mod statistics;
