//! The selection itself: a pure function.
//!
//! The rules are applied in the order of [`Rule::ALL`], each walking from the newest snapshot to the
//! oldest. Two subtleties decide what stays:
//!
//! * A period from which an *earlier* rule kept something needs nothing more, but its other
//!   snapshots stay open for later rules.
//! * Once a rule has kept one of a period, the older ones of that period are out for good.

use std::collections::HashSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{KeepOptions, Mark, Reason, Rule};
use crate::datastore::SnapshotInfo;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// What the selection has to know about a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its time in seconds since 1970. Within a group it is unique.
    pub time: i64,
    /// True if it has a manifest.
    pub finished: bool,
    /// True if it must not be removed.
    pub protected: bool,
}

impl From<&SnapshotInfo> for Candidate {
    fn from(info: &SnapshotInfo) -> Candidate {
        Candidate { time: info.path.time(), finished: info.finished, protected: info.protected }
    }
}

/// Decides about the snapshots of one group. The marks come in the order of the snapshots, whatever
/// that is. Hours, days, weeks, months and years are those of `zone`.
pub fn select(snapshots: &[Candidate], keep: &KeepOptions, zone: &TimeZone) -> Vec<Mark> {
    if keep.keeps_everything() {
        let mark = |snapshot: &Candidate| match snapshot.protected {
            true => Mark::Protected,
            false => Mark::Keep(None),
        };
        return snapshots.iter().map(mark).collect();
    }
    // Positions in `snapshots`, and so in `marks`, which has the same length.
    let mut newest_first: Vec<(usize, &Candidate)> = snapshots.iter().enumerate().collect();
    newest_first.sort_by_key(|(_, snapshot)| std::cmp::Reverse(snapshot.time));
    let mut marks = vec![None; snapshots.len()];

    // Only the very newest may be a backup that is still running.
    for (rank, (index, snapshot)) in newest_first.iter().enumerate() {
        if !snapshot.finished {
            marks[*index] =
                Some(if rank == 0 { Mark::KeepPartial } else { Mark::Remove(Reason::Unfinished) });
        }
    }
    for rule in Rule::ALL {
        apply(rule, keep.count(rule), &newest_first, zone, &mut marks);
    }
    // Protection comes last because it outweighs everything: neither is an unfinished snapshot
    // removed that somebody protected, nor does a protected one use up a slot.
    let decided = snapshots.iter().zip(marks);
    decided
        .map(|(snapshot, mark)| match mark {
            _ if snapshot.protected => Mark::Protected,
            Some(mark) => mark,
            None => Mark::Remove(Reason::Unneeded),
        })
        .collect()
}

fn apply(
    rule: Rule,
    count: u64,
    newest_first: &[(usize, &Candidate)],
    zone: &TimeZone,
    marks: &mut [Option<Mark>],
) {
    if count == 0 {
        return;
    }
    let kept = |mark: &Option<Mark>| matches!(mark, Some(Mark::Keep(_)));
    let mut served = HashSet::new();
    for (index, snapshot) in newest_first {
        if kept(&marks[*index]) {
            served.insert(period(rule, snapshot.time, zone));
        }
    }
    let mut ours = HashSet::new();
    for (index, snapshot) in newest_first {
        if marks[*index].is_some() || snapshot.protected {
            continue;
        }
        let period = period(rule, snapshot.time, zone);
        if served.contains(&period) {
            continue;
        }
        if ours.contains(&period) {
            marks[*index] = Some(Mark::Remove(Reason::Period(rule)));
            continue;
        }
        if ours.len() as u64 >= count {
            return;
        }
        ours.insert(period);
        marks[*index] = Some(Mark::Keep(Some(rule)));
    }
}

/// A number that two times share exactly if they lie in one period.
fn period(rule: Rule, time: i64, zone: &TimeZone) -> i64 {
    if rule == Rule::Last {
        return time;
    }
    // The last hours of the year 9999 are beyond what has a local time; they count in UTC. What is
    // beyond any calendar is a period of its own, so that nothing else pushes it out.
    let Some(local) = local(time, zone) else { return time };
    let date = local.date();
    let month = i64::from(date.year()) * 12 + i64::from(date.month());
    let day = month * 31 + i64::from(date.day());
    match rule {
        Rule::Last => time,
        Rule::Hourly => day * 24 + i64::from(local.hour()),
        Rule::Daily => day,
        Rule::Weekly => {
            // The week's own year: the last days of December may lie in week 1 of the next.
            let week = date.iso_week_date();
            i64::from(week.year()) * 54 + i64::from(week.week())
        }
        Rule::Monthly => month,
        Rule::Yearly => i64::from(date.year()),
    }
}

fn local(time: i64, zone: &TimeZone) -> Option<DateTime> {
    match Timestamp::from_second(time) {
        Ok(time) => Some(zone.to_datetime(time)),
        Err(_) => EPOCH.checked_add(SignedDuration::from_secs(time)).ok(),
    }
}
