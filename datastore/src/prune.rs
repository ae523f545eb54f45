//! Thinning out the snapshots of a group by age (`docs/formats/prune.md`).
//!
//! Which snapshots stay is decided by [`select`], a pure function of what is there, the options and
//! a time zone; nothing on the disk is asked, so a plan, a dry run and a simulation cannot differ.
//! [`plan`] lists and decides, [`execute`] removes what a plan says.
//!
//! # Why pruning loses nothing that should stay
//!
//! * The plan of a group is complete before its first removal, and it is made of one listing. A
//!   backup that begins later is in no plan.
//! * Every removal is that of [`Datastore::forget_snapshot`](crate::Datastore::forget_snapshot):
//!   under the exclusive lock of the snapshot, refused if somebody protected it meanwhile or reads
//!   it. Such a refusal is a warning, and the others go on.
//! * A snapshot that the plan counts as left unfinished is looked at again before its removal: a
//!   restore from tape may have finished it meanwhile.
//! * Oldest first: a run that is stopped has removed what is worth least.
//! * Without any option everything stays.

mod run;
mod select;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use run::{GroupPlan, Planned, Removals, execute, plan, plan_group};
pub use select::{Candidate, select};

/// How many snapshots to keep, by rule. 0 is the same as not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct KeepOptions {
    /// The newest ones.
    #[serde(rename = "keep-last", skip_serializing_if = "is_zero")]
    pub last: u64,
    /// The newest of each of so many hours that have any.
    #[serde(rename = "keep-hourly", skip_serializing_if = "is_zero")]
    pub hourly: u64,
    /// The newest of each of so many days that have any.
    #[serde(rename = "keep-daily", skip_serializing_if = "is_zero")]
    pub daily: u64,
    /// The newest of each of so many ISO weeks that have any.
    #[serde(rename = "keep-weekly", skip_serializing_if = "is_zero")]
    pub weekly: u64,
    /// The newest of each of so many months that have any.
    #[serde(rename = "keep-monthly", skip_serializing_if = "is_zero")]
    pub monthly: u64,
    /// The newest of each of so many years that have any.
    #[serde(rename = "keep-yearly", skip_serializing_if = "is_zero")]
    pub yearly: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl KeepOptions {
    /// True if no rule keeps anything, which means that everything stays.
    pub fn keeps_everything(&self) -> bool {
        Rule::ALL.iter().all(|rule| self.count(*rule) == 0)
    }

    /// How many a rule keeps.
    pub fn count(&self, rule: Rule) -> u64 {
        match rule {
            Rule::Last => self.last,
            Rule::Hourly => self.hourly,
            Rule::Daily => self.daily,
            Rule::Weekly => self.weekly,
            Rule::Monthly => self.monthly,
            Rule::Yearly => self.yearly,
        }
    }
}

/// One of the six rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// The newest.
    Last,
    /// One an hour.
    Hourly,
    /// One a day.
    Daily,
    /// One an ISO week.
    Weekly,
    /// One a month.
    Monthly,
    /// One a year.
    Yearly,
}

impl Rule {
    /// All rules in the order in which they are applied.
    pub const ALL: [Rule; 6] =
        [Rule::Last, Rule::Hourly, Rule::Daily, Rule::Weekly, Rule::Monthly, Rule::Yearly];

    /// Its name, as in `keep-NAME`.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Last => "last",
            Rule::Hourly => "hourly",
            Rule::Daily => "daily",
            Rule::Weekly => "weekly",
            Rule::Monthly => "monthly",
            Rule::Yearly => "yearly",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What becomes of a snapshot, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// It stays because somebody protected it.
    Protected,
    /// It stays because of a rule; `None`: there is no rule at all, so everything stays.
    Keep(Option<Rule>),
    /// It stays although it is unfinished, because nothing newer is there: its backup may be
    /// running.
    KeepPartial,
    /// It goes.
    Remove(Reason),
}

/// Why a snapshot goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is unfinished, and something newer is there.
    Unfinished,
    /// A rule kept a newer one of the same period, and that is final.
    Period(Rule),
    /// No rule needs it.
    Unneeded,
}

impl Mark {
    /// True if the snapshot stays.
    pub fn keeps(self) -> bool {
        !matches!(self, Mark::Remove(_))
    }

    /// The rule that decided, if one did.
    pub fn rule(self) -> Option<Rule> {
        match self {
            Mark::Keep(rule) => rule,
            Mark::Remove(Reason::Period(rule)) => Some(rule),
            _ => None,
        }
    }

    /// The word for it: `protected`, `keep`, `keep-partial` or `remove`.
    pub fn as_str(self) -> &'static str {
        match self {
            Mark::Protected => "protected",
            Mark::Keep(_) => "keep",
            Mark::KeepPartial => "keep-partial",
            Mark::Remove(_) => "remove",
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
