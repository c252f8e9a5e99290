//! The program: flows over ports, the backends behind them, and the command line.
//!
//! [`flow`](crate::flow) names no backend and prints nothing; only [`wire`](crate::wire) names concrete
//! backends; [`cli`](crate::cli) decides nothing.

pub mod aftercare;
pub mod ci;
pub mod cli;
pub mod command;
pub mod config;
pub mod database;
pub mod flags;
pub mod flow;
pub mod gather;
pub mod inventory;
pub mod ledger;
pub mod load;
pub mod placeholders;
pub mod plain;
pub mod ports;
pub mod probe;
pub mod process;
pub mod secrets;
pub mod sender;
pub mod service_commands;
pub mod source;
pub mod transport;
pub mod unit_files;
pub mod wire;
