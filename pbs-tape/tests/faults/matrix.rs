//! Each fault during each operation, held against the table in `docs/testing.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use vtl::faults::FaultPlan;

use crate::source::{GROUPS, Source};
use crate::world::{Operation, World};

/// Faults by the words of the table.
const FAULTS: &[(&str, &str)] = &[
    ("unreadable record", "once drives read -> unreadable"),
    ("write error", "once drives write -> write-error"),
    ("buffer lost, told late", "once drives filemarks -> deferred 3/0c/00"),
    ("power lost while writing", "once drives write after=1 -> power-loss down=2"),
    ("power lost while reading", "once drives read -> power-loss down=2"),
    ("reset", "once drives read+write after=1 -> reset"),
    ("other medium", "once drives read+write after=1 -> sense 6/28/00"),
    ("unit attention never told", "always drives any -> drop-attention"),
    ("unit attention too many", "once drives ready -> sense 6/2a/01"),
    ("hardware error", "once drives read+write after=1 -> sense 4/44/00"),
    ("aborted command", "once drives read+write after=1 -> sense b/00/00"),
    ("load fails", "once changer move to=drive -> sense 4/53/00"),
    ("robot stuck", "once changer move -> stuck"),
    ("cartridge in the gripper", "once changer move -> gripper"),
    ("label read wrongly", "always changer inventory -> label CAP001L8 CAP009L8"),
    ("label not read", "always changer inventory -> label CAP001L8"),
    ("cleaning requested", "once drives read+write after=1 -> cleaning requested"),
    ("cleaning required", "once drives read+write after=1 -> cleaning required"),
    ("critical alert", "once drives ready -> alert 5"),
    ("busy", "once drives any after=4 -> busy"),
    ("task set full", "once drives any after=4 -> queue-full"),
    ("reservation conflict", "once drives any after=4 -> conflict"),
    ("answer lost", "once drives read+write after=1 -> lost-reply"),
    ("command lost", "once drives read+write after=1 -> lost-command"),
    ("tape shorter, with warning", "once drives write -> early-warning"),
    ("tape shorter, without", "once drives write -> end-of-tape"),
    ("write-protect tab", "once drives ready -> protect"),
    ("wrong residual, reading", "once drives read -> residual 1000"),
    ("wrong residual, writing", "once drives write -> residual 1000"),
    ("short block told", "once drives read -> incorrect-length"),
];

/// With the operations that a pool with a key is tried with.
const OPERATIONS: [(&str, Operation, bool); 12] = [
    ("label", Operation::Label, false),
    ("backup", ALL, false),
    ("restore", Operation::Restore, false),
    ("inventory", Operation::Inventory, false),
    ("catalog", Operation::Catalog { tape: 0, scan: true }, false),
    ("format", Operation::Format, false),
    ("verify", Operation::Verify, false),
    ("extract", Operation::Extract, false),
    ("export", Operation::Export, false),
    ("import", Operation::Import, false),
    ("backup, key", ALL, true),
    ("restore, key", Operation::Restore, true),
];

const ALL: Operation = Operation::Backup(GROUPS.len());

/// What a cell says, and the error of the operation if it ended with one.
fn try_cell(
    source: &Source,
    rule: &str,
    operation: Operation,
    has_key: bool,
) -> (&'static str, Option<String>) {
    let mut world = World::new(source);
    if has_key {
        world.encrypt();
    }
    if operation != Operation::Label {
        world.run(Operation::Label).unwrap();
        world.run(Operation::Backup(2)).unwrap();
    }
    if operation == Operation::Import {
        world.run(Operation::Export).unwrap();
    }
    let plan: FaultPlan = rule.parse().unwrap();
    world.library().store_faults(&plan).unwrap();
    let done = world.run(operation);
    let has_happened = world.library().stored_faults().unwrap().iter().any(|rule| rule.fired > 0);
    world.library().clear_stored_faults().unwrap();
    world.operator(true);
    world.trust_tapes();
    let kept =
        world.goes_on_and_keeps_its_promises().and_then(|()| world.comes_back_from_nothing());
    kept.unwrap_or_else(|reason| panic!("{rule} during {operation:?} ({done:?}): {reason}"));
    match done {
        Ok(()) if has_happened => ("goes on", None),
        Ok(()) => ("–", None),
        Err(message) => ("error", Some(message)),
    }
}

/// The cells of the table in the documentation, by fault.
fn documented() -> BTreeMap<String, Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/testing.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let fault = cells.get(1).filter(|name| FAULTS.iter().any(|(fault, _)| fault == name))?;
        Some((fault.clone(), cells.get(2..2 + OPERATIONS.len())?.to_vec()))
    });
    rows.collect()
}

#[test]
fn each_fault_during_each_operation_ends_as_the_table_says() {
    let source = Source::new();
    let documented = documented();
    let mut table = String::new();
    let mut wrong = Vec::new();
    for (fault, rule) in FAULTS {
        let mut cells = Vec::new();
        for (name, operation, has_key) in OPERATIONS {
            let (cell, message) = try_cell(&source, rule, operation, has_key);
            println!("{fault}, {name}: {cell} {}", message.unwrap_or_default());
            cells.push(cell.to_owned());
        }
        writeln!(table, "| {fault} | {} |", cells.join(" | ")).unwrap();
        if documented.get(*fault) != Some(&cells) {
            wrong.push(*fault);
        }
    }
    assert!(wrong.is_empty(), "docs/testing.md is wrong about {wrong:?}; what was seen:\n{table}");
}

/// Runs the operations one after the other, with the plan in force from the first on.
fn story(source: &Source, plan: &str, operations: &[Operation]) -> Vec<Result<(), String>> {
    let mut world = World::new(source);
    world.run(Operation::Label).unwrap();
    world.set_faults(Some(plan.parse().unwrap()));
    operations.iter().map(|operation| world.run(*operation)).collect()
}

/// A tape that takes not even its set label was tried again by every job, and none went on.
#[test]
fn a_tape_that_ends_before_its_set_label_stops_one_job() {
    let source = Source::new();
    let plan = "once drives write object=2 -> end-of-tape";
    let ends = story(&source, plan, &[Operation::Backup(1), Operation::Backup(1)]);
    assert!(ends[0].as_ref().unwrap_err().contains("run the job again"), "{ends:?}");
    assert_eq!(ends[1], Ok(()));
}

/// The same for one that has no room for the catalogs of the tapes before it.
#[test]
fn a_tape_that_ends_before_the_catalogs_stops_one_job() {
    let source = Source::new();
    let plan = "once drives write object=4 after=1 -> end-of-tape";
    let all = Operation::Backup(GROUPS.len());
    let ends = story(&source, plan, &[all, all, all]);
    assert!(ends[0].as_ref().unwrap_err().contains("run the job again"), "{ends:?}");
    assert_eq!(ends[1], Ok(()), "{ends:?}");
}

/// The error said what was wrong with a block and not in which drive. A block that comes short is found by
/// its protection, which the drive checks on the whole way.
#[test]
fn labels_that_cannot_be_read_are_told_with_their_drive() {
    let source = Source::new();
    let plan = "once drives read -> residual 1000";
    let catalog = Operation::Catalog { tape: 0, scan: false };
    let is_told =
        |message: &str| message.contains("#drive0") && message.contains("then read the tape again");
    let ends = story(&source, plan, &[Operation::Format]);
    assert!(is_told(ends[0].as_ref().unwrap_err()), "{ends:?}");
    let mut world = World::new(&source);
    world.run(Operation::Label).unwrap();
    world.run(Operation::Backup(1)).unwrap();
    world.set_faults(Some(plan.parse().unwrap()));
    let message = world.run(catalog).unwrap_err();
    assert!(is_told(&message), "{message}");
}
