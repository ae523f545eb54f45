//! Fuzz targets: everything that reads bytes which a disk, a tape or a stranger may have changed.
//!
//! A *target* is a function that takes any bytes and must return. It panics if a property does not
//! hold: a decoder that is not total, a round trip that changes something, an optimised algorithm
//! that differs from its plain model. The same functions run in two ways:
//!
//! * under libFuzzer (`make fuzz`), which looks for inputs that reach new code;
//! * in `cargo test` over the seeds, over every input that was ever found to break something
//!   (`found/`), and over mutations of both, from a seed that is printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a target reports"
)]

pub mod random;
pub mod seeds;
pub mod tape;
pub mod targets;

/// A target by name.
pub struct Target {
    /// Its name, that of its module and its program.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many runs of a cheap target one of this one costs; the tests try so many fewer mutations.
    pub cost: u64,
}

/// Every target.
pub const TARGETS: [Target; 14] = [
    Target { name: "blob", run: targets::blob::run, seeds: seeds::blobs, cost: 1 },
    Target {
        name: "dynamic_index",
        run: targets::dynamic_index::run,
        seeds: seeds::dynamic_indexes,
        cost: 1,
    },
    Target {
        name: "fixed_index",
        run: targets::fixed_index::run,
        seeds: seeds::fixed_indexes,
        cost: 1,
    },
    Target { name: "manifest", run: targets::manifest::run, seeds: seeds::manifests, cost: 1 },
    Target { name: "iscsi", run: targets::iscsi::run, seeds: seeds::iscsi_streams, cost: 1 },
    Target {
        name: "iscsi_target",
        run: targets::iscsi_target::run,
        seeds: seeds::iscsi_sessions,
        cost: 10,
    },
    Target { name: "key_file", run: targets::key_file::run, seeds: seeds::key_files, cost: 1 },
    Target {
        name: "media_catalog",
        run: targets::media_catalog::run,
        seeds: seeds::media_catalogs,
        cost: 2,
    },
    Target { name: "tape_files", run: targets::tape_files::run, seeds: seeds::tapes, cost: 2 },
    Target { name: "pxar", run: targets::pxar::run, seeds: seeds::archives, cost: 1 },
    Target { name: "catalog", run: targets::catalog::run, seeds: seeds::catalogs, cost: 1 },
    Target {
        name: "element_status",
        run: targets::element_status::run,
        seeds: seeds::element_statuses,
        cost: 1,
    },
    Target {
        name: "transcript",
        run: targets::transcript::run,
        seeds: seeds::transcripts,
        cost: 1,
    },
    Target { name: "chunker", run: targets::chunker::run, seeds: seeds::streams, cost: 1 },
];

/// A folder that goes away; in memory where the system has such a place, because each input makes some files.
fn memory_folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}
