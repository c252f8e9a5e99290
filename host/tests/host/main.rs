//! The host crate as a whole: a real agent, a real child runner, real processes and sockets.

mod damage;
mod drain;
mod flip;
mod hold;
mod runner;
mod support;
