//! `unship migrate` beside the real migration tools: what one of them did, the other takes for its own; and every
//! way in which a tool reverts the wrong migration, shown with the tool and not taken by unship.

#![allow(clippy::print_stdout, reason = "a test says what it skips")]

mod both;
mod documented;
mod traps;
mod verb;
mod world;
