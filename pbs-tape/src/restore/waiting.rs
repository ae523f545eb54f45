//! Snapshots that were read from tape, tried whenever chunks may have come that they lacked.

use super::pending::{Pending, Published};
use super::selection::Choice;
use super::unpack::Groups;
use super::{Job, RestoreReport};
use crate::error::{Error, Result};
use crate::loader::check_abort;

struct Waiting {
    choice: Choice,
    pending: Pending,
}

/// All that wait.
pub(super) struct WaitingList<'a> {
    job: &'a Job<'a>,
    groups: Groups,
    waiting: Vec<Waiting>,
}

impl<'a> WaitingList<'a> {
    pub fn new(job: &'a Job<'a>) -> WaitingList<'a> {
        WaitingList { job, groups: Groups::default(), waiting: Vec::new() }
    }

    /// Takes a snapshot whose files are there.
    pub fn add(&mut self, choice: Choice, pending: Pending) {
        self.waiting.push(Waiting { choice, pending });
    }

    /// True if a snapshot of this name waits.
    pub fn contains(&self, name: &str) -> bool {
        self.waiting.iter().any(|one| one.choice.name == name)
    }

    /// Lets appear what is whole now.
    pub fn publish_whole(&mut self, report: &mut RestoreReport) -> Result<()> {
        for mut one in std::mem::take(&mut self.waiting) {
            check_abort(self.job.progress)?;
            if one.pending.is_worth_a_try()? {
                self.publish(&mut one, report)?;
            }
            if !one.choice.into.is_empty() {
                self.waiting.push(one);
            }
        }
        Ok(())
    }

    /// Lets the one appear that came last, if it is whole.
    pub fn publish_last(&mut self, report: &mut RestoreReport) -> Result<()> {
        if let Some(mut one) = self.waiting.pop() {
            self.publish(&mut one, report)?;
            if !one.choice.into.is_empty() {
                self.waiting.push(one);
            }
        }
        Ok(())
    }

    /// A last try. What lacks chunks has failed. Its files stay for a later restore, unless `forget`.
    pub fn finish(mut self, forget: bool, report: &mut RestoreReport) -> Result<()> {
        for mut one in std::mem::take(&mut self.waiting) {
            check_abort(self.job.progress)?;
            if let Some(lacking) = self.publish(&mut one, report)? {
                report.failed(self.job.progress, &one.choice.name, &lacking);
                if forget {
                    one.pending.remove()?;
                }
            }
        }
        Ok(())
    }

    /// Tries one snapshot in each of its namespaces; those that are settled are taken from it. What it lacks, if it lacks anything.
    fn publish(&mut self, one: &mut Waiting, report: &mut RestoreReport) -> Result<Option<Error>> {
        let (job, name) = (self.job, one.choice.name.clone());
        let mut has_appeared = false;
        while let Some(namespace) = one.choice.into.last().cloned() {
            let (target, owner) = (&one.choice.target, &job.options.owner);
            match one.pending.publish(&mut self.groups, target, &namespace, owner) {
                Ok(Published::Yes) => has_appeared = true,
                Ok(Published::Exists) => {
                    report.snapshots_skipped.push((name.clone(), "it exists already".into()));
                }
                Ok(Published::NotYet(lacking)) => return Ok(Some(lacking)),
                Err(e) if e.is_aborted() => return Err(e),
                Err(e) => report.failed(job.progress, &name, &e),
            }
            one.choice.into.pop();
        }
        if has_appeared {
            job.progress.note(&format!("restored snapshot {name}"));
            report.snapshots_restored.push(name);
        }
        one.pending.remove()?;
        Ok(None)
    }
}
