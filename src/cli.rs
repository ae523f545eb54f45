//! The command line: one file a command group.

mod backup;
mod catalog;
mod changer;
mod confirm;
mod datastore;
mod file_options;
mod group;
mod iscsi;
mod key;
mod mt;
mod mtx;
mod namespace;
mod notes_text;
mod place;
mod prune;
mod prune_simulator;
mod removal;
mod restore;
mod robot;
mod snapshot;
mod tape;
mod verification;
mod vtl;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::config::Places;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything worked.
    Complete,
    /// It ended, but not everything worked; the messages say what.
    Incomplete,
}

/// Exit code of a command that failed.
const EXIT_FAILED: u8 = 1;
/// Exit code of a command that ended without doing everything (clap uses 2 for wrong usage).
const EXIT_INCOMPLETE: u8 = 3;

const AFTER_HELP: &str = "\
Exit codes: 0 everything worked, 1 it failed, 2 wrong usage, 3 it ended but not everything worked.

Example: a folder to a datastore, and back
  capstan datastore create archive /srv/archive
  capstan backup docs.pxar:/usr/share/doc --repository archive
  capstan restore host/$(hostname) docs.pxar ./docs --repository archive";

/// Back up files and disks into a deduplicating datastore, rotate them to LTO tape, and get them
/// back.
#[derive(Debug, Parser)]
#[command(name = "capstan", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// Folder of the configuration [default: /etc/capstan for root, ~/.config/capstan otherwise]
    // Variables are read by `Places`: with clap's `env` they would stand in every usage line, and an
    // empty one would be an error.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Folders")]
    config: Option<PathBuf>,
    /// Folder of the state: inventories, catalogs, locks [default: /var/lib/capstan for root,
    /// ~/.local/state/capstan otherwise]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Folders")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    #[command(subcommand)]
    Datastore(datastore::DatastoreCommand),
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    #[command(subcommand)]
    Group(group::GroupCommand),
    #[command(subcommand)]
    Namespace(namespace::NamespaceCommand),
    Prune(prune::PruneArgs),
    PruneSimulator(prune_simulator::SimulatorArgs),
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
    #[command(subcommand)]
    Tape(tape::TapeCommand),
    Mt(mt::MtArgs),
    #[command(subcommand)]
    Changer(changer::ChangerCommand),
    Mtx(mtx::MtxArgs),
    #[command(subcommand)]
    Iscsi(iscsi::IscsiCommand),
    #[command(subcommand)]
    Vtl(vtl::VtlCommand),
}

/// Parses the arguments and runs the command.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::from(EXIT_INCOMPLETE),
        Err(error) => {
            crate::progress::say(&format!("capstan: {}", message(&error)));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// The chain of reasons on one line. Errors of the libraries name their cause in their own text, so
/// that it is there wherever they are shown; what was said is not said again.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for reason in error.chain() {
        let reason = reason.to_string();
        if text.contains(&reason) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&reason);
    }
    text
}

fn dispatch(cli: Cli) -> Result<Outcome> {
    let places = Places::find(cli.config, cli.state)?;
    crate::device::set_places(&places);
    match cli.command {
        Command::Backup(args) => backup::run(&places, &args),
        Command::Restore(args) => restore::run(&places, &args),
        Command::Datastore(command) => datastore::run(&places, &command),
        Command::Snapshot(command) => snapshot::run(&places, &command),
        Command::Group(command) => group::run(&places, &command),
        Command::Namespace(command) => namespace::run(&places, &command),
        Command::Prune(args) => prune::run(&places, &args),
        Command::PruneSimulator(args) => prune_simulator::run(&places, &args),
        Command::Catalog(command) => catalog::run(&places, &command),
        Command::Key(command) => key::run(&places, &command),
        Command::Tape(command) => tape::run(&places, &command),
        Command::Mt(args) => mt::run(&places, &args),
        Command::Changer(command) => changer::run(&command),
        Command::Mtx(args) => mtx::run(&places, &args),
        Command::Iscsi(command) => iscsi::run(&places, &command),
        Command::Vtl(command) => vtl::run(&command),
    }
}

/// The number of worker threads asked for, or one a processor.
pub fn threads(asked: Option<usize>) -> usize {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(processors).clamp(1, 64)
}

/// Identifies a task of this process in the reference's form, as results of verifications carry it.
pub fn task_name(worker: &str, object: &str) -> Result<String> {
    let node = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let node = node.split('.').next().unwrap_or("localhost").to_owned();
    let started = ::datastore::time::now();
    Ok(format!(
        "UPID:{node}:{:08X}:{:08X}:{:08X}:{started:08X}:{worker}:{}:{}:",
        std::process::id(),
        process_start_ticks().unwrap_or(0),
        0,
        ::datastore::lock::escape(object),
        crate::repository::caller()?,
    ))
}

/// When this process began, in clock ticks since the machine did.
fn process_start_ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold anything; the fields go on behind its last parenthesis.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_reason_is_told_once() {
        let inner = std::io::Error::from_raw_os_error(libc::ENOSPC);
        let error = ::datastore::Error::io("write", "/x", inner);
        let error = anyhow::Error::from(error).context("the backup failed");
        assert_eq!(
            message(&error),
            "the backup failed: cannot write /x: No space left on device (os error 28)"
        );
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command that does something says what, with an example.
    #[test]
    fn every_command_has_help_with_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} says nothing");
            let leaf = command.get_subcommands().next().is_none();
            if leaf {
                let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(after.contains("capstan "), "{path} has no example");
            }
            for inner in command.get_subcommands() {
                check(inner, &path);
            }
        }
        check(&Cli::command(), "");
    }
}
