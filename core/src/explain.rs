//! The only English for verdicts, decisions and outcomes. Takes values, gives sentences without a full stop at
//! the end; decides nothing and knows no terminal.

mod decision;
mod event;
mod locks;
mod loss;
mod outcome;
mod owed;

pub use decision::{Tags, act, because, command_lines, headline, health, pulse, reasons, span};
pub use event::{EventText, Tone, event};
pub use locks::lock;
pub use loss::loss;
pub use outcome::outcome;
pub use owed::{Owed, owed};
