//! The `capstan` program: arguments and glue.
//!
//! [`cli`] has one file a command group; each turns arguments into calls of the library crates and
//! results into text or JSON. Nothing below this package prints.

mod cli;
mod config;
mod device;
mod history;
mod iscsi;
mod keys;
mod output;
mod progress;
mod repository;

use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

fn main() -> ExitCode {
    // A walk holds one descriptor for each level of folders; the usual soft limit of 1024 is for
    // programs that use select(2). Without the raise deep trees fail with a clear error.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    cli::run()
}
