//! Couriers: each brings a notice to one place, and brings the same notice only once.

mod note_file;

pub use note_file::NoteFile;
