//! What unship decides.
//!
//! Nothing here reads a file, a clock, a socket or a random number: time and facts are arguments, so the
//! same evidence gives the same plan, and every rule can be tested as a table.
//!
//! In the order of the flow: [`release`] names things, [`evidence`] carries facts, [`sql`] cuts and reads
//! statements, [`schema`] compares catalogs, [`tools`] reads migrations, [`verdict`] judges them, [`down`] compiles one step down, [`running`] knows releases by what runs, [`plan`] orders
//! steps, [`journal`] records and folds them, [`protocol`] is what a host is asked and answers.

pub mod aftercare;
pub mod capsule;
pub mod ci;
pub mod decision;
pub mod down;
pub mod evidence;
pub mod explain;
pub mod flags;
pub mod frame;
pub mod history;
pub mod journal;
pub mod plan;
pub mod protocol;
pub mod queries;
pub mod release;
pub mod running;
pub mod schema;
pub mod sql;
pub mod time;
pub mod tools;
pub mod units;
pub mod verdict;
