//! What a migration did, whether its down takes it back, and whether the release before it can live with it.
//!
//! Owns the classes of ups and downs, the table of rules, and the verdict. Reads catalogs that others have read
//! and statements that others have cut; runs nothing.

mod down;
mod up;

pub use down::{Destroyed, DownClass, Leftover};
pub use up::{UpClass, class_of, up_class};
