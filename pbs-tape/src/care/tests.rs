//! The codec of records and the file of a history: properties, every truncation, every flipped bit, concurrent jobs.

use proptest::prelude::*;
use scsi::command::device_statistics::DeviceStatistics;
use scsi::command::error_counters::ErrorCounters;
use scsi::command::tape_alert::TapeAlerts;
use uuid::Uuid;

use super::history::{FILE_BYTES_MAX, History, RECORDS_MAX};
use super::record::{LINE_BYTES_MAX, TEXT_CHARS_MAX, clip};
use super::*;
use crate::media::StateDir;

fn text() -> impl Strategy<Value = Option<String>> {
    // The worst that may come from a label or a drive: whatever is long when it is escaped.
    let worst = Just("\u{1}".repeat(200));
    let any = prop_oneof![".{0,80}".prop_map(|text| text), worst];
    proptest::option::of(any.prop_map(|text| clip(&text)))
}

fn counters() -> impl Strategy<Value = Counters> {
    any::<[u64; 7]>().prop_map(|[a, b, c, d, e, f, g]| Counters {
        mounts: a,
        bytes_written: b,
        bytes_read: c,
        write_retries: d,
        write_errors: e,
        read_retries: f,
        read_errors: g,
    })
}

fn flags() -> impl Strategy<Value = Flags> {
    any::<u64>().prop_map(|bits| Flags(TapeAlerts::from_bits(bits)))
}

prop_compose! {
    fn record()(
        times in any::<[i64; 2]>(),
        merged in any::<u64>(),
        event in prop_oneof![Just(Event::JobEnd), Just(Event::Leave), Just(Event::Cleaning)],
        texts in (text(), text(), text(), text(), text(), text()),
        uuid in proptest::option::of(any::<u128>().prop_map(Uuid::from_u128)),
        density in any::<u64>(),
        switches in any::<[bool; 2]>(),
        alerts in flags(),
        raised in flags(),
        total in counters(),
        delta in counters(),
        numbers in proptest::option::of(any::<[u64; 16]>()),
        verdict in prop_oneof![Just(Verdict::Good), Just(Verdict::Watch), Just(Verdict::Replace)],
    ) -> Record {
        let number = |at: usize| numbers.map(|numbers| numbers[at]);
        let errors = |at| ErrorCounters {
            corrected: number(at),
            uncorrected: number(at + 1),
            bytes: number(at + 2),
        };
        Record {
            since: times[0],
            time: times[1],
            merged,
            event,
            drive: texts.0,
            drive_serial: texts.1,
            uuid,
            label_text: texts.2,
            medium_serial: texts.3,
            density,
            worm: switches[0],
            alerts,
            raised,
            cleaning_requested: switches[1],
            activity: texts.4,
            total,
            delta,
            passes: number(0),
            life_remaining_percent: number(1),
            bytes_used: number(2),
            capacity_bytes: number(3),
            cleanings_left: number(4),
            device: DeviceStatistics {
                loads: number(5),
                cleanings: number(6),
                power_on_hours: number(7),
                motion_hours: number(8),
                motion_hours_since_cleaning: number(9),
                power_cycles: number(10),
                hard_write_errors: number(11),
                hard_read_errors: number(12),
            },
            writing: errors(13),
            reading: errors(13),
            verdict,
            reason: texts.5,
        }
    }
}

proptest! {
    /// Also the longest record fits a line, and comes back as it was.
    #[test]
    fn a_record_comes_back_as_it_was(record in record()) {
        let line = record.encode().unwrap();
        prop_assert!(line.len() <= LINE_BYTES_MAX);
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(Record::decode(line.strip_suffix(b"\n").unwrap()), Some(record));
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let history = History::decode(&bytes);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(history.records.len() + history.damaged, lines);
        // The same behind a right check, so that what is inside is looked at too.
        let mut line = format!("{:08x} ", crc32fast::hash(&bytes)).into_bytes();
        line.extend_from_slice(&bytes);
        let _ = Record::decode(&line);
    }

    /// Putting records together keeps every count and every alert.
    #[test]
    fn merging_keeps_sums_and_alerts(first in record(), second in record()) {
        let merged = first.clone().merge(second.clone());
        prop_assert_eq!(merged.delta, first.delta.plus(&second.delta));
        prop_assert_eq!(merged.total, second.total);
        prop_assert_eq!(merged.raised, first.raised.union(second.raised));
        prop_assert_eq!((merged.since, merged.time), (first.since, second.time));
    }
}

/// The worked example of `docs/formats/care-history.md`.
#[test]
fn the_line_of_the_format_page_is_read_and_written() {
    let page = include_str!("../../../docs/formats/care-history.md");
    let line = page.lines().find(|line| line.contains(" {\"since\":")).unwrap();
    let record = Record::decode(line.as_bytes()).unwrap();
    assert_eq!((record.event, record.delta.mounts, record.total.mounts), (Event::Leave, 1, 2));
    assert_eq!(record.encode().unwrap().strip_suffix(b"\n"), Some(line.as_bytes()));
}

fn small(number: u64) -> Record {
    Record {
        since: number as i64,
        time: number as i64 + 1,
        medium_serial: Some("M1".into()),
        uuid: Some(Uuid::from_u128(7)),
        raised: Flags(TapeAlerts::EMPTY.with((number % 64) as u8 + 1)),
        delta: Counters { bytes_written: number, mounts: 1, ..Counters::default() },
        ..Record::default()
    }
}

fn written(records: u64) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("media/M1.care");
    for number in 0..records {
        History::load(&path).unwrap().append(&path, small(number)).unwrap();
    }
    (folder, path)
}

/// Whatever a crash leaves of the last line, the records before it stay, and the next append begins a line of its own.
#[test]
fn a_file_cut_at_any_byte_keeps_its_whole_records_and_takes_more() {
    let (_folder, path) = written(3);
    let whole = std::fs::read(&path).unwrap();
    let ends: Vec<usize> =
        (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut history = History::load(&path).unwrap();
        let expected = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!((history.records.len(), history.damaged), (expected, 0), "cut at {cut}");
        history.append(&path, small(9)).unwrap();
        let after = History::load(&path).unwrap();
        assert_eq!((after.records.len(), after.damaged), (expected + 1, 0), "cut at {cut}");
        assert_eq!(after.records.last(), Some(&small(9)));
    }
}

/// A flipped bit costs the line that it is in, or two if it makes or takes a newline, and is never believed.
#[test]
fn a_flipped_bit_anywhere_is_found_and_costs_no_other_record() {
    let (_folder, path) = written(3);
    let whole = std::fs::read(&path).unwrap();
    let records = History::load(&path).unwrap().records;
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let history = History::decode(&damaged);
            assert!(history.records.iter().all(|one| records.contains(one)), "bit {bit} of {at}");
            let lost = records.len() - history.records.len();
            assert!((1..=2).contains(&lost), "bit {bit} of {at}: {lost} lost");
            let is_last_newline = at + 1 == whole.len();
            assert!(history.damaged > 0 || is_last_newline, "bit {bit} of {at}: not told");
        }
    }
}

#[test]
fn a_history_stays_bounded_and_loses_no_count() {
    let (_folder, path) = written(2 * RECORDS_MAX as u64);
    let history = History::load(&path).unwrap();
    assert!(history.records.len() <= RECORDS_MAX, "{}", history.records.len());
    assert!(history.records.len() > RECORDS_MAX / 2);
    let sum = |of: fn(&Record) -> u64| history.records.iter().map(of).sum::<u64>();
    let count = 2 * RECORDS_MAX as u64;
    assert_eq!(sum(|record| record.delta.mounts), count);
    assert_eq!(sum(|record| record.merged + 1), count);
    assert_eq!(sum(|record| record.delta.bytes_written), count * (count - 1) / 2);
    let all = history.records.iter().fold(Flags::default(), |all, one| all.union(one.raised));
    assert_eq!(all.numbers().count(), 64);
    assert!(history.records.windows(2).all(|pair| pair[0].time <= pair[1].since));
    assert_eq!(history.records.last(), Some(&small(count - 1)));
    assert_eq!(History::last_of(&path).unwrap(), Some(small(count - 1)));
}

/// A file of somebody else is read to a bound, and has its own length again after the next append.
#[test]
fn a_file_that_is_far_too_long_is_read_to_a_bound_and_cut() {
    let (_folder, path) = written(2);
    let lines = std::fs::read(&path).unwrap();
    let mut content = vec![b'x'; FILE_BYTES_MAX as usize * 2];
    content.push(b'\n');
    content.extend_from_slice(&lines);
    std::fs::write(&path, &content).unwrap();
    let mut history = History::load(&path).unwrap();
    assert_eq!((history.records.len(), history.damaged), (2, 1));
    history.append(&path, small(9)).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 10_000);
    let history = History::load(&path).unwrap();
    assert_eq!((history.records.len(), history.damaged), (3, 0));
}

#[test]
fn the_last_record_is_found_behind_damage_and_before_a_cut() {
    let (_folder, path) = written(3);
    let mut content = std::fs::read(&path).unwrap();
    content.extend_from_slice(b"00000000 {}\n12345678 {\"time\":");
    std::fs::write(&path, &content).unwrap();
    assert_eq!(History::last_of(&path).unwrap(), Some(small(2)));
    assert_eq!(History::last_of(&path.with_extension("none")).unwrap(), None);
    std::fs::write(&path, vec![b'\n'; 100_000]).unwrap();
    assert_eq!(History::last_of(&path).unwrap(), None);
}

fn seen(drive: &str, medium: &str, mounts: u64, mb: u64) -> Record {
    Record {
        drive: Some(format!("name-{drive}")),
        drive_serial: Some(drive.into()),
        medium_serial: Some(medium.into()),
        total: Counters { mounts, bytes_written: mb * 1_000_000, ..Counters::default() },
        ..Record::default()
    }
}

fn mount(mb: u64) -> Option<Counters> {
    Some(Counters { mounts: 1, bytes_written: mb * 1_000_000, ..Counters::default() })
}

fn world() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(folder.path().join("state")).unwrap();
    (folder, state)
}

fn media_of(state: &StateDir, serial: &str) -> Vec<Record> {
    let path = state.care_media_folder().join(format!("{serial}.care"));
    History::load(&path).unwrap().records
}

fn drive_of(state: &StateDir, serial: &str) -> Vec<Record> {
    History::load(&state.care_drive_file(serial)).unwrap().records
}

#[test]
fn records_hold_what_came_since_and_in_all() {
    let (_folder, state) = world();
    let store = |record, last| recorder::store(&state, record, last, false).unwrap();
    // The first time only the present load is known to have been here.
    store(seen("D1", "M1", 5, 900), mount(100));
    store(seen("D1", "M1", 5, 900), mount(100));
    store(seen("D1", "M1", 5, 950), mount(150));
    // Another host used it three times meanwhile: that is the cartridge's history, not this drive's.
    store(seen("D2", "M1", 9, 5000), mount(30));
    let media = media_of(&state, "M1");
    let deltas: Vec<_> =
        media.iter().map(|one| (one.delta.mounts, one.delta.bytes_written / 1_000_000)).collect();
    assert_eq!(deltas, [(1, 100), (0, 50), (4, 4050)]);
    assert_eq!(media[2].total.bytes_written, 5_000_000_000);
    assert_eq!(drive_of(&state, "D1").len(), 2);
    let drive = drive_of(&state, "D2");
    assert_eq!((drive[0].delta.mounts, drive[0].delta.bytes_written), (1, 30_000_000));
}

#[test]
fn a_flag_counts_once_a_load_for_a_cartridge_and_once_for_a_drive() {
    let (_folder, state) = world();
    let with = |record: Record, numbers: &[u8]| Record {
        alerts: Flags(numbers.iter().fold(TapeAlerts::EMPTY, |flags, one| flags.with(*one))),
        ..record
    };
    let store = |record| recorder::store(&state, record, mount(1), false).unwrap();
    store(with(seen("D1", "M1", 1, 1), &[3, 26]));
    store(with(seen("D1", "M1", 1, 2), &[3, 26]));
    store(with(seen("D1", "M2", 1, 1), &[3, 26]));
    store(with(seen("D1", "M2", 1, 2), &[]));
    store(with(seen("D1", "M2", 1, 3), &[26]));
    let raised: Vec<Vec<u8>> =
        drive_of(&state, "D1").iter().map(|one| one.raised.numbers().collect()).collect();
    assert_eq!(raised, [vec![3, 26], vec![], vec![3], vec![], vec![26]]);
    assert_eq!(media_of(&state, "M2")[0].raised.numbers().collect::<Vec<_>>(), [3]);
    // Each record carries the verdict, so that a list need not read all.
    assert_eq!(media_of(&state, "M1")[0].verdict, Verdict::Watch);
}

/// LTO-4: the cartridge counts no errors. Counters of the drive that begin anew with a cartridge, and such that don't, both do.
#[test]
fn a_drive_without_volume_statistics_lends_its_own_error_counters() {
    let (_folder, state) = world();
    let with = |mounts, mb, corrected| Record {
        writing: ErrorCounters { corrected: Some(corrected), ..ErrorCounters::default() },
        ..seen("D1", "M1", mounts, mb)
    };
    for (mounts, mb, corrected) in [(1, 10, 5), (1, 20, 9), (2, 30, 4), (3, 40, 6)] {
        recorder::store(&state, with(mounts, mb, corrected), None, true).unwrap();
    }
    let retries: Vec<u64> =
        media_of(&state, "M1").iter().map(|one| one.delta.write_retries).collect();
    assert_eq!(retries, [0, 4, 4, 6]);
    assert_eq!(media_of(&state, "M1")[3].total.write_retries, 19);
}

#[test]
fn jobs_at_the_same_time_lose_no_record() {
    let (_folder, state) = world();
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let state = state.clone();
            std::thread::spawn(move || {
                for mounts in 1..=25 {
                    let record = seen(&format!("D{number}"), &format!("M{number}"), mounts, 1);
                    recorder::store(&state, record, mount(1), false).unwrap();
                    let shared = seen(&format!("D{number}"), "SHARED", mounts, mounts);
                    recorder::store(&state, shared, mount(1), false).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for number in 0..4 {
        let history = History::load(&state.care_drive_file(&format!("D{number}"))).unwrap();
        assert_eq!((history.records.len(), history.damaged), (50, 0));
        assert_eq!(media_of(&state, &format!("M{number}")).len(), 25);
    }
}

#[test]
fn a_relabelled_cartridge_keeps_its_history_and_a_copied_label_is_the_latest() {
    let (_folder, state) = world();
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let with = |medium, mounts, uuid, time| Record {
        uuid: Some(uuid),
        time,
        worm: medium == "M2",
        ..seen("D1", medium, mounts, mounts)
    };
    let store = |record| recorder::store(&state, record, mount(1), false).unwrap();
    store(with("M1", 1, first, 10));
    store(with("M1", 2, second, 20));
    assert_eq!(media_of(&state, "M1").len(), 2);
    let overview = Overview::load(&state);
    assert!(overview.get(&first).is_none());
    assert_eq!(overview.get(&second).unwrap().total.mounts, 2);
    store(with("M2", 1, second, 30));
    let overview = Overview::load(&state);
    assert_eq!(overview.get(&second).unwrap().medium_serial.as_deref(), Some("M2"));
    assert!(overview.is_worm(&second) && !overview.is_worm(&first));
}

#[test]
fn names_that_are_no_file_names_are_escaped() {
    let (_folder, state) = world();
    let odd = seen("../../D", "../M\n1", 1, 1);
    recorder::store(&state, odd.clone(), mount(1), false).unwrap();
    for folder in [state.care_drive_folder(), state.care_media_folder()] {
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }
    assert_eq!(Record::decode(odd.encode().unwrap().strip_suffix(b"\n").unwrap()), Some(odd));
    assert_eq!(clip(&"ü".repeat(100)).chars().count(), TEXT_CHARS_MAX);
}

#[test]
fn statistics_tell_the_story_month_by_month() {
    let (_folder, state) = world();
    let uuid = Uuid::from_u128(1);
    // 2026-01-15, 2026-01-20 and 2026-03-02.
    for (mounts, time, retries) in
        [(1, 1_768_435_200, 0), (2, 1_768_867_200, 5), (3, 1_772_409_600, 10)]
    {
        let mut record = seen("D1", "M1", mounts, mounts * 1_000_000);
        record.total.write_retries = retries;
        record.time = time;
        record.uuid = Some(uuid);
        record.label_text = Some("CAP001L8".into());
        record.density = 0x5e;
        record.capacity_bytes = Some(12_000_000_000_000);
        record.alerts = Flags(TapeAlerts::EMPTY.with(if mounts == 3 { 19 } else { 20 }));
        recorder::store(&state, record, mount(1_000_000), false).unwrap();
    }
    for which in ["CAP001L8", "M1", &uuid.to_string()] {
        let found = statistics::media(&state, Some(which)).unwrap();
        assert_eq!(found.len(), 1, "{which}");
    }
    let found = statistics::media(&state, None).unwrap().remove(0);
    assert_eq!((found.format.as_str(), found.total.mounts), ("LTO8", 3));
    assert_eq!(found.full_passes, Some(0.25));
    assert_eq!(found.verdict, Verdict::Watch);
    let months: Vec<_> =
        found.story.periods.iter().map(|one| (one.month.as_str(), one.retries_per_tb)).collect();
    assert_eq!(months, [("2026-01", Some(2.5)), ("2026-03", Some(5.0))]);
    let alerts: Vec<_> = found.story.alerts.iter().map(|one| one.alert.number).collect();
    assert_eq!(alerts, [19, 20]);
    assert!(found.story.alerts[0].alert.action.contains("copy the data"));
    let drive = statistics::drives(&state, Some("name-D1")).unwrap().remove(0);
    assert_eq!((drive.recorded.mounts, drive.verdict), (3, Verdict::Good));
    for missing in
        [statistics::media(&state, Some("T9")).err(), statistics::drives(&state, Some("x")).err()]
    {
        assert!(missing.unwrap().is_missing());
    }
}
