//! Formatting by generation, erasing, WORM.

use super::*;

fn expect_kind(script: &mut Script, density: u8, worm: bool) {
    let mut kind = parameters(0, 1, true);
    kind.descriptor = Some(BlockDescriptor { density, ..Default::default() });
    kind.pages = MediumConfiguration { worm, ..Default::default() }.build().to_vec();
    script.expect_in(&sense_cdb(Size::Ten, 0x1d, 0, false), &kind.build(Size::Ten));
}

fn expect_cleared_attributes(script: &mut Script) {
    for id in [0x0800, 0x0801, 0x0802, 0x0803, 0x0808] {
        let empty = attribute::build(&[Attribute::host_text(id, "").unwrap()]);
        script.expect_out(&attribute::write_cdb(empty.len() as u32), &empty);
    }
}

fn format(density: u8, fast: bool, expect: impl Fn(&mut Script)) {
    let (mut script, mut drive) = open();
    expect_kind(&mut script, density, false);
    script.expect_good(&rewind_cdb(false));
    expect(&mut script);
    script.expect_good(&rewind_cdb(false));
    expect_cleared_attributes(&mut script);
    drive.format(fast, &Watcher::default()).unwrap();
}

#[test]
fn by_generation() {
    let ready = test_unit_ready_cdb();
    // LTO-8.
    format(0x5e, true, |script| {
        script.expect_good(&format_cdb(false)).expect_good(&rewind_cdb(false));
    });
    format(0x5e, false, |script| {
        script.expect_good(&format_cdb(false)).expect_good(&rewind_cdb(false));
        script.expect_good(&erase_cdb(true, true)).expect_good(&ready);
    });
    // LTO-9: no media optimisation unless asked for.
    format(0x60, true, |script| {
        script.expect_good(&erase_cdb(false, false));
    });
    format(0x60, false, |script| {
        script.expect_good(&format_cdb(true));
        script.expect_check(&ready, Sense::FORMAT_IN_PROGRESS.with_progress(0x8000));
        script.expect_good(&ready).expect_good(&rewind_cdb(false));
        script.expect_good(&erase_cdb(true, true)).expect_good(&ready);
    });
    // LTO-4 and unknown.
    for density in [0x46, 0x00] {
        format(density, true, |script| {
            script.expect_good(&erase_cdb(false, false));
        });
    }
}

#[test]
fn long_erase_is_polled_and_falls_back() {
    format(0x46, false, |script| {
        script.expect_good(&erase_cdb(true, true));
        script.expect_check(&test_unit_ready_cdb(), Sense::OPERATION_IN_PROGRESS);
        let running = Sense::new(SenseKey::NoSense, 0x00, 0x18).with_progress(0x4000);
        script.expect_in(&request_sense_cdb(), &running.to_fixed());
        script.expect_good(&test_unit_ready_cdb());
    });
    format(0x46, false, |script| {
        script.expect_check(&erase_cdb(true, true), Sense::INVALID_FIELD_IN_CDB);
        script.expect_good(&erase_cdb(true, false));
    });
}

#[test]
fn worm_tapes_are_never_formatted() {
    for (object, is_blank) in [(0, true), (7, false)] {
        let (mut script, mut drive) = open();
        expect_kind(&mut script, 0x5e, true);
        script.expect_good(&rewind_cdb(false)).expect_good(&end_of_data());
        expect_position(&mut script, 0, object);
        match drive.format(true, &Watcher::default()) {
            Ok(()) => assert!(is_blank),
            Err(error) => assert!(!is_blank && matches!(error, Error::Worm { .. })),
        }
    }
    // The medium type tells it too, for drives that lack the page.
    let (mut script, mut drive) = open();
    let page = sense_cdb(Size::Ten, 0x1d, 0, false);
    script.expect_check(&page, Sense::INVALID_FIELD_IN_CDB);
    let mut kind = parameters(0, 1, true);
    kind.medium_type = 0x8c;
    kind.pages.clear();
    script.expect_in(&sense_cdb(Size::Ten, 0x00, 0, false), &kind.build(Size::Ten));
    assert!(drive.medium_kind().unwrap().worm);
}
