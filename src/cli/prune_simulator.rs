//! `capstan prune-simulator`

mod calendar;

use anyhow::{Context, Result, bail};
use clap::Args;
use datastore::calendar::CalendarEvent;
use datastore::prune::{Candidate, KeepOptions, Mark, Rule, select};
use datastore::{BackupGroup, Namespace};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;

use self::calendar::Calendar;
use super::Outcome;
use super::prune::{KeepArgs, reason};
use crate::config::Places;
use crate::output::{OutputArgs, table};
use crate::progress::Bar;
use crate::repository;

/// Snapshots of one simulation.
const SNAPSHOTS_MAX: usize = 1_000_000;
/// Longest simulated time.
const DAYS_MAX: i64 = 50 * 366;

const AFTER_HELP: &str = "\
A day shows the snapshots that stay: l kept by --keep-last, h hourly, d daily, w weekly, m monthly,
y yearly, with a number if there are several; p protected; a dot if all of the day go.

Schedules are calendar events: hourly, daily, weekly, monthly, yearly, or days and times: 21:30,
6,18:00, 0/4:00 (every four hours), 8..18:0/30, 'mon..fri 22:00', 'sat *-*-1..7 3:00'. --every may be
repeated. Nothing is read or removed unless a group is named, and nothing is ever removed.

Examples:
  capstan prune-simulator --keep-daily 7 --keep-weekly 4 --keep-monthly 6
  capstan prune-simulator --every 0/4:00 --keep-last 6 --keep-daily 7 --days 60
  capstan prune-simulator host/elsa --repository archive --keep-weekly 8";

/// Show a calendar of the snapshots that would stay
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct SimulatorArgs {
    /// The snapshots of this group (type/id) instead of simulated ones
    #[arg(requires = "repository", conflicts_with_all = ["every", "days", "until", "after_each"])]
    group: Option<String>,
    /// When backups are made [default: daily]
    #[arg(long, value_name = "EVENT")]
    every: Vec<CalendarEvent>,
    /// For how many days backups were made [default: as far as the options reach back]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
    days: Option<i64>,
    /// The moment that is simulated, e.g. 2024-05-01 or 2024-05-01T10:00 [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime>,
    /// Prune after each backup instead of once in the end
    #[arg(long)]
    after_each: bool,
    /// Also list each snapshot, with the reason why it stays or goes
    #[arg(long)]
    list: bool,
    /// Width of the calendar in columns
    #[arg(long, default_value_t = 80, value_name = "N")]
    width: usize,
    /// Datastore of the group: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: Option<String>,
    /// Namespace of the group
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    keep: KeepArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Simulation {
    time_zone: String,
    keep: KeepOptions,
    total: usize,
    kept: usize,
    rules: Vec<RuleSummary>,
    /// Oldest first.
    snapshots: Vec<Simulated>,
}

/// What one rule keeps.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct RuleSummary {
    rule: Rule,
    wanted: u64,
    kept: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Simulated {
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_id: Option<String>,
    backup_time: i64,
    keep: bool,
    protected: bool,
    mark: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
    #[serde(skip)]
    decided: Mark,
}

pub fn run(places: &Places, args: &SimulatorArgs) -> Result<Outcome> {
    let zone = super::prune::time_zone()?;
    let keep = args.keep.options();
    let group: Option<BackupGroup> = args.group.as_deref().map(str::parse).transpose()?;
    let mut outcome = Outcome::Complete;
    let snapshots = match (&group, &args.repository) {
        (Some(group), Some(repository)) => {
            let mut odd = Vec::new();
            let snapshots = of_group(places, repository, &args.ns, group, &mut odd)?;
            let bar = Bar::bytes("simulate");
            for line in &odd {
                bar.warn(line);
                outcome = Outcome::Incomplete;
            }
            snapshots
        }
        _ => invent(args, &keep, &zone)?,
    };
    let marks = match args.after_each {
        true => prune_after_each(&snapshots, &keep, &zone),
        false => select(&snapshots, &keep, &zone),
    };
    let snapshots: Vec<Simulated> = snapshots
        .iter()
        .zip(marks)
        .map(|(snapshot, mark)| Simulated {
            backup_type: group.as_ref().map(|group| group.backup_type().to_string()),
            backup_id: group.as_ref().map(|group| group.id().to_owned()),
            backup_time: snapshot.time,
            keep: mark.keeps(),
            protected: snapshot.protected,
            mark: mark.as_str(),
            rule: mark.rule(),
            decided: mark,
        })
        .collect();
    let simulation = Simulation {
        time_zone: zone.iana_name().unwrap_or("local").to_owned(),
        keep,
        total: snapshots.len(),
        kept: snapshots.iter().filter(|snapshot| snapshot.keep).count(),
        rules: summarise(&snapshots, &keep),
        snapshots,
    };
    args.output.print(&simulation, |simulation| text(simulation, &zone, args))?;
    Ok(outcome)
}

fn of_group(
    places: &Places,
    repository: &str,
    ns: &str,
    group: &BackupGroup,
    odd: &mut Vec<String>,
) -> Result<Vec<Candidate>> {
    let namespace: Namespace = ns.parse()?;
    let repository = repository::open(places, repository)?;
    repository.store.require_namespace(&namespace)?;
    let snapshots = repository.store.snapshots(&namespace, group, odd)?;
    if snapshots.is_empty() {
        bail!("group {group} has no snapshots");
    }
    Ok(snapshots.iter().map(Candidate::from).collect())
}

/// Snapshots as a schedule makes them.
fn invent(args: &SimulatorArgs, keep: &KeepOptions, zone: &TimeZone) -> Result<Vec<Candidate>> {
    let last = match args.until {
        Some(until) => until.to_zoned(zone.clone()).context("--until is out of range")?.timestamp(),
        None => Timestamp::now(),
    };
    let events = if args.every.is_empty() { vec!["daily".parse()?] } else { args.every.clone() };
    let days = args.days.unwrap_or_else(|| reach_days(keep));
    let first: Date = zone
        .to_datetime(last)
        .date()
        .checked_sub(Span::new().days(days - 1))
        .context("--days reaches back too far")?;
    let begin = first.to_zoned(zone.clone()).context("--days reaches back too far")?.timestamp();
    let mut times = Vec::new();
    for event in &events {
        let moments = event.between(begin.as_second() - 1, last.as_second(), zone);
        times.extend(moments.take(SNAPSHOTS_MAX + 1));
        if times.len() > SNAPSHOTS_MAX {
            bail!("these are more than {SNAPSHOTS_MAX} snapshots; give a smaller --days");
        }
    }
    times.sort_unstable();
    times.dedup();
    if times.is_empty() {
        bail!("no backup is made in these {days} days; give a larger --days");
    }
    Ok(times.into_iter().map(|time| Candidate { time, finished: true, protected: false }).collect())
}

/// For how many days there must have been backups so that every rule finds what it wants. Rules
/// reach back one behind the other.
fn reach_days(keep: &KeepOptions) -> i64 {
    let days = keep
        .daily
        .saturating_add(keep.last)
        .saturating_add(keep.hourly / 24)
        .saturating_add(keep.weekly.saturating_mul(7))
        .saturating_add(keep.monthly.saturating_mul(31))
        .saturating_add(keep.yearly.saturating_mul(366))
        .saturating_add(31);
    i64::try_from(days).unwrap_or(DAYS_MAX).min(DAYS_MAX)
}

/// What is left if each backup is followed by pruning.
fn prune_after_each(snapshots: &[Candidate], keep: &KeepOptions, zone: &TimeZone) -> Vec<Mark> {
    if keep.keeps_everything() {
        return select(snapshots, keep, zone);
    }
    let mut marks: Vec<Option<Mark>> = vec![None; snapshots.len()];
    let mut present: Vec<(usize, Candidate)> = Vec::new();
    for (number, snapshot) in snapshots.iter().enumerate() {
        present.push((number, *snapshot));
        let candidates: Vec<Candidate> = present.iter().map(|(_, snapshot)| *snapshot).collect();
        let decided = select(&candidates, keep, zone);
        for ((number, _), mark) in present.iter().zip(&decided) {
            if let Some(slot) = marks.get_mut(*number) {
                *slot = Some(*mark);
            }
        }
        let mut decided = decided.into_iter();
        present.retain(|_| decided.next().is_some_and(Mark::keeps));
    }
    // Every snapshot was decided about at least once, when it came.
    marks.into_iter().flatten().collect()
}

fn summarise(snapshots: &[Simulated], keep: &KeepOptions) -> Vec<RuleSummary> {
    let of_rule = |rule: Rule| {
        let mut summary =
            RuleSummary { rule, wanted: keep.count(rule), kept: 0, newest: None, oldest: None };
        for snapshot in snapshots.iter().filter(|s| s.decided == Mark::Keep(Some(rule))) {
            let time = Some(snapshot.backup_time);
            summary.kept += 1;
            summary.oldest = summary.oldest.min(time).or(time);
            summary.newest = summary.newest.max(time);
        }
        summary
    };
    Rule::ALL.into_iter().filter(|rule| keep.count(*rule) > 0).map(of_rule).collect()
}

fn local(time: i64, zone: &TimeZone) -> Option<DateTime> {
    Timestamp::from_second(time).ok().map(|time| zone.to_datetime(time))
}

fn text(simulation: &Simulation, zone: &TimeZone, args: &SimulatorArgs) -> String {
    let when = |time: i64| {
        local(time, zone)
            .map_or_else(|| time.to_string(), |time| time.strftime("%a %Y-%m-%d %H:%M").to_string())
    };
    let mut calendar = Calendar::default();
    for snapshot in &simulation.snapshots {
        if let Some(time) = local(snapshot.backup_time, zone) {
            calendar.add(time.date(), snapshot.decided);
        }
    }
    let mut text = calendar.render(args.width);
    text.push_str(&calendar.legend());
    text.push_str("\n\n");
    let rows = simulation.rules.iter().map(|rule| {
        let time = |time: Option<i64>| time.map(when).unwrap_or_default();
        vec![
            rule.rule.to_string(),
            rule.wanted.to_string(),
            rule.kept.to_string(),
            time(rule.newest),
            time(rule.oldest),
        ]
    });
    if !simulation.rules.is_empty() {
        text.push_str(&table(&["rule", "wanted", "kept", "newest", "oldest"], rows));
        text.push('\n');
    }
    if args.list {
        let rows = simulation.snapshots.iter().map(|snapshot| {
            let action = if snapshot.keep { "keep" } else { "remove" };
            vec![when(snapshot.backup_time), action.to_owned(), reason(snapshot.decided)]
        });
        text.push_str(&table(&["time", "action", "reason"], rows));
        text.push('\n');
    }
    let times = simulation.snapshots.iter().map(|snapshot| snapshot.backup_time);
    if let (Some(first), Some(last)) = (times.clone().min(), times.max()) {
        let (first, last) = (when(first), when(last));
        text.push_str(&format!("from {first} to {last}, times of {}\n", simulation.time_zone));
    }
    text.push_str(&format!("{} of {} snapshots stay\n", simulation.kept, simulation.total));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(days: i64) -> Vec<Candidate> {
        (0..days)
            .map(|day| Candidate {
                time: 1_700_000_000 + day * 86_400,
                finished: true,
                protected: false,
            })
            .collect()
    }

    #[test]
    fn pruning_after_each_backup_keeps_what_the_rules_want() {
        let keep =
            KeepOptions { last: 3, daily: 7, weekly: 4, yearly: 2, ..KeepOptions::default() };
        let marks = prune_after_each(&daily(800), &keep, &TimeZone::UTC);
        assert_eq!(marks.len(), 800);
        assert!(marks[797..].iter().all(|mark| *mark == Mark::Keep(Some(Rule::Last))));
        let count = |rule| marks.iter().filter(|mark| **mark == Mark::Keep(Some(rule))).count();
        assert_eq!((count(Rule::Daily), count(Rule::Weekly), count(Rule::Yearly)), (7, 4, 2));
        let everything = prune_after_each(&daily(9), &KeepOptions::default(), &TimeZone::UTC);
        assert_eq!(everything, [Mark::Keep(None); 9]);
    }

    #[test]
    fn the_default_reaches_back_far_enough() {
        for keep in [
            KeepOptions { last: 3, daily: 7, weekly: 8, monthly: 12, yearly: 3, hourly: 0 },
            KeepOptions { monthly: 40, ..KeepOptions::default() },
            KeepOptions { weekly: 1, ..KeepOptions::default() },
        ] {
            let snapshots = daily(reach_days(&keep));
            let marks = select(&snapshots, &keep, &TimeZone::UTC);
            for rule in Rule::ALL {
                let kept = marks.iter().filter(|mark| **mark == Mark::Keep(Some(rule))).count();
                assert_eq!(kept as u64, keep.count(rule), "{rule} of {keep:?}");
            }
        }
    }
}
