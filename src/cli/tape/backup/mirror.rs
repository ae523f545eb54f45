//! `capstan tape backup --mirror POOL:DRIVE`: several complete copies, each in a pool of its own.

use std::sync::Arc;

use anyhow::{Context, Result};
use pbs_tape::media::{PoolConfig, StateDir};
use pbs_tape::station::DriveStation;
use pbs_tape::write::{CopyTo, MirrorReport, TapeBackupOptions, run_mirrored};

use super::{BackupArgs, feed_text};
use crate::cli::Outcome;
use crate::cli::tape::pool;
use crate::config::Tape;
use crate::output::{OutputFormat, bytes};
use crate::progress::Bar;
use crate::repository::Repository;

/// The drive of a copy `POOL:DRIVE`.
pub fn drive_of(copy: &str) -> Result<&str> {
    parts(copy).map(|(_, drive)| drive)
}

fn parts(copy: &str) -> Result<(&str, &str)> {
    copy.split_once(':')
        .filter(|(pool, drive)| !pool.is_empty() && !drive.is_empty())
        .with_context(|| format!("--mirror '{copy}' must have the form POOL:DRIVE"))
}

/// What all copies have in common.
pub struct Job<'a> {
    pub state: &'a StateDir,
    pub tape: &'a Tape,
    pub repository: &'a Repository,
    pub options: &'a TapeBackupOptions,
    pub bar: &'a Arc<Bar>,
}

impl Job<'_> {
    /// Writes the first copy into the pool `first` and one more for each `--mirror`; the stations are in that order.
    pub fn run(
        &self,
        first: PoolConfig,
        mut stations: Vec<DriveStation>,
        args: &BackupArgs,
    ) -> Result<Outcome> {
        let mut pools = vec![first];
        for copy in &args.mirror {
            pools.push(pool::find(self.tape, parts(copy)?.0)?.0);
        }
        let copies = pools.into_iter().zip(&mut stations);
        let copies = copies.map(|(pool, loader)| CopyTo { pool, loader }).collect();
        let (store, name) = (&self.repository.store, &self.repository.name);
        let report = run_mirrored(self.state, store, copies, self.options, &**self.bar)
            .with_context(|| format!("the backup of '{name}' to tape failed"))?;
        self.tell(&report, args.output.output_format);
        args.output.print(&report, |report| {
            let sets = report.copies.iter().map(|copy| copy.report.media_set_uuid.to_string());
            sets.collect::<Vec<_>>().join("\n")
        })?;
        Ok(if report.is_complete() { Outcome::Complete } else { Outcome::Incomplete })
    }

    fn tell(&self, report: &MirrorReport, format: OutputFormat) {
        for copy in &report.copies {
            for (snapshot, reason) in &copy.report.snapshots_failed {
                self.bar.warn(&format!("{}: {snapshot}: {reason}", copy.pool));
            }
            if let Some(error) = &copy.error {
                self.bar.warn(&format!(
                    "the copy in pool {} on drive {} ended early: {error}",
                    copy.pool, copy.drive
                ));
            }
        }
        if format != OutputFormat::Text {
            return;
        }
        for copy in &report.copies {
            self.bar.line(&format!(
                "{} on {}: {} snapshots written, {} were there already; {} chunks, {} on {}",
                copy.pool,
                copy.drive,
                copy.report.snapshots_written.len(),
                copy.report.snapshots_skipped,
                copy.report.chunks,
                bytes(copy.report.tape_bytes),
                copy.report.tapes.join(" "),
            ));
        }
        self.bar.line(&feed_text(&report.feed));
    }
}
