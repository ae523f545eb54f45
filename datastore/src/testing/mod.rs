//! Storages for tests, behind the feature `testing`.

pub mod stops;

pub use stops::{Action, Gate, StopStorage, When};
