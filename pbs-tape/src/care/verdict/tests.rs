use super::*;

fn used(drive: &str, tb: u64, retries: u64, errors: u64) -> Record {
    Record {
        drive_serial: Some(drive.into()),
        medium_serial: Some("M1".into()),
        density: u64::from(Density::LTO8.0),
        capacity_bytes: Some(12_000_000_000_000),
        delta: Counters {
            bytes_written: tb * 1_000_000_000_000,
            write_retries: retries,
            write_errors: errors,
            ..Counters::default()
        },
        ..Record::default()
    }
}

fn with_flag(number: u8) -> Record {
    Record { raised: Flags(TapeAlerts::EMPTY.with(number)), ..used("D1", 1, 0, 0) }
}

fn verdict(records: &[Record]) -> Verdict {
    let judgement = of_cartridge(records);
    assert_eq!(judgement.verdict == Verdict::Good, judgement.reasons.is_empty(), "{judgement:?}");
    judgement.verdict
}

#[test]
fn a_cartridge_that_nothing_is_wrong_with_is_good() {
    assert_eq!(verdict(&[]), Verdict::Good);
    assert_eq!(verdict(&[used("D1", 5, 10, 0), used("D2", 5, 10, 0)]), Verdict::Good);
    // Only the drive's business.
    for number in [10, 11, 17, 20, 21, 26, 30, 38] {
        assert_eq!(verdict(&[with_flag(number)]), Verdict::Good, "{number}");
    }
}

#[test]
fn wear_counts_by_whatever_is_known_and_the_worst_decides() {
    let with = |change: fn(&mut Record)| {
        let mut record = used("D1", 1, 0, 0);
        change(&mut record);
        verdict(&[record])
    };
    type Change = fn(&mut Record);
    let table: [(Change, Verdict); 11] = [
        (|r| r.passes = Some(12_799), Verdict::Good),
        (|r| r.passes = Some(12_800), Verdict::Watch),
        (|r| r.passes = Some(16_000), Verdict::Replace),
        (|r| r.life_remaining_percent = Some(21), Verdict::Good),
        (|r| r.life_remaining_percent = Some(20), Verdict::Watch),
        (|r| r.life_remaining_percent = Some(0), Verdict::Replace),
        (|r| r.total.mounts = 16_000, Verdict::Watch),
        (|r| r.total.mounts = 20_000, Verdict::Replace),
        // LTO-1 is made for fewer loads.
        (|r| (r.density, r.total.mounts) = (0x40, 5_000), Verdict::Replace),
        // Without a count of passes: 77 whole tapes of 208 wraps.
        (|r| r.total.bytes_written = 60 * 12_000_000_000_000, Verdict::Good),
        (|r| r.total.bytes_written = 77 * 12_000_000_000_000, Verdict::Replace),
    ];
    for (at, (change, expected)) in table.into_iter().enumerate() {
        assert_eq!(with(change), expected, "case {at}");
    }
}

#[test]
fn what_says_that_the_cartridge_is_faulty_counts_for_ever() {
    for number in CARTRIDGE_FAULTY {
        let mut records = vec![with_flag(*number)];
        records.extend((0..100).map(|_| used("D1", 1, 0, 0)));
        assert_eq!(verdict(&records), Verdict::Replace, "{number}");
    }
    for number in CARTRIDGE_DOUBTFUL {
        let mut records = vec![with_flag(*number)];
        assert_eq!(verdict(&records), Verdict::Watch, "{number}");
        records.extend((0..RECENT).map(|_| used("D1", 1, 0, 0)));
        assert_eq!(verdict(&records), Verdict::Good, "{number}");
    }
}

#[test]
fn failures_in_two_drives_are_the_cartridges_and_with_two_cartridges_the_drives() {
    assert_eq!(verdict(&[used("D1", 1, 0, 1)]), Verdict::Watch);
    assert_eq!(verdict(&[used("D1", 1, 0, 1), used("D1", 1, 0, 3)]), Verdict::Watch);
    let two_drives = [used("D1", 1, 0, 1), used("D2", 1, 0, 1)];
    assert_eq!(verdict(&two_drives), Verdict::Replace);
    // For each drive it is one cartridge.
    assert_eq!(of_drive(&two_drives[..1]).verdict, Verdict::Watch);
    let other = Record { medium_serial: Some("M2".into()), ..used("D1", 1, 0, 2) };
    let judged = of_drive(&[used("D1", 1, 0, 1), other]);
    assert_eq!(judged.verdict, Verdict::Replace);
    assert!(
        judged.reasons[0].contains("3 reads or writes failed, with 2 cartridges"),
        "{judged:?}"
    );
}

#[test]
fn retries_are_compared_with_the_cartridges_own_past() {
    let mut records: Vec<Record> = (0..30).map(|_| used("D1", 1, 20, 0)).collect();
    records.extend((0..RECENT).map(|_| used("D1", 1, 190, 0)));
    assert_eq!(verdict(&records), Verdict::Good);
    let len = records.len();
    records.truncate(len - RECENT);
    records.extend((0..RECENT).map(|_| used("D1", 1, 201, 0)));
    let judged = of_cartridge(&records);
    assert_eq!(judged.verdict, Verdict::Watch);
    assert!(judged.reasons[0].contains("201 retries a TB lately, 20 before"), "{judged:?}");
}

#[test]
fn drives_are_judged_by_their_own_alerts() {
    for number in DRIVE_FAULTY {
        assert_eq!(of_drive(&[with_flag(*number)]).verdict, Verdict::Replace, "{number}");
    }
    for number in DRIVE_DOUBTFUL {
        assert_eq!(of_drive(&[with_flag(*number)]).verdict, Verdict::Watch, "{number}");
    }
    assert_eq!(of_drive(&[with_flag(4)]).verdict, Verdict::Good);
    let dirty = Record { cleaning_requested: true, ..used("D1", 1, 0, 0) };
    assert_eq!(of_drive(&[dirty.clone(), used("D1", 1, 0, 0)]).verdict, Verdict::Good);
    assert_eq!(of_drive(&[dirty]).verdict, Verdict::Watch);
    assert_eq!(of_drive(&[]), Judgement::default());
}

/// No flag is forgotten by accident: each that has a name is about the cartridge, the drive, or one of those that concern neither.
#[test]
fn every_flag_has_its_place() {
    // Operator, library, cleaning (asked for by other fields), encryption, statistics.
    let neither = [
        9, 10, 11, 12, 16, 17, 20, 21, 22, 23, 24, 33, 40, 41, 42, 43, 44, 45, 46, 47, 48, 50, 60,
        61,
    ];
    let lists = [CARTRIDGE_FAULTY, CARTRIDGE_DOUBTFUL, DRIVE_FAULTY, DRIVE_DOUBTFUL, &neither];
    for flag in FLAGS {
        let count = lists.iter().filter(|list| list.contains(&flag.number)).count();
        assert_eq!(count, 1, "{}", flag.number);
    }
}
