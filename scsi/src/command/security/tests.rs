//! Golden bytes of every page, hostile bytes, and the odd replies that drives give.

use proptest::prelude::*;

use super::*;
use crate::Sense;
use crate::testing::Script;

/// What an LTO-8 drive was seen to send.
const LTO8_CAPABILITIES: [u8; 44] = [
    0x00, 0x10, 0x00, 0x28, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // header
    0x01, 0x00, 0x00, 0x14, 0xba, 0x10, 0x00, 0x20, 0x00, 0x0c, 0x00, 0x20, 0x09, 0x00, 0x00, 0x00,
    0, 0, 0, 0, 0x00, 0x01, 0x00, 0x14,
];

fn lto8() -> EncryptionCapabilities {
    EncryptionCapabilities {
        external_control: ExternalControl::Unknown,
        host_control: HostControl::Allowed,
        algorithms: vec![Algorithm {
            index: 1,
            valid_for_volume: true,
            authenticates: true,
            distinguishes: true,
            decrypt: Ability::Hardware,
            encrypt: Ability::Hardware,
            associated_rules: 0x10,
            unauthenticated_bytes_max: 32,
            authenticated_bytes_max: 12,
            key_bytes: 32,
            raw_read: RawReadDefault::Allowed,
            remembers_encryption_mode: true,
            code: AES_256_GCM_128,
        }],
    }
}

#[test]
fn commands_are_those_of_the_standard() {
    assert_eq!(&*EncryptionStatus::cdb(), &[0xa2, 0x20, 0, 0x20, 0, 0, 0, 0, 0x20, 0, 0, 0]);
    assert_eq!(&*clear_encryption_cdb(), &[0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, 20, 0, 0]);
    assert_eq!(&*protocols_cdb(), &[0xa2, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0]);
    assert_eq!(
        clear_encryption_page(),
        [0, 0x10, 0, 16, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    let set = SetEncryption::mixed(1, &[0xaa; 32]);
    assert_eq!(&*set.cdb(), &[0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, 52, 0, 0]);
    let mut page = vec![0, 0x10, 0, 48, 0x40, 0, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20];
    page.extend([0xaa; 32]);
    assert_eq!(*set.build(), page);
    assert!(!format!("{set:?}").contains("170"), "a key is never printed");
}

#[test]
fn capabilities_of_a_drive_are_read_and_built() {
    assert_eq!(EncryptionCapabilities::parse(&LTO8_CAPABILITIES).unwrap(), lto8());
    assert_eq!(lto8().build(), LTO8_CAPABILITIES);
    assert_eq!(lto8().aes_256_gcm().map(|one| one.index), Some(1));
    assert!(!lto8().is_managed_elsewhere());
}

#[test]
fn what_lies_behind_the_announced_length_is_no_algorithm() {
    let mut long = LTO8_CAPABILITIES.to_vec();
    long.extend_from_slice(&LTO8_CAPABILITIES[20..]);
    long[44] = 9;
    assert_eq!(EncryptionCapabilities::parse(&long).unwrap(), lto8());
    // Announced, but cut off: the whole one counts.
    long[3] = 0x28 + 24;
    long.truncate(60);
    assert_eq!(EncryptionCapabilities::parse(&long).unwrap(), lto8());
}

#[test]
fn the_first_algorithm_that_does_both_in_hardware_is_taken() {
    let good = lto8().algorithms[0];
    let with = |index, change: fn(&mut Algorithm)| {
        let mut algorithm = Algorithm { index, ..good };
        change(&mut algorithm);
        algorithm
    };
    let capabilities = EncryptionCapabilities {
        algorithms: vec![
            with(1, |one| one.code = 0x0001_0010),
            with(2, |one| one.key_bytes = 16),
            with(3, |one| one.encrypt = Ability::ExternalControl),
            with(4, |one| one.decrypt = Ability::None),
            with(7, |_| {}),
            with(8, |_| {}),
        ],
        ..lto8()
    };
    assert_eq!(capabilities.aes_256_gcm().map(|one| one.index), Some(7));
    let none = EncryptionCapabilities { algorithms: Vec::new(), ..lto8() };
    assert_eq!(none.aes_256_gcm(), None);
    assert!(!none.is_managed_elsewhere());
}

#[test]
fn a_library_in_charge_is_recognised() {
    let prevented = EncryptionCapabilities { host_control: HostControl::Prevented, ..lto8() };
    assert!(prevented.is_managed_elsewhere());
    assert_eq!(prevented.build()[4], 0x02);
    let mut external = lto8();
    external.algorithms[0].encrypt = Ability::ExternalControl;
    external.algorithms[0].decrypt = Ability::ExternalControl;
    assert!(external.is_managed_elsewhere());
    assert_eq!(external.build()[24], 0xbf);
}

#[test]
fn the_status_is_read_although_it_announces_more() {
    let mut on = EncryptionStatus::of(EncryptionMode::Encrypt, DecryptionMode::Mixed);
    on.key_instance = 0x0102_0304;
    on.volume_has_encrypted = true;
    on.scope = Scope::All;
    on.key_scope = Scope::All;
    on.control = ParametersControl::Hosts;
    let mut page = on.build();
    let golden = [0, 0x20, 0, 20, 0x42, 2, 3, 0, 1, 2, 3, 4, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(page, golden);
    assert_eq!(EncryptionStatus::parse(&page).unwrap(), on);
    assert!(on.is_mixed() && !on.is_off());
    page[3] = 0x20;
    assert_eq!(EncryptionStatus::parse(&page).unwrap(), on);
    for length in 0..page.len() {
        assert!(EncryptionStatus::parse(&page[..length]).is_err(), "{length}");
    }
    page[1] = 0x10;
    assert!(EncryptionStatus::parse(&page).is_err(), "another page");
    assert!(EncryptionStatus::default().is_off());
    let unknown = EncryptionStatus { decryption_mode: 9, ..EncryptionStatus::default() };
    assert!(!unknown.is_off());
}

#[test]
fn associated_data_comes_back_as_it_was_sent() {
    let associated = vec![
        AssociatedData { kind: AssociatedKind::Unauthenticated, data: b"key 1".to_vec() },
        AssociatedData { kind: AssociatedKind::Authenticated, data: vec![1, 2, 3] },
        AssociatedData { kind: AssociatedKind::Nonce, data: Vec::new() },
    ];
    let set = SetEncryption {
        lock: true,
        clear_on_demount: true,
        raw_reads: RawReads::Forbidden,
        associated: associated.clone(),
        ..SetEncryption::mixed(1, &[7; 32])
    };
    let page = set.build();
    assert_eq!(page[4..6], [0x41, 0x34]);
    assert_eq!(page[52..61], [0, 0, 0, 5, b'k', b'e', b'y', b' ', b'1']);
    assert_eq!(SetEncryption::parse(&page).unwrap(), set);
    for length in 0..page.len() {
        assert!(SetEncryption::parse(&page[..length]).is_err(), "{length}");
    }
    assert_eq!(
        AssociatedData::find(&associated, AssociatedKind::Authenticated),
        Some(&[1, 2, 3][..])
    );
    let status = EncryptionStatus { associated, ..EncryptionStatus::default() };
    assert_eq!(EncryptionStatus::parse(&status.build()).unwrap(), status);
    // Announced and cut: what is whole counts.
    let cut = &status.build()[..24 + 9 + 5];
    assert_eq!(EncryptionStatus::parse(cut).unwrap().associated.len(), 1);
}

#[test]
fn values_that_do_not_exist_are_refused() {
    let page = SetEncryption::mixed(1, &[7; 32]).build();
    for (at, value) in [(4, 0x60), (5, 0x10), (6, 3), (7, 4)] {
        let mut bad = page.to_vec();
        bad[at] = value;
        assert!(SetEncryption::parse(&bad).is_err(), "byte {at}");
    }
}

#[test]
fn the_next_block_is_described() {
    let status = NextBlockStatus {
        object: 0x1122,
        encryption: Some(BlockEncryption::NotReadable),
        algorithm: 1,
        is_external: false,
        raw_read_disabled: true,
        associated: vec![AssociatedData {
            kind: AssociatedKind::Unauthenticated,
            data: vec![0xcc],
        }],
    };
    let page = status.build();
    assert_eq!(
        page,
        [0, 0x21, 0, 17, 0, 0, 0, 0, 0, 0, 0x11, 0x22, 0x06, 1, 1, 0, 0, 0, 0, 1, 0xcc]
    );
    assert_eq!(NextBlockStatus::parse(&page).unwrap(), status);
}

#[test]
fn lists_are_those_of_the_standard() {
    assert_eq!(protocols(&[0, 0x20]), [0, 0, 0, 0, 0, 0, 0, 2, 0, 0x20]);
    assert_eq!(parse_protocols(&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0x20, 0xee]).unwrap(), [0, 0x20]);
    let pages = page_list(PAGE_OUT_LIST, &[PAGE_OUT_LIST, PAGE_SET]);
    assert_eq!(pages, [0, 1, 0, 4, 0, 1, 0, 0x10]);
    assert_eq!(parse_page_list(PAGE_OUT_LIST, &pages).unwrap(), [1, 0x10]);
    assert_eq!(key_formats(), [0, 0x11, 0, 2, 0, 0]);
    assert_eq!(parse_key_formats(&key_formats()).unwrap(), [0, 0]);
    let management = ManagementCapabilities {
        lock: true,
        clear_on_demount: true,
        clear_on_preempt: true,
        clear_on_reservation_loss: true,
        all_scope: true,
        local_scope: true,
        public_scope: true,
    };
    assert_eq!(management.build(), [0, 0x12, 0, 12, 1, 7, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(ManagementCapabilities::parse(&management.build()).unwrap(), management);
}

#[test]
fn commands_are_sent() {
    let mut script = Script::new();
    script.expect_in(&EncryptionStatus::cdb(), &EncryptionStatus::default().build());
    script.expect_out(&clear_encryption_cdb(), &clear_encryption_page());
    script.expect_check(&EncryptionStatus::cdb(), Sense::INVALID_OPCODE);
    script.expect_in(&protocol_in_cdb(PAGE_CAPABILITIES, 8192), &LTO8_CAPABILITIES);
    script.expect_in(&protocols_cdb(), &protocols(&[0, 0x20]));
    let mut device = script.device();
    assert!(EncryptionStatus::request(&mut device).unwrap().is_off());
    clear_encryption(&mut device).unwrap();
    let error = EncryptionStatus::request(&mut device).unwrap_err();
    assert!(error.sense().is_some_and(|sense| sense.is_unsupported()));
    assert_eq!(EncryptionCapabilities::request(&mut device).unwrap(), lto8());
    assert_eq!(request_protocols(&mut device).unwrap(), [0, 0x20]);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for page in [PAGE_SET, PAGE_STATUS, PAGE_NEXT_BLOCK, PAGE_KEY_FORMATS, PAGE_MANAGEMENT] {
            let mut bytes = bytes.clone();
            if bytes.len() >= 2 {
                bytes[..2].copy_from_slice(&page.to_be_bytes());
            }
            let _ = EncryptionCapabilities::parse(&bytes);
            let _ = EncryptionStatus::parse(&bytes);
            let _ = NextBlockStatus::parse(&bytes);
            let _ = ManagementCapabilities::parse(&bytes);
            let _ = parse_key_formats(&bytes);
            let _ = parse_page_list(page, &bytes);
            let _ = parse_protocols(&bytes);
            if let Ok(set) = SetEncryption::parse(&bytes) {
                // What was understood is sent again in the same way.
                prop_assert_eq!(SetEncryption::parse(&set.build()).unwrap(), set);
            }
        }
    }
}
