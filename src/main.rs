//! The `capstan` program: arguments and glue.
//!
//! [`cli`] has one file a command group; each turns arguments into calls of the library crates and
//! results into text or JSON. Nothing below this package prints.

mod cli;
mod config;
mod device;
mod keys;
mod output;
mod progress;
mod repository;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
