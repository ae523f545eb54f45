use proptest::prelude::*;

use super::*;

fn drive() -> Parameters {
    Parameters {
        medium_type: 0x88,
        device_specific: 0x10,
        descriptor: Some(BlockDescriptor { density: 0x5e, blocks: 0, block_bytes: 0 }),
        pages: vec![0x8f, 0x0e, 0xc0, 0x80, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
    }
}

#[test]
fn blocks() {
    assert_eq!(&*sense_cdb(Size::Six, 0x1d, 0, true), &[0x1a, 0x08, 0x1d, 0, 0xff, 0]);
    assert_eq!(&*sense_cdb(Size::Ten, 0x10, 1, false), &[0x5a, 0, 0x10, 1, 0, 0, 0, 0x10, 0, 0]);
    assert_eq!(&*select_cdb(Size::Six, 28), &[0x15, 0x10, 0, 0, 28, 0]);
    assert_eq!(&*select_cdb(Size::Ten, 32), &[0x55, 0x10, 0, 0, 0, 0, 0, 0, 32, 0]);
}

#[test]
fn both_sizes_round_trip() {
    for size in [Size::Six, Size::Ten] {
        let mut bytes = drive().build(size);
        assert_eq!(Parameters::parse(size, &bytes).unwrap(), drive());
        // A device that fills up the allocation length.
        bytes.extend_from_slice(&[0xaa; 40]);
        assert_eq!(Parameters::parse(size, &bytes).unwrap(), drive());
    }
    let compression = Compression::parse(&drive()).unwrap();
    assert!(compression.enabled && compression.capable && compression.decompression);
    assert_eq!(compression.build()[..], [&[0x0f], &drive().pages[1..]].concat());
    assert_eq!(drive().buffered_mode(), 1);
    assert!(!drive().write_protected());
}

#[test]
fn select_clears_length_and_parameters_saveable() {
    let mut script = crate::testing::Script::new();
    let mut expected = drive();
    expected.pages[0] = 0x0f;
    script.expect_out(&select_cdb(Size::Ten, 32), &expected.build_for_select(Size::Ten));
    assert_eq!(expected.build_for_select(Size::Ten)[..2], [0, 0]);
    select(&mut script, Size::Ten, &drive()).unwrap();
    let back = Parameters::parse_select(Size::Ten, &expected.build_for_select(Size::Ten));
    assert_eq!(back.unwrap(), expected);
}

#[test]
fn falls_back_to_the_short_command() {
    let mut script = crate::testing::Script::new();
    script.expect_check(&sense_cdb(Size::Ten, 0x0f, 0, false), crate::Sense::INVALID_OPCODE);
    script.expect_in(&sense_cdb(Size::Six, 0x0f, 0, false), &drive().build(Size::Six));
    let (parameters, size) = sense(&mut script, PAGE_COMPRESSION, 0).unwrap();
    assert_eq!((parameters, size), (drive(), Size::Six));
}

#[test]
fn changers_that_ignore_dbd_are_understood() {
    let page = ElementAddresses {
        transport: ElementRange { first: 0, count: 1 },
        storage: ElementRange { first: 1024, count: 40 },
        import_export: ElementRange { first: 768, count: 4 },
        drives: ElementRange { first: 256, count: 2 },
    };
    let mut parameters = Parameters { pages: page.build().to_vec(), ..Default::default() };
    let plain = parameters.build(Size::Six);
    assert_eq!((plain.len(), plain[0]), (24, 0x17));
    assert_eq!(
        ElementAddresses::parse(&Parameters::parse(Size::Six, &plain).unwrap()).unwrap(),
        page
    );
    parameters.descriptor = Some(BlockDescriptor::default());
    let with_descriptor = parameters.build(Size::Six);
    assert_eq!(with_descriptor.len(), 32);
    let parsed = Parameters::parse(Size::Six, &with_descriptor).unwrap();
    assert_eq!(ElementAddresses::parse(&parsed).unwrap(), page);
}

#[test]
fn extension_page_in_short_format_counts_as_missing() {
    let mut pages = vec![0x10, 0x1e];
    pages.resize(32, 0);
    let parameters = Parameters { pages, ..Default::default() };
    assert!(DeviceConfigurationExtension::parse(&parameters).is_err());
    let page = DeviceConfigurationExtension {
        short_erase_mode: 2,
        early_warning_mb: 500,
        ..Default::default()
    };
    let parameters = Parameters { pages: page.build().to_vec(), ..Default::default() };
    assert_eq!(page.build()[..8], [0x50, 1, 0, 0x1c, 0, 2, 0x01, 0xf4]);
    assert_eq!(DeviceConfigurationExtension::parse(&parameters).unwrap(), page);
}

#[test]
fn worm_is_bit_zero() {
    let page = MediumConfiguration { worm: true, label_restrictions: 0, filemark_restrictions: 2 };
    assert_eq!(page.build()[..6], [0x1d, 0x1e, 0x01, 0, 0, 2]);
    let parameters = Parameters { pages: page.build().to_vec(), ..Default::default() };
    assert_eq!(MediumConfiguration::parse(&parameters).unwrap(), page);
    assert!(Parameters { medium_type: 0x8c, ..Default::default() }.medium_type_is_worm());
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for size in [Size::Six, Size::Ten] {
            if let Ok(parameters) = Parameters::parse(size, &bytes) {
                prop_assert!(parameters.split_pages().count() <= bytes.len());
                let _ = Compression::parse(&parameters);
                let _ = DeviceConfigurationExtension::parse(&parameters);
                let _ = MediumConfiguration::parse(&parameters);
                let _ = ElementAddresses::parse(&parameters);
            }
            let _ = Parameters::parse_select(size, &bytes);
        }
    }
}
