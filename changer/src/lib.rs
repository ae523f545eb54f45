//! Media changers.

mod error;

pub use error::{Error, Result};
