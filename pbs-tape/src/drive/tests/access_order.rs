//! The order in which parts of a tape are read.

use scsi::command::access_order::{
    OrderLimits, Segment, build_list, generate_cdb, limits_cdb, receive_bytes, receive_cdb,
};
use vtl::Generation;
use vtl::geometry::Geometry;

use super::emulated::load;
use super::*;

fn range(first: u64, last: u64) -> BlockRange {
    BlockRange { first, last }
}

fn segment(place: usize, first: u64, last: u64) -> Segment {
    let name = format!("{place:010}").into_bytes().try_into().unwrap();
    Segment { name, partition: 0, first, last }
}

fn expect_limits(script: &mut Script, segments_max: u16) {
    let limits = OrderLimits { segments_max, descriptor_bytes_max: 52 };
    script.expect_in(&limits_cdb(), &limits.build());
}

fn expect_generate(script: &mut Script, segments: &[Segment]) {
    let list = build_list(segments);
    script.expect_out(&generate_cdb(list.len() as u32), &list);
}

fn expect_receive(script: &mut Script, asked: usize, segments: &[Segment]) {
    script.expect_in(&receive_cdb(receive_bytes(asked)), &build_list(segments));
}

#[test]
fn the_drive_gets_an_ascending_list_in_parts_and_its_order_is_taken() {
    let (mut script, mut drive) = open();
    let ranges = [range(50, 59), range(10, 19), range(30, 39), range(70, 79), range(90, 99)];
    expect_limits(&mut script, 3);
    let first = [segment(0, 10, 19), segment(1, 30, 39), segment(2, 50, 59)];
    expect_generate(&mut script, &first);
    expect_receive(&mut script, 3, &[first[2], first[0], first[1]]);
    let second = [segment(0, 70, 79), segment(1, 90, 99)];
    expect_generate(&mut script, &second);
    expect_receive(&mut script, 2, &[second[1], second[0]]);
    assert_eq!(drive.access_order(&ranges).unwrap(), [0, 1, 2, 4, 3]);
    // Nothing to order: nothing is asked.
    assert_eq!(drive.access_order(&ranges[..1]).unwrap(), [0]);
    assert!(drive.access_order(&[]).unwrap().is_empty());
}

#[test]
fn whatever_is_no_order_means_going_up() {
    let ranges = [range(50, 59), range(10, 19)];
    let up = [1, 0];
    let list = [segment(0, 10, 19), segment(1, 50, 59)];
    for sense in [Sense::INVALID_OPCODE, Sense::INVALID_FIELD_IN_CDB] {
        let (mut script, mut drive) = open();
        script.expect_check(&limits_cdb(), sense);
        assert_eq!(drive.access_order(&ranges).unwrap(), up);
        let (mut script, mut drive) = open();
        expect_limits(&mut script, 100);
        script.expect_check(&generate_cdb(72), sense);
        assert_eq!(drive.access_order(&ranges).unwrap(), up);
    }
    let other_name = Segment { name: *b"something.", ..list[0] };
    let odd: [&[Segment]; 5] = [
        &[],
        &list[..1],
        &[list[0], list[0]],
        &[list[0], segment(1, 50, 60)],
        &[other_name, list[1]],
    ];
    for reply in odd {
        let (mut script, mut drive) = open();
        expect_limits(&mut script, 100);
        expect_generate(&mut script, &list);
        expect_receive(&mut script, 2, reply);
        assert_eq!(drive.access_order(&ranges).unwrap(), up, "{reply:?}");
    }
    // A list that is cut, and a limit that is none.
    let (mut script, mut drive) = open();
    expect_limits(&mut script, 100);
    expect_generate(&mut script, &list);
    script.expect_in(&receive_cdb(receive_bytes(2)), &build_list(&list)[..50]);
    assert_eq!(drive.access_order(&ranges).unwrap(), up);
    let (mut script, mut drive) = open();
    expect_limits(&mut script, 0);
    assert_eq!(drive.access_order(&ranges).unwrap(), up);
    // What happened to the drive is told.
    let (mut script, mut drive) = open();
    script.expect_check(&limits_cdb(), Sense::MEDIUM_CHANGED);
    assert!(matches!(drive.access_order(&ranges), Err(Error::PositionLost { .. })));
}

/// 300 blocks of 64 KiB fill most of a small tape, so that they lie all over its length.
fn tape(generation: Generation) -> (tempfile::TempDir, vtl::Library, Drive) {
    let dir = tempfile::tempdir().unwrap();
    let options = vtl::Options {
        drives: 1,
        slots: 1,
        import_export: 0,
        cartridges: 1,
        generation,
        capacity_bytes: Some(CAPACITY_BYTES),
        ..vtl::Options::default()
    };
    let library = vtl::Library::create(&dir.path().join("lib"), &options).unwrap();
    let mut drive = load(&library);
    drive.rewind().unwrap();
    for number in 0..300u32 {
        let _ = drive.write_block(&vec![number as u8; BLOCK_BYTES as usize]).unwrap();
    }
    drive.rewind().unwrap();
    (dir, library, drive)
}

const CAPACITY_BYTES: u64 = 32 << 20;
const BLOCK_BYTES: u64 = 64 << 10;

#[test]
fn an_emulated_drive_orders_every_range_once_and_cheaper_than_going_up() {
    for generation in [Generation::Lto9, Generation::Lto10] {
        let (_folder, _library, mut drive) = tape(generation);
        let ranges: Vec<BlockRange> =
            (0..60).map(|number| number * 37 % 300).map(|first| range(first, first)).collect();
        let order = drive.access_order(&ranges).unwrap();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..60).collect::<Vec<_>>());
        let tape = Geometry::new(generation, CAPACITY_BYTES);
        let cost_ms = |order: &[usize]| {
            let mut here = tape.place(0);
            let mut sum_ms = 0;
            for index in order {
                let BlockRange { first, last } = ranges[*index];
                sum_ms += tape.locate_ms(here, tape.place(first * BLOCK_BYTES));
                here = tape.place((last + 1) * BLOCK_BYTES);
            }
            sum_ms
        };
        let mut ascending: Vec<usize> = (0..60).collect();
        ascending.sort_by_key(|index| ranges[*index]);
        let (found_ms, up_ms) = (cost_ms(&order), cost_ms(&ascending));
        assert!(found_ms * 2 < up_ms, "{generation}: {found_ms} of {up_ms}");
        // A range that is not on the tape is refused, and going up finds out.
        let beyond = [range(5, 6), range(100, 300), range(1, 2)];
        assert_eq!(drive.access_order(&beyond).unwrap(), [2, 0, 1]);
    }
}

#[test]
fn older_drives_are_read_going_up() {
    let (_folder, _library, mut drive) = tape(Generation::Lto8);
    let ranges = [range(200, 210), range(3, 3), range(40, 60)];
    assert_eq!(drive.access_order(&ranges).unwrap(), [1, 2, 0]);
}
