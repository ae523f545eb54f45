//! What units say that they offer, they do: each command, VPD page, mode page and log page of their lists.

use std::collections::BTreeMap;

use scsi::{Data, Status};
use vtl::{Generation, Options, Unit};

use crate::host::*;

/// A command that works on a drive or changer as [`Rig::loaded`] leaves them: bytes behind the code, data to send.
type Working = (&'static [u8], &'static [u8]);

/// Operation codes and service actions of a unit, with the usage map of each.
fn listed(unit: &mut Host) -> BTreeMap<(u8, Option<u8>), Vec<u8>> {
    let all = unit.data_in(&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0], 0x4000);
    all[4..]
        .chunks(8)
        .map(|entry| {
            let action = (entry[5] & 0x01 != 0).then_some(entry[3]);
            let option = if action.is_some() { 2 } else { 1 };
            let cdb = [0xa3, 0x0c, option, entry[0], 0, entry[3], 0, 0, 1, 0, 0, 0];
            let one = unit.data_in(&cdb, 256);
            assert_eq!((one[1], one[3]), (3, entry[7]), "{entry:02x?}");
            assert_eq!(one.len(), 4 + usize::from(entry[7]), "{entry:02x?}");
            ((entry[0], action), one[4..].to_vec())
        })
        .collect()
}

/// Sends each command of the list once, as a host would, and expects GOOD.
fn try_all(unit: &mut Host, working: &[((u8, Option<u8>), Working)]) {
    let listed = listed(unit);
    let known: BTreeMap<_, _> = working.iter().copied().collect();
    assert_eq!(
        listed.keys().collect::<Vec<_>>(),
        known.keys().collect::<Vec<_>>(),
        "each command of the list has an example here"
    );
    for ((code, action), (rest, data)) in working {
        let cdb = [&[*code], *rest].concat();
        let map = &listed[&(*code, *action)];
        assert_eq!(map.len(), cdb.len(), "{cdb:02x?}");
        // The map admits every bit that a host sends.
        for (at, (byte, mask)) in cdb.iter().zip(map).enumerate().skip(1) {
            assert_eq!(byte & !mask, 0, "byte {at} of {cdb:02x?}");
        }
        let mut buffer = vec![0; 0x8000];
        let is_out = !data.is_empty();
        let way = if is_out { Data::Out(data) } else { Data::In(&mut buffer) };
        let reply = unit.send(&cdb, way);
        assert_eq!((reply.status, reply.sense), (Status::Good, None), "{cdb:02x?}");
    }
}

const RESERVE_IN: [u8; 9] = [0, 0, 0, 0, 0, 0, 1, 0, 0];

/// PERSISTENT RESERVE OUT: a key, none before.
const REGISTER: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
/// The key that is registered.
const WITH_KEY: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The key, and itself as the one to preempt.
const KEY_TWICE: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];

/// Reservations, in an order in which each works.
const RESERVATIONS: [((u8, Option<u8>), Working); 15] = [
    ((0x16, None), (&[0; 5], &[])),
    ((0x17, None), (&[0; 5], &[])),
    ((0x56, None), (&[0; 9], &[])),
    ((0x57, None), (&[0; 9], &[])),
    ((0x5f, Some(0)), (&[0, 0, 0, 0, 0, 0, 0, 24, 0], REGISTER)),
    ((0x5f, Some(1)), (&[1, 1, 0, 0, 0, 0, 0, 24, 0], WITH_KEY)),
    ((0x5e, Some(0)), (&RESERVE_IN, &[])),
    ((0x5e, Some(1)), (&[1, 0, 0, 0, 0, 0, 1, 0, 0], &[])),
    ((0x5e, Some(2)), (&[2, 0, 0, 0, 0, 0, 1, 0, 0], &[])),
    ((0x5e, Some(3)), (&[3, 0, 0, 0, 0, 0, 1, 0, 0], &[])),
    ((0x5f, Some(4)), (&[4, 1, 0, 0, 0, 0, 0, 24, 0], KEY_TWICE)),
    ((0x5f, Some(5)), (&[5, 1, 0, 0, 0, 0, 0, 24, 0], KEY_TWICE)),
    ((0x5f, Some(2)), (&[2, 1, 0, 0, 0, 0, 0, 24, 0], WITH_KEY)),
    ((0x5f, Some(3)), (&[3, 0, 0, 0, 0, 0, 0, 24, 0], WITH_KEY)),
    ((0x5f, Some(6)), (&[6, 0, 0, 0, 0, 0, 0, 24, 0], REGISTER)),
];

const ENCRYPTION_OFF: &[u8] = &[0, 0x10, 0, 16, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const LABEL: &[u8] = &[0, 0, 0, 7, 8, 3, 2, 0, 2, b'O', b'K'];
const TIME: &[u8] = &[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0];
/// One segment: objects 0 to 1 of partition 0.
const SEGMENTS: &[u8] = &[
    0, 0, 0, 0, 0, 0, 0, 32, 0, 30, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 1,
];

/// MODE SELECT(6) of page 10h/01h: append-only mode.
const APPEND_ONLY: &[u8] = &[
    0, 0, 0x10, 0, 0x50, 1, 0, 0x1c, 0, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn each_command_of_a_drive_works() {
    let rig = rig_with(&Options { generation: Generation::Lto9, ..small() });
    let mut drive = rig.loaded();
    let mut working = RESERVATIONS.to_vec();
    working.extend::<[((u8, Option<u8>), Working); 41]>([
        ((0x04, None), (&[0; 5], &[])),
        ((0x0b, None), (&[0, 0, 0xff, 0xff, 0], &[])),
        ((0x0a, None), (&[0, 0, 0, 4, 0], b"data")),
        ((0x10, None), (&[0, 0, 0, 1, 0], &[])),
        ((0x01, None), (&[0; 5], &[])),
        ((0x13, None), (&[0, 0, 0, 4, 0], &[])),
        ((0x11, None), (&[1, 0, 0, 1, 0], &[])),
        (
            (0x91, None),
            (&[1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], &[]),
        ),
        ((0x2b, None), (&[0; 9], &[])),
        ((0x92, None), (&[0; 15], &[])),
        ((0x08, None), (&[0, 0, 0, 4, 0], &[])),
        ((0x34, None), (&[6, 0, 0, 0, 0, 0, 0, 0, 0], &[])),
        ((0x00, None), (&[0; 5], &[])),
        ((0x03, None), (&[0, 0, 0, 18, 0], &[])),
        ((0x05, None), (&[0; 5], &[])),
        ((0x12, None), (&[0, 0, 0, 36, 0], &[])),
        ((0x1a, None), (&[0, 0x3f, 0, 255, 0], &[])),
        ((0x55, None), (&[0x10, 0, 0, 0, 0, 0, 0, 8, 0], &[0, 0, 0, 0x10, 0, 0, 0, 0])),
        ((0x5a, None), (&[0, 0x3f, 0xff, 0, 0, 0, 4, 0, 0], &[])),
        ((0x1d, None), (&[4, 0, 0, 0, 0], &[])),
        ((0x1e, None), (&[0; 5], &[])),
        ((0x3b, None), (&[0x0a, 0, 0, 0, 0, 0, 0, 4, 0], b"echo")),
        ((0x3c, None), (&[0x0a, 0, 0, 0, 0, 0, 1, 0, 0], &[])),
        ((0x44, None), (&[1, 0, 0, 0, 0, 0, 1, 0, 0], &[])),
        ((0x4c, None), (&[2, 0xc0, 0, 0, 0, 0, 0, 0, 0], &[])),
        ((0x4d, None), (&[0, 0x40, 0, 0, 0, 0, 1, 0, 0], &[])),
        ((0x8c, None), (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], &[])),
        ((0x8d, None), (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0], LABEL)),
        ((0xa0, None), (&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &[])),
        ((0xa2, None), (&[0x20, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0], &[])),
        ((0xb5, None), (&[0x20, 0, 0x10, 0, 0, 0, 0, 0, 20, 0, 0], ENCRYPTION_OFF)),
        ((0xa3, Some(0x0c)), (&[0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0], &[])),
        ((0xa3, Some(0x0d)), (&[0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], &[])),
        ((0xa4, Some(0x0f)), (&[0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], TIME)),
        ((0xa3, Some(0x0f)), (&[0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], &[])),
        ((0xa4, Some(0x1d)), (&[0x1d, 2, 0, 0, 0, 0, 0, 0, 40, 0, 0], SEGMENTS)),
        ((0xa3, Some(0x1d)), (&[0x1d, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &[])),
        ((0x19, None), (&[0; 5], &[])),
        ((0x1b, None), (&[0, 0, 0, 1, 0], &[])),
        // Only in append-only mode, which the one before turns on.
        ((0x15, None), (&[0x10, 0, 0, 36, 0], APPEND_ONLY)),
        ((0x82, None), (&[0; 15], &[])),
    ]);
    try_all(&mut drive, &working);
}

#[test]
fn each_command_of_a_changer_works() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    let mut working = RESERVATIONS.to_vec();
    working.extend::<[((u8, Option<u8>), Working); 20]>([
        ((0x00, None), (&[0; 5], &[])),
        ((0x03, None), (&[0, 0, 0, 18, 0], &[])),
        ((0x07, None), (&[0; 5], &[])),
        ((0x12, None), (&[0, 0, 0, 36, 0], &[])),
        ((0x15, None), (&[0x10, 0, 0, 4, 0], &[0, 0, 0, 0])),
        ((0x1a, None), (&[0, 0x3f, 0, 255, 0], &[])),
        ((0x1d, None), (&[4, 0, 0, 0, 0], &[])),
        ((0x1e, None), (&[0; 5], &[])),
        ((0x2b, None), (&[0, 0, 1, 4, 0, 0, 0, 0, 0], &[])),
        ((0x37, None), (&[1, 4, 0, 0, 0, 0, 2, 0, 0], &[])),
        ((0x4d, None), (&[0, 0x40, 0, 0, 0, 0, 1, 0, 0], &[])),
        ((0x55, None), (&[0x10, 0, 0, 0, 0, 0, 0, 8, 0], &[0, 0, 0, 0, 0, 0, 0, 0])),
        ((0x5a, None), (&[0, 0x3f, 0xff, 0, 0, 0, 4, 0, 0], &[])),
        ((0xa0, None), (&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &[])),
        ((0xa3, Some(0x0c)), (&[0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0], &[])),
        ((0xa3, Some(0x0d)), (&[0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], &[])),
        ((0xa5, None), (&[0, 0, 1, 4, 0, 1, 0, 0, 0, 0, 0], &[])),
        ((0xa6, None), (&[0, 0, 1, 4, 1, 4, 2, 4, 5, 0, 0], &[])),
        ((0xb8, None), (&[0x10, 0, 0, 0xff, 0xff, 0, 0, 0x40, 0, 0, 0], &[])),
        ((0xe7, None), (&[0; 9], &[])),
    ]);
    try_all(&mut changer, &working);
}

/// Pages of MODE SENSE(10) data behind the header and its descriptor: page, subpage, whole bytes.
fn split(reply: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
    assert_eq!(usize::from(u16::from_be_bytes([reply[0], reply[1]])), reply.len() - 2);
    let mut rest = &reply[8 + usize::from(reply[7])..];
    let mut pages = Vec::new();
    while let [first, second, ..] = rest {
        let (subpage, length) = if first & 0x40 == 0 {
            (0, 2 + usize::from(*second))
        } else {
            (*second, 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]])))
        };
        let (page, next) = rest.split_at(length);
        pages.push((first & 0x3f, subpage, page.to_vec()));
        rest = next;
    }
    pages
}

fn units_of_each_kind() -> Vec<(Rig, &'static str)> {
    let generations = [Generation::Lto4, Generation::Lto5, Generation::Lto8, Generation::Lto9];
    let mut rigs: Vec<_> = generations
        .into_iter()
        .map(|generation| (rig_with(&Options { generation, ..small() }), "drive"))
        .collect();
    rigs.push((rig(8 * MIB), "empty drive"));
    rigs.push((rig(8 * MIB), "changer"));
    rigs
}

fn unit(rig: &Rig, kind: &str) -> Host {
    let mut unit = match kind {
        "drive" => rig.loaded(),
        "changer" => rig.changer(),
        _ => rig.drive(0),
    };
    unit.settle();
    unit
}

#[test]
fn each_mode_page_can_be_read_alone_with_all_values_and_sent_back() {
    for (rig, kind) in units_of_each_kind() {
        let mut unit = unit(&rig, kind);
        let all = split(&unit.data_in(&[0x5a, 8, 0x3f, 0xff, 0, 0, 0, 0x10, 0, 0], 4096));
        let codes: Vec<_> = all.iter().map(|(page, subpage, _)| (*page, *subpage)).collect();
        assert!(codes.is_sorted_by(|one, next| one < next), "{kind}");
        for (page, subpage, bytes) in &all {
            let name = format!("page {page:02x}/{subpage:02x} of a {kind}");
            let mut ask = |control: u8| {
                let cdb = [0x5a, 8, control << 6 | page, *subpage, 0, 0, 0, 0x10, 0, 0];
                let [(_, _, one)] = split(&unit.data_in(&cdb, 4096)).try_into().unwrap();
                assert_eq!(one.len(), bytes.len(), "{name}");
                one
            };
            let [current, mask, default] = [0, 1, 2].map(&mut ask);
            assert_eq!(current, *bytes, "{name}");
            // What cannot be changed is as it is by default, but for what the medium says.
            let is_medium = matches!(page, 0x11 | 0x1d);
            let head = if *subpage == 0 { 2 } else { 4 };
            for at in head..bytes.len() {
                let fixed = (current[at] ^ default[at]) & !mask[at];
                assert!(fixed == 0 || is_medium, "byte {at} of {name}");
            }
            let mut list = [&[0; 8][..], bytes].concat();
            list[3] = if kind == "changer" { 0 } else { 0x10 };
            let cdb = [0x55, 0x10, 0, 0, 0, 0, 0, 0, list.len() as u8, 0];
            assert_eq!(unit.send(&cdb, Data::Out(&list)).sense, None, "{name}");
        }
    }
}

#[test]
fn each_log_page_and_each_page_of_vital_data_can_be_read() {
    for (rig, kind) in units_of_each_kind() {
        let mut unit = unit(&rig, kind);
        let listed = unit.data_in(&[0x4d, 0, 0x40, 0, 0, 0, 0, 1, 0, 0], 256)[4..].to_vec();
        assert!(listed.is_sorted_by(|one, next| one < next) && listed[0] == 0, "{kind}");
        for page in 0..0x40 {
            let cdb = [0x4d, 0, 0x40 | page, 0, 0, 0, 0, 0x10, 0, 0];
            if listed.contains(&page) {
                let reply = unit.data_in(&cdb, 4096);
                let told = usize::from(u16::from_be_bytes([reply[2], reply[3]]));
                assert_eq!((reply[0], told), (page, reply.len() - 4), "{page:02x} of a {kind}");
                assert!(told > 0, "{page:02x} of a {kind}");
            } else {
                unit.fails(&cdb, (5, 0x24, 0));
            }
        }
        let listed = unit.data_in(&[0x12, 1, 0, 0, 255, 0], 255)[4..].to_vec();
        assert!(listed.is_sorted_by(|one, next| one < next) && listed[0] == 0, "{kind}");
        for page in listed {
            let reply = unit.data_in(&[0x12, 1, page, 0, 255, 0], 255);
            let told = usize::from(u16::from_be_bytes([reply[2], reply[3]]));
            assert_eq!((reply[1], told), (page, reply.len() - 4), "{page:02x} of a {kind}");
        }
    }
}

#[test]
fn the_time_to_wait_for_is_told_of_each_command() {
    let rig = rig(8 * MIB);
    for mut unit in [rig.drive(0), rig.changer()] {
        unit.settle();
        let all = unit.data_in(&[0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x40, 0, 0, 0], 0x4000);
        let times: BTreeMap<u8, u32> = all[4..]
            .chunks(20)
            .map(|entry| {
                assert_eq!((entry[5] & 2, &entry[8..10]), (2, &[0, 10][..]));
                (entry[0], u32::from_be_bytes(entry[16..20].try_into().unwrap()))
            })
            .collect();
        assert!(times.values().all(|seconds| *seconds >= 60));
        // VERIFY reads, and SET CAPACITY formats.
        assert_eq!(times.get(&0x13), times.get(&0x08).filter(|_| times.contains_key(&0x0a)));
        assert_eq!(times.get(&0x0b), times.get(&0x04));
    }
}

#[test]
fn an_echo_is_what_the_host_sent_itself() {
    let rig = rig(8 * MIB);
    let mut drive = rig.drive(0);
    drive.settle();
    let session = rig.library.host_session("iqn.test:echo,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    assert_eq!(drive.data_in(&[0x3c, 0x0b, 0, 0, 0, 0, 0, 0, 4, 0], 4), [1, 0, 0x10, 0]);
    let read = [0x3c, 0x0a, 0, 0, 0, 0, 0, 0x20, 0, 0];
    drive.fails(&read, (5, 0x2c, 0));
    for (host, seed) in [(&mut drive, 1), (&mut other, 2)] {
        host.data_out(&[0x3b, 0x0a, 0, 0, 0, 0, 0, 0x10, 0, 0], &pattern(seed, 4096));
    }
    drive.data_out(&[0x3b, 0x0a, 0, 0, 0, 0, 0, 0, 100, 0], &pattern(3, 100));
    assert_eq!(drive.data_in(&read, 8192), pattern(3, 100));
    assert_eq!(other.data_in(&read, 8192), pattern(2, 4096));
    // Too much; microcode; a mode that is not there.
    drive.fails(&[0x3b, 0x0a, 0, 0, 0, 0, 0, 0x10, 1, 0], (5, 0x24, 0));
    drive.fails(&[0x3b, 0x05, 0, 0, 0, 0, 0, 0, 0, 0], (5, 0x24, 0));
    drive.fails(&[0x3c, 0x02, 0, 0, 0, 0, 0, 0, 4, 0], (5, 0x24, 0));
    session.reset(Unit::Drive(0)).unwrap();
    drive.settle();
    drive.fails(&read, (5, 0x2c, 0));
}

#[test]
fn the_clock_of_a_drive_can_be_set() {
    let rig = rig(8 * MIB);
    let mut drive = rig.drive(0);
    drive.settle();
    let session = rig.library.host_session("iqn.test:clock,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    let report = |host: &mut Host| {
        let reply = host.data_in(&[0xa3, 0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], 12);
        assert_eq!((&reply[..2], reply[3], &reply[10..]), (&[0, 10][..], 0, &[0, 0][..]));
        let time = reply[4..10].iter().fold(0u64, |time, byte| time << 8 | u64::from(*byte));
        (reply[2], time)
    };
    // From power on, which was not a thousand days ago.
    let (origin, since_power_on) = report(&mut drive);
    assert!(origin == 0 && since_power_on < 86_400_000_000);
    let set = 0x0102_0304_0506;
    drive.data_out(&[0xa4, 0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0], TIME);
    other.fails(&[0; 6], (6, 0x2a, 0x10));
    for host in [&mut drive, &mut other] {
        let (origin, time) = report(host);
        assert!(origin == 2 && (set..set + 86_400_000).contains(&time));
    }
    // It runs on over a reset and from program to program.
    session.reset(Unit::Drive(0)).unwrap();
    drop((session, drive, other));
    let mut drive = rig.drive(0);
    drive.settle();
    assert!(report(&mut drive).1 >= set);
    let cut = drive.send(&[0xa4, 0x0f, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0], Data::Out(&TIME[..11]));
    assert_eq!(cut.sense.map(|sense| code(&sense)), Some((5, 0x1a, 0)));
}
