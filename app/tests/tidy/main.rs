//! The rules of the house that no compiler holds, read from the source as text: which module may name which,
//! how long a file may be, which words are not written.

mod commands;
mod docs;
mod source;
mod walls;
