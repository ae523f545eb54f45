//! A year of jobs in an emulated library: two drives, 24 slots, six mail slots, LTO-8 cartridges, on a virtual clock.
//!
//! * `source`: a datastore that changes daily, prunes and collects; `house`: library, state folder and clock;
//! * `operator`: who takes cartridges out, brings and labels them; `mishap`: what goes wrong, by seed;
//! * `ledger`: the plain record of what must be on tape until when; `days`: its calendar; `truth`: what is truly on the
//!   cartridges, read past everything; `audit`: whether the inventory says the same; `year`: the days.
//!
//! What must hold: a job ends well, if need be when it is run again; no tape is written over before its time, which is
//! looked at after every job; every snapshot that policy says is on tape comes back bit for bit; and inventory and
//! catalogs say what is truly on the cartridges and where those are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod audit;
#[path = "../common/mod.rs"]
mod common;
mod days;
#[path = "../faults/dice.rs"]
mod dice;
mod house;
mod ledger;
mod mishap;
mod operator;
#[path = "../faults/power.rs"]
mod power;
mod source;
#[path = "../common/store.rs"]
mod store;
mod truth;
mod year;

use std::process::Command;

/// Central Europe: summer time begins on the last Sunday of March and ends on that of October.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
const BODY: &str = "days_of_one_process";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Body of the process with a time zone of its own; as a test it does nothing.
#[test]
fn days_of_one_process() {
    let Some(days) = number("CAPSTAN_YEAR_BODY") else { return };
    let seed = number("CAPSTAN_YEAR_SEED").unwrap();
    let first = std::env::var("CAPSTAN_YEAR_FIRST").unwrap().parse().unwrap();
    let mut year = year::Year::new(seed, first);
    year.run(days);
    println!("{days} days: {}", year.summary());
}

fn run(first: &str, days: u64, seed: u64) {
    println!("see it again with CAPSTAN_YEAR_SEED={seed}, from {first} on, {days} days");
    let body = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", BODY, "--nocapture"])
        .env("TZ", ZONE)
        .env("CAPSTAN_YEAR_BODY", days.to_string())
        .env("CAPSTAN_YEAR_SEED", seed.to_string())
        .env("CAPSTAN_YEAR_FIRST", first)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&body.stdout);
    println!("{text}{}", String::from_utf8_lossy(&body.stderr));
    assert!(body.status.success(), "seed {seed}, {days} days from {first} on");
}

/// Over the beginning of summer time and two ends of a month; `make year` runs a whole year.
#[test]
fn nothing_is_lost_or_overwritten_early_in_weeks_or_a_year_of_jobs() {
    let seed = number("CAPSTAN_YEAR_SEED").unwrap_or(1);
    match number("CAPSTAN_YEAR_DAYS") {
        Some(days) => run("2030-01-01", days, seed),
        None => run("2030-02-25", 56, seed),
    }
}
