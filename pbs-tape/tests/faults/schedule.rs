//! Random faults during random operations, by seed.
//!
//! A process tries a few hundred seeds and ends, because an emulated library stays open until its process
//! ends; this program starts itself again for each part.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use vtl::faults::{FaultPlan, FaultProfile};

use crate::dice::Dice;
use crate::source::{GROUPS, Source};
use crate::trouble::try_trouble;
use crate::world::{Operation, World};

/// How many seeds a process tries.
const PART: u64 = 250;
/// One seed in so many is about a trouble in place of random faults.
const TROUBLE_EVERY: u64 = 4;
const SEEDS_SHORT: u64 = 300;

/// The operations of a seed. Labels and a backup come first, or there would be nothing to lose.
fn operations(seed: u64) -> Vec<Operation> {
    let dice = Dice(seed);
    let dice = |number| dice.roll(number);
    let mut operations = vec![Operation::Label, Operation::Backup(1 + dice(0) as usize % 2)];
    for number in 1..=1 + dice(100) % 4 {
        let roll = dice(number);
        let tape = (roll >> 8) as usize % 4;
        operations.push(match roll % 12 {
            0 => Operation::Label,
            1..=3 => Operation::Backup(1 + (roll >> 8) as usize % GROUPS.len()),
            4 => Operation::Restore,
            5 => Operation::Inventory,
            6 => Operation::Catalog { tape, scan: roll >> 16 & 1 == 0 },
            7 => Operation::Verify,
            8 => Operation::Extract,
            9 => Operation::Export,
            10 => Operation::Import,
            _ => Operation::Format,
        });
    }
    operations
}

fn plan(seed: u64) -> FaultPlan {
    FaultPlan::from_seed(seed, &FaultProfile { rules_max: 4, objects: 40, commands: 120 })
}

/// One seed. What went wrong is told with all that it takes to see it again.
fn try_seed(source: &Source, seed: u64) -> Result<(), String> {
    let plan = plan(seed);
    let is_trouble = seed % TROUBLE_EVERY == TROUBLE_EVERY - 1;
    let mut story = if is_trouble { String::new() } else { plan.to_string() };
    let result = catch_unwind(AssertUnwindSafe(|| {
        if is_trouble {
            return try_trouble(source, &Dice(seed), &mut story);
        }
        let mut world = World::new(source);
        world.set_faults(Some(plan));
        for operation in operations(seed) {
            let line = format!("{operation:?}: {:?}\n", world.run(operation));
            story.push_str(&line);
        }
        world.operator(true);
        world.trust_tapes();
        world.goes_on_and_keeps_its_promises()?;
        if seed.is_multiple_of(4) { world.comes_back_from_nothing() } else { Ok(()) }
    }));
    let reason = match result {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(reason)) => reason,
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default(),
    };
    Err(format!(
        "seed {seed}: {reason}\n{story}see it again with CAPSTAN_FAULT_SEED={seed} cargo test -p \
         pbs-tape --test faults seeded -- --nocapture"
    ))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Body of the processes that try a part of the seeds; as a test it does nothing.
#[test]
fn part_of_the_seeds() {
    let Some(first) = number("CAPSTAN_FAULT_PART") else { return };
    let count = number("CAPSTAN_FAULT_COUNT").unwrap();
    let source = Source::new();
    let mut output = std::io::stdout().lock();
    for seed in first..first + count {
        if let Err(report) = try_seed(&source, seed) {
            writeln!(output, "FAILED {report}\nEND").unwrap();
        }
    }
    writeln!(output, "DONE {count}").unwrap();
}

#[test]
fn seeded_schedules_lose_nothing_that_was_promised() {
    if let Some(seed) = number("CAPSTAN_FAULT_SEED") {
        try_seed(&Source::new(), seed).unwrap_or_else(|report| panic!("{report}"));
        return;
    }
    let seeds = number("CAPSTAN_FAULT_SEEDS").unwrap_or(SEEDS_SHORT);
    let first = number("CAPSTAN_FAULT_FIRST").unwrap_or(0);
    let parts: Vec<u64> = (first..first + seeds).step_by(PART as usize).collect();
    let next = std::sync::Mutex::new(parts.into_iter());
    let failures = std::sync::Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(part) = next.lock().unwrap().next() else { return };
                    let count = PART.min(first + seeds - part);
                    let found = run_part(part, count);
                    failures.lock().unwrap().extend(found);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {seeds} failed\n{}", failures.len(), failures.join("\n\n"));
}

fn run_part(first: u64, count: u64) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "schedule::part_of_the_seeds", "--nocapture"])
        .env("CAPSTAN_FAULT_PART", first.to_string())
        .env("CAPSTAN_FAULT_COUNT", count.to_string())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut failures: Vec<String> = text
        .split("FAILED ")
        .skip(1)
        .map(|failure| failure.split("\nEND").next().unwrap_or(failure).to_owned())
        .collect();
    if !text.contains(&format!("DONE {count}")) {
        failures
            .push(format!("the process with seeds from {first} ended early: {}", output.status));
    }
    failures
}
