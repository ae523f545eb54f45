use proptest::prelude::*;

use super::*;

/// A page of one descriptor: `options` are appended to a full drive descriptor at address 256.
fn drive_page(page_flags: u8, options: &[u8]) -> Vec<u8> {
    let length = DESCRIPTOR + options.len();
    let total = PAGE_HEADER + length;
    let mut bytes = vec![0x01, 0x00, 0, 1, 0, 0, 0, total as u8];
    bytes.extend_from_slice(&[4, page_flags, 0, length as u8, 0, 0, 0, length as u8]);
    bytes.extend_from_slice(&[0x01, 0x00, 0x01, 0, 0, 0, 0, 0, 0, 0x81, 0x04, 0x02]);
    bytes.extend_from_slice(options);
    bytes
}

fn one(bytes: &[u8]) -> Element {
    let mut pages = parse_status(bytes).unwrap().pages;
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].elements.len(), 1);
    pages.remove(0).elements.remove(0)
}

fn tag(text: &[u8], padding: u8) -> Vec<u8> {
    let mut field = text.to_vec();
    field.resize(TAG_TEXT, padding);
    field.extend_from_slice(&[0; 4]);
    field
}

#[test]
fn the_command() {
    let request = StatusRequest {
        kind: Some(ElementType::Storage),
        tags: true,
        identifiers: false,
        current: false,
        first: 0,
        count: 1000,
        allocation: StatusRequest::ALLOCATION_MAX,
    };
    assert_eq!(&*request.cdb(), &[0xb8, 0x12, 0, 0, 0x03, 0xe8, 0, 0, 0xff, 0xff, 0, 0]);
    assert_eq!(StatusRequest::parse(&request.cdb()), Some(request));
    assert_eq!(StatusRequest::parse(&[0xb8, 5, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0]), None);
    assert_eq!(&*move_cdb(1, 1024, 256), &[0xa5, 0, 0, 1, 4, 0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn drive_with_tag_and_source() {
    let drive = one(&drive_page(0x80, &tag(b"CAP001L8", b' ')));
    assert_eq!(drive.tag.as_deref(), Some("CAP001L8"));
    assert_eq!((drive.address, drive.source, drive.full), (256, Some(0x402), true));
    assert!(!drive.accessible);
    assert_eq!(drive.medium_type, 1);
}

#[test]
fn tags_padded_in_every_way() {
    for (text, padding) in
        [(&b"CAP001L8"[..], 0), (b"CAP001L8\0GARBAGE", b' '), (b"  CAP001L8", b' ')]
    {
        assert_eq!(one(&drive_page(0x80, &tag(text, padding))).tag.as_deref(), Some("CAP001L8"));
    }
    for padding in [0, b' '] {
        assert_eq!(one(&drive_page(0x80, &tag(b"", padding))).tag, None);
    }
    // A tag on an empty element is a leftover.
    let mut bytes = drive_page(0x80, &tag(b"CAP001L8", b' '));
    bytes[HEADER + PAGE_HEADER + 2] = 0x08;
    let drive = one(&bytes);
    assert!(!drive.full && drive.tag.is_none());
}

#[test]
fn identifiers_in_every_shape() {
    let full = [&[2u8, 1, 0, 34][..], b"IBM     ULT3580-TD8     1013000042"].concat();
    let identifier = one(&drive_page(0, &full)).identifier.unwrap();
    assert_eq!(identifier.vendor.as_deref(), Some("IBM"));
    assert_eq!(identifier.model.as_deref(), Some("ULT3580-TD8"));
    assert_eq!(identifier.serial.as_deref(), Some("1013000042"));

    let long = [&[2u8, 1, 0, 40][..], b"HPE     Ultrium 9-SCSI  CZ1234567890ABCD"].concat();
    let identifier = one(&drive_page(0, &long)).identifier.unwrap();
    assert_eq!(identifier.serial.as_deref(), Some("CZ1234567890ABCD"));

    let serial = [&[2u8, 0, 0, 10][..], b"1013000042"].concat();
    let identifier = one(&drive_page(0, &serial)).identifier.unwrap();
    assert_eq!((identifier.vendor, identifier.serial.as_deref()), (None, Some("1013000042")));

    // Behind a tag and behind two of them.
    let behind = [tag(b"CAP001L8", 0), serial.clone()].concat();
    assert!(one(&drive_page(0x80, &behind)).identifier.is_some());
    let behind = [tag(b"CAP001L8", 0), tag(b"", 0), serial].concat();
    let drive = one(&drive_page(0xc0, &behind));
    assert!(drive.identifier.is_some() && drive.tag.is_some());

    // None at all, zero padding, announced but cut, binary, too short for vendor and model.
    for nothing in [
        &[][..],
        &[0; 4],
        &[0; 38],
        &[2, 0, 0, 20, b'X'],
        &[1, 3, 0, 1, 5],
        &[2, 1, 0, 2, b'A', b'B'],
    ] {
        assert_eq!(one(&drive_page(0, nothing)).identifier, None);
    }
}

#[test]
fn a_drive_descriptor_too_short_for_its_tags() {
    let drive = one(&drive_page(0x80, &[0; 4]));
    assert!(drive.full && drive.tag.is_none() && drive.identifier.is_none());
    // Announces an alternate tag that is not there.
    let drive = one(&drive_page(0xc0, &tag(b"CAP001L8", 0)));
    assert_eq!(drive.tag.as_deref(), Some("CAP001L8"));
}

#[test]
fn an_identifier_is_found_behind_tags_that_are_not_there() {
    let identifier = [&[2u8, 1, 0, 34][..], b"IBM     ULT3580-TD8     1013000042"].concat();
    // Flags announce tags; the descriptor has room for none, for the primary one, for both.
    for (flags, options, oddities) in [
        (0x80, identifier.clone(), 1),
        (0xc0, identifier.clone(), 2),
        (0xc0, [tag(b"CAP001L8", b' '), identifier.clone()].concat(), 1),
        (0xc0, [tag(b"CAP001L8", b' '), tag(b"", 0), identifier.clone()].concat(), 0),
        // Padding of the maker behind it.
        (0x80, [tag(b"CAP001L8", b' '), identifier.clone(), vec![0xee; 20]].concat(), 0),
    ] {
        let reply = parse_status(&drive_page(flags, &options)).unwrap();
        let drive = &reply.pages[0].elements[0];
        let serial = drive.identifier.as_ref().and_then(|one| one.serial.as_deref());
        assert!(serial.is_some_and(|serial| serial.starts_with("1013000042")), "{drive:?}");
        assert_eq!(reply.oddities.len(), oddities, "{:?}", reply.oddities);
        assert!(drive.tag.is_none() || drive.tag.as_deref() == Some("CAP001L8"));
    }
}

/// Two of the three counts (elements, bytes of the reply, bytes of its pages) decide against the third.
#[test]
fn one_wrong_count_loses_no_element() {
    let pages = [
        Page { kind: ElementType::Storage, elements: (5..8).map(Element::empty).collect() },
        Page { kind: ElementType::Drive, elements: vec![Element::empty(1)] },
    ];
    let good = build_status(&pages, true, false);
    let told = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        parse_status(&bytes).unwrap()
    };
    assert_eq!(told(&|_| ()).oddities, []);
    // The header's byte count counts the header too, or only the first page, or nothing sensible.
    let bytes = good[7];
    for wrong in [bytes + 8, 8 + 3 * 48, 8 + 3 * 48 + 8, bytes - 1] {
        let reply = told(&|bytes| bytes[7] = wrong);
        if wrong >= 8 + 3 * 48 + 8 {
            assert_eq!(reply.pages, pages, "{wrong}");
            assert!(!reply.is_cut && reply.oddities.iter().all(Oddity::is_harmless), "{reply:?}");
        } else {
            // A page that the count does not reach may as well be stale; the number of elements tells.
            assert!(matches!(reply.oddities[..], [Oddity::ElementCount { sent: 3, .. }, ..]));
        }
    }
    for wrong in [0, 3, 9] {
        let reply = told(&|bytes| bytes[3] = wrong);
        assert_eq!(reply.pages, pages);
        assert!(matches!(reply.oddities[..], [Oddity::ElementCount { sent: 4, .. }]), "{reply:?}");
    }
    let reply = told(&|bytes| bytes[1] = 9);
    assert_eq!(reply.oddities, [Oddity::FirstAddress { announced: 9, lowest: 1 }]);
    // Missing bytes are missing elements unless all of them are there.
    assert!(parse_status(&good[..good.len() - 1]).unwrap().is_cut);
}

/// What tgt sends: its transfer is 8 bytes short, so the last descriptor is cut.
#[test]
fn a_short_transfer_says_what_is_missing() {
    let pages =
        [Page { kind: ElementType::Storage, elements: (1000..1008).map(Element::empty).collect() }];
    let whole = build_status(&pages, true, false);
    let request = StatusRequest {
        kind: Some(ElementType::Storage),
        tags: true,
        identifiers: false,
        current: false,
        first: 0,
        count: 1000,
        allocation: 0xffff,
    };
    let mut script = crate::testing::Script::new();
    script.expect_in(&request.cdb(), &whole[..whole.len() - 8]);
    let error = request.request(&mut script).unwrap_err().to_string();
    assert!(error.contains("8 bytes short") && error.contains("behind address 1006"), "{error}");
}

#[test]
fn a_position_names_the_arm_and_the_element() {
    let mut script = crate::testing::Script::new();
    assert_eq!(&*position_cdb(0x0102, 0x0304), &[0x2b, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
    script.expect_good(&position_cdb(1, 1024));
    position(&mut script, 1, 1024).unwrap();
}

#[test]
fn a_range_of_elements_is_looked_at_by_the_code_that_the_library_knows() {
    use crate::sense::Sense;
    let mut script = crate::testing::Script::new();
    assert_eq!(&*initialize_range_cdb(1000, 3, false), &[0x37, 1, 3, 0xe8, 0, 0, 0, 3, 0, 0]);
    script.expect_check(&initialize_range_cdb(1000, 3, false), Sense::INVALID_OPCODE);
    script.expect_good(&initialize_range_cdb(1000, 3, true));
    initialize_range(&mut script, 1000, 3).unwrap();
    // Another refusal is the answer.
    script.expect_check(&initialize_range_cdb(1000, 3, false), Sense::INVALID_ELEMENT);
    assert!(initialize_range(&mut script, 1000, 3).is_err());
}

#[test]
fn counts_that_disagree() {
    let good = drive_page(0x80, &tag(b"CAP001L8", b' '));
    // More received than announced: cut.
    let mut longer = good.clone();
    longer.extend_from_slice(&[0xaa; 100]);
    assert_eq!(one(&longer), one(&good));
    // Less received than announced: the rest is missing, and the reply says so.
    let cut = parse_status(&good[..good.len() - 1]).unwrap();
    assert!(cut.is_cut && cut.pages[0].elements.is_empty());
    assert!(parse_status(&good[..12]).unwrap().is_cut);
    // The page announces more than is there: whole descriptors count.
    let mut page = good.clone();
    page[HEADER + 7] = 0xf0;
    assert_eq!(one(&page), one(&good));
    // Descriptors of length 0 or below the minimum.
    for length in [0, 11] {
        let mut broken = good.clone();
        broken[HEADER + 3] = length;
        assert!(parse_status(&broken).is_err());
    }
    // No elements.
    assert_eq!(parse_status(&[0; 8]).unwrap().pages, []);
    assert!(parse_status(&[0; 7]).is_err());
}

#[test]
fn pages_in_any_order_and_unknown_types() {
    let mut storage = Element::empty(1024);
    storage.full = true;
    storage.tag = Some("CAP002L8".into());
    let pages = [
        Page { kind: ElementType::Drive, elements: vec![Element::empty(256)] },
        Page { kind: ElementType::Storage, elements: vec![storage, Element::empty(1025)] },
    ];
    let bytes = build_status(&pages, true, true);
    assert_eq!(bytes[..4], [0x01, 0x00, 0, 3]);
    assert_eq!(parse_status(&bytes).unwrap().pages, pages);
    let mut unknown = bytes;
    unknown[HEADER] = 9;
    assert_eq!(parse_status(&unknown).unwrap().pages, pages[1..]);
}

#[test]
fn elements_below_the_start_are_refused() {
    let pages = [Page { kind: ElementType::Storage, elements: vec![Element::empty(5)] }];
    let request = StatusRequest {
        kind: Some(ElementType::Storage),
        tags: true,
        identifiers: false,
        current: false,
        first: 6,
        count: 1000,
        allocation: 0xffff,
    };
    let mut script = crate::testing::Script::new();
    script.expect_in(&request.cdb(), &build_status(&pages, true, false));
    assert!(request.request(&mut script).is_err());
}

fn element() -> impl Strategy<Value = Element> {
    (
        any::<(u16, bool, bool, bool)>(),
        proptest::option::of(any::<(u8, u8)>()),
        0u8..8,
        proptest::option::of(any::<u16>()),
        proptest::option::of("[A-Z0-9]{1,32}"),
        proptest::option::of(("[A-Z]{1,8}", "[A-Z0-9-]{1,16}", "[A-Z0-9]{1,10}")),
    )
        .prop_map(
            |((address, full, accessible, disabled), exception, medium_type, source, tag, id)| {
                Element {
                    full,
                    accessible,
                    disabled,
                    exception,
                    medium_type,
                    source,
                    tag: tag.filter(|_| full),
                    identifier: id.map(|(vendor, model, serial)| DriveIdentifier {
                        vendor: Some(vendor),
                        model: Some(model),
                        serial: Some(serial),
                    }),
                    ..Element::empty(address)
                }
            },
        )
}

proptest! {
    #[test]
    fn what_is_built_is_parsed(elements in proptest::collection::vec(element(), 1..8)) {
        let pages = [Page { kind: ElementType::Drive, elements }];
        prop_assert_eq!(&parse_status(&build_status(&pages, true, true)).unwrap().pages[..], &pages[..]);
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_status(&bytes);
    }

    #[test]
    fn damaged_replies_are_decoded_without_panic(
        elements in proptest::collection::vec(element(), 1..4),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = build_status(&[Page { kind: ElementType::Drive, elements }], true, true);
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let _ = parse_status(&bytes);
    }
}
