//! `capstan datastore check`

use std::collections::HashMap;

use anyhow::{Result, bail};
use clap::Args;
use datastore::check::repair::{Outcome as RepairOutcome, Repairer};
use datastore::check::{self, Finding, Kind, Remedy, Severity};
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::Places;
use crate::output::{OutputArgs, OutputFormat, print, table};
use crate::progress::Bar;
use crate::repository;

/// Find what no verification looks at: stray files, leftovers, missing folders, misplaced chunks
///
/// Without --repair nothing is changed, and backups may run meanwhile. A repair needs the datastore for
/// itself, as garbage collection does. It never removes what a manifest or an index names, nor anything
/// that the format does not know; leftovers of writers go when they are a day old.
///
/// Findings that differ in their path only are listed up to twenty times; JSON has all of them. Exit code
/// 3 if anything is left that is an error or a warning.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  capstan datastore check archive --references\n  capstan datastore check archive --repair --dry-run"
)]
pub struct CheckArgs {
    /// A folder, or a name from the configuration
    store: String,
    /// Do what can be done about the findings
    #[arg(long)]
    repair: bool,
    /// With --repair: only print what would be done
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// Also look whether every chunk that an index names is there
    #[arg(long)]
    references: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    kind: Kind,
    severity: Severity,
    path: String,
    detail: String,
    /// What --repair does about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<String>,
    /// Why it does nothing, and what a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_hand: Option<String>,
    /// With --repair: true if it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<bool>,
    /// With --repair: why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<String>,
}

impl Shown {
    fn new(finding: &Finding) -> Shown {
        let (repair, by_hand) = match &finding.remedy {
            Remedy::Repair(repair) => (Some(repair.to_string()), None),
            Remedy::ByHand(reason) => (None, Some(reason.clone())),
        };
        Shown {
            kind: finding.kind,
            severity: finding.severity,
            path: finding.path.clone(),
            detail: finding.detail.clone(),
            repair,
            by_hand,
            repaired: None,
            left: None,
        }
    }

    fn needs_care(&self) -> bool {
        self.severity > Severity::Info && self.repaired != Some(true)
    }

    fn what_is_done(&self) -> String {
        match (self.repaired, &self.left, &self.repair, &self.by_hand) {
            (Some(true), ..) => "repaired".into(),
            (_, Some(reason), ..) => format!("left: {reason}"),
            (_, _, Some(repair), _) => format!("--repair: {repair}"),
            (_, _, _, Some(reason)) => reason.clone(),
            _ => String::new(),
        }
    }
}

pub fn run(places: &Places, args: &CheckArgs) -> Result<Outcome> {
    let repository = repository::open(places, &args.store)?;
    let store = &repository.store;
    let bar = Bar::bytes("check");
    let is_repair = args.repair && !args.dry_run;
    // Before the plan, so that what is repaired is what was found.
    let repairer = if is_repair { Some(Repairer::begin(store)?) } else { None };
    let mut findings: Vec<Finding> = Vec::new();
    let options = check::Options { references: args.references };
    check::find(store, &options, &bar, &mut |finding| findings.push(finding))?;
    let mut shown: Vec<Shown> = findings.iter().map(Shown::new).collect();
    let mut failed = 0_u64;
    if let Some(repairer) = &repairer {
        for (finding, shown) in findings.iter().zip(&mut shown) {
            let Some(repair) = finding.repair() else { continue };
            if bar.is_interrupted() {
                bail!("interrupted; what was repaired so far is whole, the rest is as it was");
            }
            match repairer.apply(repair) {
                Ok(RepairOutcome::Done) => shown.repaired = Some(true),
                Ok(RepairOutcome::Left(reason)) => {
                    (shown.repaired, shown.left) = (Some(false), Some(reason));
                }
                Err(error) => {
                    failed += 1;
                    (shown.repaired, shown.left) = (Some(false), Some(error.to_string()));
                }
            }
        }
    }
    drop(bar);
    args.output.print(&shown, |shown| text(shown))?;
    let count = |severity| shown.iter().filter(|s| s.severity == severity).count();
    let open = shown.iter().filter(|shown| shown.needs_care()).count();
    if args.output.output_format == OutputFormat::Text {
        let repairable = shown.iter().filter(|shown| shown.repair.is_some()).count();
        let done = shown.iter().filter(|shown| shown.repaired == Some(true)).count();
        let what = if is_repair {
            format!("{done} repaired")
        } else {
            format!("--repair does something about {repairable}")
        };
        print(&format!(
            "{} errors, {} warnings, {} notes; {what}",
            count(Severity::Error),
            count(Severity::Warning),
            count(Severity::Info)
        ))?;
    }
    if failed > 0 {
        bail!("{failed} repairs failed");
    }
    Ok(if open == 0 { Outcome::Complete } else { Outcome::Incomplete })
}

/// So many findings are listed that differ in nothing but their path; JSON has all of them.
const ALIKE_MAX: usize = 20;

fn text(shown: &[Shown]) -> String {
    if shown.is_empty() {
        return String::new();
    }
    let name = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    // One cause (a copy with other modes) is found in each of 65,536 folders.
    let mut alike: HashMap<(&str, &str, String), usize> = HashMap::new();
    let mut rows = Vec::new();
    for s in shown {
        let done = s.what_is_done();
        let count = alike.entry((name(s.severity), &s.detail, done.clone())).or_default();
        *count += 1;
        if *count <= ALIKE_MAX {
            rows.push(vec![name(s.severity).to_owned(), s.path.clone(), s.detail.clone(), done]);
        }
    }
    let mut more: Vec<_> = alike.into_iter().filter(|(_, count)| *count > ALIKE_MAX).collect();
    more.sort_unstable_by(|a, b| (b.1, &a.0.1).cmp(&(a.1, &b.0.1)));
    rows.extend(more.into_iter().map(|((severity, detail, done), count)| {
        let path = format!("and {} more", count - ALIKE_MAX);
        vec![severity.to_owned(), path, detail.to_owned(), done]
    }));
    table(&["", "path", "what", "what is done"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_that_differ_in_their_path_only_are_told_in_one_line() {
        let find = |number: usize, detail: &str| Shown {
            kind: Kind::Stray,
            severity: Severity::Warning,
            path: format!("p{number}"),
            detail: detail.to_owned(),
            repair: None,
            by_hand: Some("look".into()),
            repaired: None,
            left: None,
        };
        let mut shown: Vec<Shown> = (0..ALIKE_MAX).map(|number| find(number, "odd")).collect();
        shown.push(find(1000, "other"));
        let before = text(&shown);
        assert_eq!(before.lines().count(), ALIKE_MAX + 2);
        assert!(!before.contains("more"), "{before}");
        shown.extend((0..65_000).map(|number| find(number, "odd")));
        let after = text(&shown);
        assert_eq!(after.lines().count(), ALIKE_MAX + 3);
        assert!(after.contains("and 65000 more  odd"), "{after}");
    }
}
