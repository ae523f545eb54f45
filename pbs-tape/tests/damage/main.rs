//! Random damage to the files of emulated cartridges, and what a verification of the tapes says about it.
//!
//! * `world`: a set of tapes that is written once and copied for each seed;
//! * `log`: the records of a cartridge, changed so that the emulator's own checks notice or don't;
//! * `map`: what lies where, found by the bytes that were written and not by the reader under test;
//! * `harm`: the damage that a seed makes, and whom it must cost something.
//!
//! What must hold: every damage is found, and exactly those snapshots are called damaged that a restore does not
//! bring back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

#[path = "../common/mod.rs"]
mod common;
mod harm;
mod log;
mod map;
mod world;

use std::collections::BTreeSet;

use pbs_tape::verify::{SnapshotState, VerifyReport};

use harm::Harm;
use world::{Copy, World};

/// Damages in `make test`; `make tape-damage` has a thousand.
const SEEDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn with_state(report: &VerifyReport, state: SnapshotState) -> BTreeSet<String> {
    let found = report.snapshots.iter().filter(|one| one.state == state);
    found.map(|one| one.snapshot.clone()).collect()
}

/// What the report says is wrong.
fn told(report: &VerifyReport) -> String {
    let damage = report.damage.iter().map(ToString::to_string);
    let errors = report
        .snapshots
        .iter()
        .flat_map(|one| one.errors.iter().map(move |error| format!("{}: {error}", one.snapshot)));
    let all = damage.chain(errors).chain(report.unverified.iter().cloned());
    all.map(|line| format!("\n    {line}")).collect()
}

/// What is wrong with the answer to a damage, if anything.
fn judge(copy: &Copy<'_>, harm: &Harm, seed: u64) -> Result<(), String> {
    let report = copy.verify();
    let damaged = with_state(&report, SnapshotState::Damaged);
    let unknown = with_state(&report, SnapshotState::Unknown);
    // A tape whose label is another tape's is the wrong tape: nothing is said of it but that.
    let is_found = report.is_damaged() || (harm.is_of_label && !report.is_complete());
    let is_told = harm.may_be_difference && !report.differences.is_empty();
    if !is_found && !is_told {
        return Err("it was not found".into());
    }
    if harm.is_of_label && !report.is_damaged() {
        let spared: Vec<&String> = harm.must.difference(&unknown).collect();
        return if spared.is_empty() {
            Ok(())
        } else {
            Err(format!("{spared:?} are called sound"))
        };
    }
    let spared: Vec<&String> = harm.must.difference(&damaged).collect();
    if !spared.is_empty() {
        return Err(format!(
            "{spared:?} should be blamed, and only {damaged:?} are; {}",
            told(&report)
        ));
    }
    // A damaged name may be that of a snapshot that never was.
    let known: BTreeSet<String> = copy.world.names.iter().cloned().collect();
    let wrongly: Vec<&String> =
        damaged.difference(&harm.may).filter(|one| known.contains(*one)).collect();
    if !wrongly.is_empty() {
        return Err(format!("{wrongly:?} are blamed for nothing; {}", told(&report)));
    }
    // A restore is the other witness.
    if seed.is_multiple_of(5) && !harm.may_be_restored {
        let restored = copy.restore();
        for name in &known {
            let is_lost = damaged.contains(name);
            if is_lost == restored.contains(name) && !harm.is_of_label {
                return Err(format!("{name}: damaged {is_lost}, but restored {restored:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_damage_is_found_and_blamed_on_the_right_snapshots() {
    let world = World::new();
    let sound = world.copy().verify().into_result().unwrap();
    assert_eq!(sound.snapshots.len(), world.names.len());
    let seeds = match number("CAPSTAN_TAPE_DAMAGE_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("CAPSTAN_TAPE_DAMAGES").unwrap_or(SEEDS),
    };
    let mut wrong = Vec::new();
    let mut kinds = std::collections::BTreeMap::<&str, u64>::new();
    let mut without_cost = 0;
    for seed in seeds.clone() {
        let copy = world.copy();
        let harm = harm::harm(&copy, seed);
        *kinds.entry(harm.kind).or_default() += 1;
        without_cost += u64::from(harm.may.is_empty());
        if let Err(reason) = judge(&copy, &harm, seed) {
            wrong.push(seed);
            println!("CAPSTAN_TAPE_DAMAGE_SEED={seed}: {}: {reason}", harm.text);
        }
    }
    println!("{kinds:?}, {without_cost} of them cost no snapshot anything");
    assert!(wrong.is_empty(), "repeat with CAPSTAN_TAPE_DAMAGE_SEED= one of {wrong:?}");
}
