//! `capstan prune`, and what the commands that prune have in common.

use anyhow::{Result, bail};
use clap::Args;
use datastore::prune::{self, GroupPlan, KeepOptions, Mark, Planned, Reason, Removals, Rule};
use datastore::{BackupGroup, Datastore, hierarchy};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Outcome;
use super::place::PlaceArgs;
use crate::config::Places;
use crate::output::{self, OutputArgs, OutputFormat, table};
use crate::progress::Bar;

/// The rules. Each keeps the newest snapshot of each of its periods.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "What to keep (without any of these: everything)")]
pub struct KeepArgs {
    /// The newest N
    #[arg(long, value_name = "N")]
    keep_last: Option<u64>,
    /// The newest of each of N hours
    #[arg(long, value_name = "N")]
    keep_hourly: Option<u64>,
    /// The newest of each of N days
    #[arg(long, value_name = "N")]
    keep_daily: Option<u64>,
    /// The newest of each of N weeks
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u64>,
    /// The newest of each of N months
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u64>,
    /// The newest of each of N years
    #[arg(long, value_name = "N")]
    keep_yearly: Option<u64>,
}

impl KeepArgs {
    /// The options; 0 is the same as not given.
    pub fn options(&self) -> KeepOptions {
        KeepOptions {
            last: self.keep_last.unwrap_or(0),
            hourly: self.keep_hourly.unwrap_or(0),
            daily: self.keep_daily.unwrap_or(0),
            weekly: self.keep_weekly.unwrap_or(0),
            monthly: self.keep_monthly.unwrap_or(0),
            yearly: self.keep_yearly.unwrap_or(0),
        }
    }
}

const AFTER_HELP: &str = "\
The rules are applied in the order above. A period from which an earlier rule keeps a snapshot needs
no more, so --keep-last 3 --keep-daily 7 reaches back more than seven days. Days and weeks are those
of the local time zone (TZ); periods without snapshots do not count. Protected snapshots always stay.
The space is freed by 'capstan datastore gc'.

Example:
  capstan prune host/elsa --keep-daily 7 --keep-weekly 4 --keep-monthly 12 \\
      --repository archive --dry-run";

/// Remove the snapshots of a group that no rule keeps
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct PruneArgs {
    /// The group (type/id)
    group: String,
    /// Only print what would stay and what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    keep: KeepArgs,
}

pub fn run(places: &Places, args: &PruneArgs) -> Result<Outcome> {
    let group: BackupGroup = args.group.parse()?;
    let (repository, namespace) = args.place.open(places)?;
    let store = &repository.store;
    store.require_namespace(&namespace)?;
    let bar = Bar::bytes("prune");
    let zone = time_zone()?;
    let mut odd = Vec::new();
    let keep = args.keep.options();
    let plan = prune::plan_group(store, &namespace, &group, &keep, &zone, &mut odd)?;
    if plan.snapshots.is_empty() && !store.group_dir(&namespace, &group).is_dir() {
        let place = if namespace.is_root() { String::new() } else { format!(" in {namespace}") };
        bail!("there is no backup group {group}{place}");
    }
    for line in &odd {
        bar.warn(line);
    }
    carry_out(store, &[plan], keep, args.dry_run, args.output, bar)
}

/// The local time zone, which says where days and weeks begin. A zone that cannot be found is an
/// error: in another one other snapshots would go.
pub fn time_zone() -> Result<TimeZone> {
    match (TimeZone::try_system(), std::env::var("TZ")) {
        (Ok(zone), _) => Ok(zone),
        (Err(error), Ok(name)) if !name.is_empty() => bail!(
            "TZ={name} names no time zone that this system knows ({error}); correct it, or install \
             the time zone data"
        ),
        // A system without a zone runs on UTC.
        (Err(_), _) => Ok(TimeZone::UTC),
    }
}

/// One snapshot with the reference's field names.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    #[serde(skip_serializing_if = "String::is_empty")]
    ns: String,
    backup_type: String,
    backup_id: String,
    backup_time: i64,
    keep: bool,
    protected: bool,
    mark: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule>,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    reason: String,
}

impl Listed {
    fn new(plan: &GroupPlan, planned: &Planned) -> Listed {
        let path = &planned.info.path;
        Listed {
            ns: plan.namespace.to_string(),
            backup_type: plan.group.backup_type().to_string(),
            backup_id: plan.group.id().to_owned(),
            backup_time: path.time(),
            keep: planned.mark.keeps(),
            protected: planned.info.protected,
            mark: planned.mark.as_str(),
            rule: planned.mark.rule(),
            name: hierarchy::qualified_name(&plan.namespace, path),
            reason: reason(planned.mark),
        }
    }
}

/// Removes what the plans say unless it is a dry run, and prints them.
pub fn carry_out(
    store: &Datastore,
    plans: &[GroupPlan],
    keep: KeepOptions,
    dry_run: bool,
    output: OutputArgs,
    bar: Bar,
) -> Result<Outcome> {
    if keep.keeps_everything() {
        bar.tell("no --keep option is given, so everything stays");
    }
    let listed: Vec<Listed> = plans
        .iter()
        .flat_map(|plan| plan.snapshots.iter().map(|planned| Listed::new(plan, planned)))
        .collect();
    let mut removals = Removals::default();
    for plan in plans.iter().filter(|_| !dry_run) {
        if plan.removals().next().is_none() {
            continue;
        }
        bar.doing(&plan.group.to_string());
        let done = prune::execute(store, plan, &bar)?;
        removals.removed += done.removed;
        removals.failed += done.failed;
    }
    let warnings = bar.warnings();
    drop(bar);
    output.print(&listed, |listed| {
        let rows = listed.iter().map(|snapshot| {
            let action = if snapshot.keep { "keep" } else { "remove" };
            vec![snapshot.name.clone(), action.to_owned(), snapshot.reason.clone()]
        });
        table(&["snapshot", "action", "reason"], rows)
    })?;
    if output.output_format == OutputFormat::Text {
        let going = listed.iter().filter(|snapshot| !snapshot.keep).count();
        let staying = listed.len() - going;
        output::print(&match (dry_run, removals.failed) {
            (true, _) => format!("{staying} would stay, {going} would be removed"),
            (false, 0) => format!("{staying} stay, {} removed", removals.removed),
            (false, failed) => format!(
                "{staying} stay, {} removed, {failed} could not be removed",
                removals.removed
            ),
        })?;
    }
    Ok(if warnings == 0 { Outcome::Complete } else { Outcome::Incomplete })
}

/// Why a snapshot stays or goes, for people.
pub fn reason(mark: Mark) -> String {
    match mark {
        Mark::Protected => "protected".into(),
        Mark::Keep(None) => "there is no rule".into(),
        Mark::Keep(Some(rule)) => format!("keep-{rule}"),
        Mark::KeepPartial => "unfinished, but the newest: its backup may be running".into(),
        Mark::Remove(Reason::Unfinished) => "unfinished, and not the newest".into(),
        Mark::Remove(Reason::Period(rule)) => match period(rule) {
            Some(period) => format!("keep-{rule} keeps a newer one of that {period}"),
            None => format!("keep-{rule} keeps a newer one"),
        },
        Mark::Remove(Reason::Unneeded) => "no rule keeps it".into(),
    }
}

fn period(rule: Rule) -> Option<&'static str> {
    match rule {
        Rule::Last => None,
        Rule::Hourly => Some("hour"),
        Rule::Daily => Some("day"),
        Rule::Weekly => Some("week"),
        Rule::Monthly => Some("month"),
        Rule::Yearly => Some("year"),
    }
}
