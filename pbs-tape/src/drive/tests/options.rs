//! Options are what was asked for, or an error.

use super::*;

fn expect_options(script: &mut Script, now: &Parameters) {
    script.expect_in(&sense_cdb(Size::Ten, 0x0f, 0, false), &now.build(Size::Ten));
}

fn expect_select(script: &mut Script, wanted: &Parameters) {
    let bytes = wanted.build_for_select(Size::Ten);
    script.expect_out(&select_cdb(Size::Ten, bytes.len() as u16), &bytes);
}

#[test]
fn what_was_set_is_read_again() {
    let (mut script, mut drive) = open();
    expect_options(&mut script, &parameters(0, 1, true));
    expect_select(&mut script, &parameters(65_536, 1, false));
    expect_options(&mut script, &parameters(65_536, 1, false));
    let changes =
        OptionChanges { compression: Some(false), blocksize: Some(65_536), buffer_mode: None };
    let has = drive.set_options(&changes).unwrap();
    assert_eq!(has, Options { compression: false, blocksize: 65_536, buffer_mode: 1 });
}

#[test]
fn a_drive_that_takes_an_option_and_does_not_keep_it_is_found_out() {
    for (changes, option) in [
        (OptionChanges { compression: Some(false), ..Default::default() }, "compression"),
        (OptionChanges { blocksize: Some(512), ..Default::default() }, "blocksize"),
        (OptionChanges { buffer_mode: Some(0), ..Default::default() }, "buffer-mode"),
    ] {
        let (mut script, mut drive) = open();
        let unchanged = parameters(0, 1, true);
        expect_options(&mut script, &unchanged);
        let wanted = parameters(
            changes.blocksize.unwrap_or(0),
            changes.buffer_mode.unwrap_or(1),
            changes.compression.unwrap_or(true),
        );
        // Without a change of compression no page goes along.
        let wanted = match changes.compression {
            Some(_) => wanted,
            None => Parameters { pages: Vec::new(), ..wanted },
        };
        expect_select(&mut script, &wanted);
        expect_options(&mut script, &unchanged);
        let error = drive.set_options(&changes).unwrap_err();
        assert!(matches!(error, Error::OptionRefused { .. }), "{error}");
        assert!(error.to_string().contains(option), "{error}");
    }
}

#[test]
fn values_that_no_drive_takes_are_not_sent() {
    let (_script, mut drive) = open();
    for changes in [
        OptionChanges { blocksize: Some(BLOCK_BYTES_MAX + 1), ..Default::default() },
        OptionChanges { buffer_mode: Some(2), ..Default::default() },
    ] {
        assert!(matches!(drive.set_options(&changes), Err(Error::Invalid { .. })));
    }
}

#[test]
fn a_drive_that_cannot_compress_says_so() {
    let (mut script, mut drive) = open();
    let plain = Parameters { pages: Vec::new(), ..parameters(0, 1, false) };
    script.expect_check(&sense_cdb(Size::Ten, 0x0f, 0, false), Sense::INVALID_FIELD_IN_CDB);
    script.expect_in(&sense_cdb(Size::Ten, 0, 0, false), &plain.build(Size::Ten));
    let changes = OptionChanges { compression: Some(true), ..Default::default() };
    assert!(matches!(drive.set_options(&changes), Err(Error::OptionRefused { .. })));
}
