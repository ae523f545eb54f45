//! The plans in force: the process's own, and the one in the library's folder.
//!
//! | file in the library's folder | content |
//! |---|---|
//! | `faults.plan` | the plan's text |
//! | `faults.counts` | `CAPVTFC1`, CRC-64 of the plan's text, then per rule two numbers of 8 bytes, little-endian: commands that met its conditions, times that it took effect |
//!
//! The counters are read and written under an exclusive `flock` of their file, so that `once` is once
//! however many processes use the library, and synchronised when a rule took effect, so that it is once
//! across a power cut too. Counters of another plan count as zero: whatever a crash leaves of the two
//! files, a plan starts from its beginning or goes on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;

use super::engine::{Context, Count, decide};
use super::plan::{Effect, FaultPlan};
use crate::durable::{self, crc64};
use crate::error::{Error, Named, Result};
use crate::home::unpoisoned;

const MAGIC: [u8; 8] = *b"CAPVTFC1";
const HEADER: u64 = 16;
const COUNT: usize = 16;

/// A rule of the folder's plan and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleStatus {
    /// The rule's text.
    pub rule: String,
    /// Commands that met its conditions.
    pub met: u64,
    /// How often it took effect.
    pub fired: u64,
    /// It will not take effect any more.
    pub is_used_up: bool,
}

fn plan_path(dir: &Path) -> PathBuf {
    dir.join("faults.plan")
}

/// The counters of a plan, held exclusively.
struct Counters {
    file: Flock<File>,
    counts: Vec<Count>,
}

impl Counters {
    fn open(dir: &Path, plan: &FaultPlan, check: u64) -> io::Result<Counters> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(dir.join("faults.counts"))?;
        let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        let mut counts = vec![Count::default(); plan.rules.len()];
        let mut header = [0; HEADER as usize];
        let is_ours = match file.read_exact_at(&mut header, 0) {
            Ok(()) => header == head(check),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        if is_ours {
            let mut bytes = vec![0; counts.len() * COUNT];
            match file.read_exact_at(&mut bytes, HEADER) {
                Ok(()) => {
                    for (count, bytes) in counts.iter_mut().zip(bytes.chunks_exact(COUNT)) {
                        let (met, fired) = bytes.split_at(8);
                        count.met = met.try_into().map_or(0, u64::from_le_bytes);
                        count.fired = fired.try_into().map_or(0, u64::from_le_bytes);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Counters { file, counts })
    }

    fn write(&self, check: u64) -> io::Result<()> {
        let numbers = |count: &Count| [count.met.to_le_bytes(), count.fired.to_le_bytes()].concat();
        let body: Vec<u8> = self.counts.iter().flat_map(numbers).collect();
        self.file.write_all_at(&[&head(check)[..], &body].concat(), 0)
    }
}

fn head(check: u64) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    let (magic, crc) = header.split_at_mut(8);
    magic.copy_from_slice(&MAGIC);
    crc.copy_from_slice(&check.to_le_bytes());
    header
}

fn read_plan(dir: &Path) -> Result<Option<(FaultPlan, u64)>> {
    let path = plan_path(dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path, source }),
    };
    let plan: FaultPlan = text
        .parse()
        .map_err(|error: super::PlanError| Error::Malformed { path, reason: error.to_string() })?;
    let check = crc64(&[text.as_bytes()]);
    Ok((!plan.rules.is_empty()).then_some((plan, check)))
}

/// Writes a plan into a library's folder, with its counters at zero.
pub(crate) fn set(dir: &Path, plan: &FaultPlan) -> Result<()> {
    let path = dir.join("faults.counts");
    let text = plan.to_string();
    let mut counters = Counters::open(dir, plan, crc64(&[text.as_bytes()])).named(&path)?;
    counters.counts.fill(Count::default());
    durable::replace(&plan_path(dir), text.as_bytes())?;
    counters.write(crc64(&[text.as_bytes()])).named(&path)
}

/// Takes the plan out of a library's folder.
pub(crate) fn clear(dir: &Path) -> Result<()> {
    for name in ["faults.plan", "faults.counts"] {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).named(&path);
            }
            _ => {}
        }
    }
    durable::sync_folder(&plan_path(dir))
}

/// The plan in a library's folder and what became of it; nothing if there is none.
pub(crate) fn list(dir: &Path) -> Result<Vec<RuleStatus>> {
    let Some((plan, check)) = read_plan(dir)? else { return Ok(Vec::new()) };
    let counters = Counters::open(dir, &plan, check).named(&dir.join("faults.counts"))?;
    let status = plan.rules.iter().zip(&counters.counts).map(|(rule, count)| RuleStatus {
        rule: rule.to_string(),
        met: count.met,
        fired: count.fired,
        is_used_up: rule.times.is_some_and(|times| count.fired >= times),
    });
    Ok(status.collect())
}

#[derive(Default)]
struct Plans {
    process: Option<(FaultPlan, Vec<Count>)>,
    folder: Option<(FaultPlan, u64)>,
}

/// What goes wrong in a library, as this process sees it.
pub(crate) struct Faults {
    armed: AtomicBool,
    /// The robot's change counter when the folder was last looked at.
    seen_changes: AtomicU64,
    plans: Mutex<Plans>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            armed: AtomicBool::new(false),
            // No counter gets there: the folder is looked at before the first command.
            seen_changes: AtomicU64::new(u64::MAX),
            plans: Mutex::default(),
        }
    }
}

impl Faults {
    /// Sets or removes the process's own plan.
    pub fn set(&self, plan: Option<FaultPlan>) {
        let mut plans = unpoisoned(self.plans.lock());
        plans.process = plan.map(|plan| {
            let counts = vec![Count::default(); plan.rules.len()];
            (plan, counts)
        });
        self.arm(&plans);
    }

    fn arm(&self, plans: &Plans) {
        self.armed.store(plans.process.is_some() || plans.folder.is_some(), Ordering::Release);
    }

    /// Called with each look at the robot's change counter: a new plan counts as a change.
    pub fn notice(&self, dir: &Path, changes: u64) -> Result<()> {
        if self.seen_changes.load(Ordering::Acquire) == changes {
            return Ok(());
        }
        let mut plans = unpoisoned(self.plans.lock());
        plans.folder = read_plan(dir)?;
        self.arm(&plans);
        self.seen_changes.store(changes, Ordering::Release);
        Ok(())
    }

    /// True if there is a plan.
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    /// The effects that a command meets; those of the process's own plan first.
    pub fn decide(&self, dir: &Path, context: &Context) -> io::Result<Vec<Effect>> {
        let mut plans = unpoisoned(self.plans.lock());
        let mut effects = match &mut plans.process {
            Some((plan, counts)) => decide(plan, counts, context),
            None => Vec::new(),
        };
        if let Some((plan, check)) = &plans.folder {
            let mut counters = Counters::open(dir, plan, *check)?;
            let before = counters.counts.clone();
            let found = decide(plan, &mut counters.counts, context);
            if counters.counts != before {
                counters.write(*check)?;
            }
            if !found.is_empty() {
                counters.file.sync_data()?;
            }
            effects.extend(found);
        }
        Ok(effects)
    }
}
