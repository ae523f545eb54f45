//! The targets, one a module.

pub mod blob;
pub mod catalog;
pub mod chunker;
pub mod dynamic_index;
pub mod fixed_index;
pub mod key_file;
pub mod manifest;
pub mod pxar;
