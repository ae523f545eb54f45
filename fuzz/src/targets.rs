//! The targets, one a module, and what both kinds of index have in common.

pub mod blob;
pub mod catalog;
pub mod chunker;
pub mod dynamic_index;
pub mod element_status;
pub mod fixed_index;
mod index;
pub mod iscsi;
pub mod iscsi_target;
pub mod key_file;
pub mod manifest;
pub mod media_catalog;
pub mod pxar;
pub mod tape_files;
pub mod transcript;
