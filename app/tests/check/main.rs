//! `check` on a real PostgreSQL: the fixtures, hostile SQL, the life of the throwaway server, the command line.
//!
//! Which PostgreSQL is `UNSHIP_PG_BIN`'s choice, as everywhere; `make test-pg-matrix` runs this over several.

mod classes;
mod command;
mod hostile;
mod life;
mod world;
