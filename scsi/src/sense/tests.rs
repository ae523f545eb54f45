use proptest::prelude::*;

use super::*;

#[test]
fn texts_are_sorted_and_unique() {
    assert!(text::TEXTS.windows(2).all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1)));
}

#[test]
fn display_names_the_condition_and_its_numbers() {
    let show = |sense: Sense| sense.to_string();
    assert_eq!(show(Sense::MEDIUM_NOT_PRESENT), "not ready: medium not present (2/3a/00)");
    assert_eq!(
        show(Sense::DESTINATION_FULL),
        "request refused: destination element is full (5/3b/0d)"
    );
    assert_eq!(
        show(Sense::WRITE_ERROR.as_deferred()),
        "error of an earlier command: medium error: write error (3/0c/00)"
    );
    // Vendor codes have no text of ours; an unknown qualifier keeps its family's text.
    assert_eq!(
        show(Sense::new(SenseKey::HardwareError, 0xee, 0x0f)),
        "hardware error: vendor code (4/ee/0f)"
    );
    assert_eq!(
        show(Sense::new(SenseKey::UnitAttention, 0x29, 0x55)),
        "unit attention: power on or reset (6/29/55)"
    );
    assert_eq!(show(Sense::NONE), "no error (0/00/00)");
}

#[test]
fn fixed_filemark_of_a_short_read() {
    // READ of 256 KiB at a filemark: VALID, FILEMARK, INFORMATION = requested length.
    let bytes = [0xf0, 0, 0x80, 0x00, 0x04, 0x00, 0x00, 0x0a, 0, 0, 0, 0, 0x00, 0x01, 0, 0, 0, 0];
    let sense = Sense::parse(&bytes).unwrap();
    assert!(sense.is_filemark() && !sense.is_success() && !sense.is_early_warning());
    assert_eq!(sense.information, Some(0x40000));
    assert_eq!(sense.to_fixed(), bytes);
}

#[test]
fn fixed_information_is_signed() {
    // ILI with a block 16 bytes longer than asked for.
    let bytes = [0xf0, 0, 0x20, 0xff, 0xff, 0xff, 0xf0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let sense = Sense::parse(&bytes).unwrap();
    assert!(sense.is_incorrect_length() && !sense.is_success());
    assert_eq!(sense.information, Some(-16));
    // Without VALID the same bytes say nothing.
    let mut invalid = bytes;
    invalid[0] = 0x70;
    assert_eq!(Sense::parse(&invalid).unwrap().information, None);
}

#[test]
fn descriptor_format_carries_the_same() {
    let bytes = [
        0x72, 0x08, 0x00, 0x05, 0, 0, 0, 0x10, // blank check, end of data
        0x00, 0x0a, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0x07, // information 7
        0x04, 0x02, 0x00, 0x40, // EOM
    ];
    let sense = Sense::parse(&bytes).unwrap();
    assert_eq!(sense.information, Some(7));
    assert!(sense.is_end_of_data() && sense.end_of_medium && !sense.filemark);
    assert_eq!(sense.to_descriptor(), bytes);
}

#[test]
fn deferred_conditions_never_look_like_good_news() {
    for sense in [Sense::EARLY_WARNING, Sense::FILEMARK, Sense::END_OF_DATA, Sense::NONE] {
        let bytes = sense.as_deferred().to_fixed();
        assert_eq!(bytes[0] & 0x7f, 0x71);
        let deferred = Sense::parse(&bytes).unwrap();
        assert!(deferred.deferred);
        assert!(!deferred.is_early_warning() && !deferred.is_filemark());
        assert!(!deferred.is_end_of_data() && !deferred.is_success());
    }
}

#[test]
fn progress_belongs_to_two_keys_only() {
    let running = Sense::new(SenseKey::NoSense, 0x00, 0x18).with_progress(0x8000);
    assert_eq!(Sense::parse(&running.to_fixed()), Some(running));
    assert_eq!(Sense::parse(&running.to_descriptor()), Some(running));
    // With ILLEGAL REQUEST the same bytes are a field pointer.
    let mut bytes = Sense::INVALID_FIELD_IN_CDB.to_fixed();
    bytes[15] = 0xc0;
    bytes[17] = 2;
    assert_eq!(Sense::parse(&bytes).unwrap().progress, None);
}

#[test]
fn cut_sense_reads_as_far_as_it_goes() {
    let full = Sense::MEDIUM_NOT_PRESENT.to_fixed();
    let cut = Sense::parse(&full[..8]).unwrap();
    assert_eq!((cut.key, cut.asc), (SenseKey::NotReady, 0));
    assert_eq!(Sense::parse(&full[..2]), None);
    assert_eq!(Sense::parse(&[]), None);
    assert_eq!(Sense::parse(&[0; 18]), None);
    // Bytes behind the additional length are stale.
    let mut short = Sense::EARLY_WARNING.to_fixed();
    short[7] = 4;
    assert_eq!(Sense::parse(&short).unwrap().ascq, 0);
}

#[test]
fn named_conditions() {
    assert!(Sense::EARLY_WARNING.is_early_warning());
    assert!(Sense::PROGRAMMABLE_EARLY_WARNING.is_early_warning());
    assert!(Sense::PROGRAMMABLE_EARLY_WARNING.is_programmable_early_warning());
    assert!(!Sense::BEGINNING_OF_MEDIUM.is_early_warning());
    assert!(Sense::BEGINNING_OF_MEDIUM.is_beginning_of_medium());
    assert!(Sense::VOLUME_OVERFLOW.is_volume_overflow());
    assert!(!Sense::VOLUME_OVERFLOW.is_early_warning());
    assert!(Sense::new(SenseKey::BlankCheck, 0x14, 0x03).is_end_of_data());
    assert!(Sense::new(SenseKey::NoSense, 0x82, 0x82).is_cleaning_requested());
    assert!(Sense::new(SenseKey::RecoveredError, 0x00, 0x17).is_success());
    assert!(Sense::MEDIUM_NOT_PRESENT.is_medium_not_present());
    assert!(!Sense::STATION_OPEN.is_medium_not_present());
    assert!(Sense::STATION_OPEN.is_station_open());
    assert!(Sense::new(SenseKey::HardwareError, 0x3b, 0x0e).is_source_empty());
    assert!(Sense::new(SenseKey::DataProtect, 0x5a, 0x02).is_write_protected());
    assert!(Sense::WORM_OVERWRITE.is_worm_violation());
    assert!(!Sense::WORM_OVERWRITE.is_write_protected());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(sense) = Sense::parse(&bytes) {
            let _ = sense.to_string();
        }
    }

    #[test]
    fn both_formats_round_trip(
        key in 0u8..16, asc: u8, ascq: u8, filemark: bool, end_of_medium: bool,
        incorrect_length: bool, information in proptest::option::of(any::<i32>()), deferred: bool,
    ) {
        let sense = Sense {
            filemark, end_of_medium, incorrect_length, deferred,
            information: information.map(i64::from),
            ..Sense::new(SenseKey::from_byte(key), asc, ascq)
        };
        prop_assert_eq!(Sense::parse(&sense.to_fixed()), Some(sense));
        prop_assert_eq!(Sense::parse(&sense.to_descriptor()), Some(sense));
    }
}
