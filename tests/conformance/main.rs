//! One suite for everything that a tape library can be reached through: the emulated library in this
//! process and over iSCSI, a stranger's iSCSI library (`tgt`), and whatever two addresses name, which is how
//! the suite runs over SG_IO in the guest of `tests/vm`:
//!
//! ```text
//! CAPSTAN_CONFORMANCE_CHANGER=/dev/sg2 CAPSTAN_CONFORMANCE_DRIVE=/dev/sg0 \
//!     cargo test --test conformance devices_given -- --ignored --nocapture
//! ```
//!
//! **The cartridge in the first full slot is written over.** The drive must be the changer's first, empty.
//!
//! A check has a sentence for a name. A device that is known to fail some has a list of them with the reason, and both
//! an unlisted failure and a listed check that passes fail the test: so the list is exactly what is wrong with the device.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program, whose report is for people"
)]

mod device;
mod identity;
mod robot;
mod tape;
mod tgt;
mod ways;

use std::collections::BTreeMap;

use device::{Check, Device};
use scsi::iscsi::parameters::DigestWish;

/// What is known to be wrong with a device: the check, and what the device does instead.
type Known = &'static [(&'static str, &'static str)];

/// A library to be tested: addresses of its changer and its first drive.
struct Subject {
    name: &'static str,
    changer: String,
    drive: String,
    transfer_bytes_max: usize,
    known: Known,
}

fn run(subject: &Subject) {
    let mut results: BTreeMap<String, Result<(), String>> = BTreeMap::new();
    let mut all = |unit: &str, device: &mut Device, checks: &[Check]| {
        for (name, check) in checks {
            let verdict = device.settle().and_then(|()| check(device));
            assert!(
                results.insert(format!("{unit}: {name}"), verdict).is_none(),
                "{name} stands there twice"
            );
        }
    };
    let mut changer = Device::new(ways::open(&subject.changer), subject.transfer_bytes_max);
    all("changer", &mut changer, identity::ALL);
    all("changer", &mut changer, robot::ALL);
    robot::load(&mut changer).unwrap();
    let mut drive = Device::new(ways::open(&subject.drive), subject.transfer_bytes_max);
    all("drive", &mut drive, identity::ALL);
    for checks in [tape::DATA, tape::MOTION, tape::PAGES] {
        all("drive", &mut drive, checks);
    }

    let mut wrong = Vec::new();
    let known: BTreeMap<&str, &str> = subject.known.iter().copied().collect();
    assert_eq!(known.len(), subject.known.len(), "a known defect is listed twice");
    let failed = results.values().filter(|verdict| verdict.is_err()).count();
    println!(
        "{}: {} checks, {failed} fail, {} are known to",
        subject.name,
        results.len(),
        known.len()
    );
    for (name, verdict) in &results {
        match (verdict, known.get(name.as_str())) {
            (Ok(()), None) => {}
            (Err(found), Some(reason)) => println!("  known: {name}: {found} ({reason})"),
            (Err(found), None) => wrong.push(format!("{name}: {found}")),
            (Ok(()), Some(_)) => wrong.push(format!("{name}: passes; take it off the list")),
        }
    }
    let stray = known.keys().filter(|name| !results.contains_key(**name));
    wrong.extend(stray.map(|name| format!("{name}: there is no such check")));
    assert!(wrong.is_empty(), "{}:\n{}", subject.name, wrong.join("\n"));
}

/// The emulated library in this process.
#[test]
fn in_process() {
    let library = ways::EmulatedLibrary::new();
    run(&Subject {
        name: "emulated library, in this process",
        changer: library.address("changer"),
        drive: library.address("drive0"),
        transfer_bytes_max: 8 << 20,
        known: &[],
    });
}

/// The emulated library through our target and our initiator.
#[test]
fn over_iscsi() {
    let library = ways::EmulatedLibrary::new();
    let target = library.serve(DigestWish::Allowed);
    run(&Subject {
        name: "emulated library, over iSCSI",
        changer: ways::unit(&target, 0),
        drive: ways::unit(&target, 1),
        transfer_bytes_max: 8 << 20,
        known: &[],
    });
}

/// The same with a check of every byte on the way.
#[test]
fn over_iscsi_with_digests() {
    let library = ways::EmulatedLibrary::new();
    let target = library.serve(DigestWish::Required);
    run(&Subject {
        name: "emulated library, over iSCSI with digests",
        changer: ways::unit(&target, 0),
        drive: ways::unit(&target, 1),
        transfer_bytes_max: 8 << 20,
        known: &[],
    });
}

/// A stranger's target through our initiator. What `tgt` gets wrong is listed by name.
#[test]
fn tgt_over_iscsi() {
    let Some(library) = ways::TgtLibrary::start() else {
        println!("skipped: tgtd is not installed (package tgt)");
        return;
    };
    run(&Subject {
        name: "tgt, over iSCSI",
        changer: library.unit(3),
        drive: library.unit(1),
        transfer_bytes_max: 1 << 20,
        known: tgt::KNOWN,
    });
}

/// The library that two variables name.
#[test]
#[ignore = "writes over a cartridge of the library that CAPSTAN_CONFORMANCE_CHANGER and _DRIVE name"]
fn devices_given() {
    let address = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    run(&Subject {
        name: "the devices given",
        changer: address("CAPSTAN_CONFORMANCE_CHANGER"),
        drive: address("CAPSTAN_CONFORMANCE_DRIVE"),
        // What the kernel passes through at once for any adapter.
        transfer_bytes_max: 512 << 10,
        known: &[],
    });
}
