//! Tape data encryption by the drive, as hosts see it.

use scsi::Data;
use scsi::command::security::{
    AssociatedData, AssociatedKind, BlockEncryption, DecryptionMode, EncryptionCapabilities,
    EncryptionMode, EncryptionStatus, NextBlockStatus, ParametersControl, RawReads, Scope,
    SetEncryption,
};
use vtl::{EncryptionControl, Generation, HostSession, ImportOptions, Options};

use crate::host::*;

const KEY: [u8; 32] = [0x4b; 32];
const OTHER: [u8; 32] = [0x4f; 32];
const NO_KEY: (u8, u8, u8) = (7, 0x74, 1);
const NOT_ENCRYPTED: (u8, u8, u8) = (7, 0x74, 2);
const WRONG_KEY: (u8, u8, u8) = (7, 0x74, 3);
const NOT_RAW: (u8, u8, u8) = (7, 0x74, 0x0a);
const CHANGED: (u8, u8, u8) = (6, 0x2a, 0x11);
const INVALID: (u8, u8, u8) = (5, 0x26, 0);

fn page(host: &mut Host, page: u16) -> Vec<u8> {
    let [high, low] = page.to_be_bytes();
    host.data_in(&[0xa2, 0x20, high, low, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192)
}

/// Sends the page; the sense if it was refused.
fn set(host: &mut Host, set: &SetEncryption) -> Option<(u8, u8, u8)> {
    let page = set.build();
    host.send(&set.cdb(), Data::Out(&page)).sense.map(|sense| code(&sense))
}

fn mode(key: &[u8; 32], decryption: DecryptionMode) -> SetEncryption {
    SetEncryption { decryption, ..SetEncryption::mixed(1, key) }
}

fn off() -> SetEncryption {
    SetEncryption::off(Scope::All)
}

fn status(host: &mut Host) -> EncryptionStatus {
    EncryptionStatus::parse(&page(host, 0x20)).unwrap()
}

fn next(host: &mut Host) -> NextBlockStatus {
    NextBlockStatus::parse(&page(host, 0x21)).unwrap()
}

/// Expects READ to be refused without moving the tape.
#[track_caller]
fn refused(host: &mut Host, length: usize, expected: (u8, u8, u8)) {
    let before = host.position();
    let (data, sense) = host.read_block(length);
    let sense = sense.unwrap();
    assert_eq!(code(&sense), expected);
    assert_eq!((data.len(), sense.information), (0, Some(length as i64)));
    assert_eq!(host.position(), before);
}

fn session(rig: &Rig, name: &str) -> (HostSession, Host) {
    let session = rig.library.host_session(&format!("iqn.2026-01.test:{name},i,0x1")).unwrap();
    let mut host = Host(Box::new(session.drive(0).unwrap()));
    host.settle();
    (session, host)
}

/// A tape with a plain block, an encrypted one, a filemark, an encrypted one, a plain one.
fn mixed_tape(drive: &mut Host) {
    drive.rewind();
    assert_eq!(drive.write(&pattern(0, 1000)), None);
    assert_eq!(set(drive, &SetEncryption::mixed(1, &KEY)), None);
    assert_eq!(drive.write(&pattern(1, 2000)), None);
    assert_eq!(drive.filemarks(1), None);
    assert_eq!(drive.write(&pattern(3, 3000)), None);
    assert_eq!(set(drive, &off()), None);
    assert_eq!(drive.write(&pattern(4, 4000)), None);
    assert_eq!(drive.position(), (5, 1));
}

#[test]
fn pages_are_those_of_the_facts() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let protocols = drive.data_in(&[0xa2, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192);
    assert_eq!(protocols, [0, 0, 0, 0, 0, 0, 0, 2, 0, 0x20]);
    assert_eq!(
        page(&mut drive, 0),
        [0, 0, 0, 14, 0, 0, 0, 1, 0, 0x10, 0, 0x11, 0, 0x12, 0, 0x20, 0, 0x21]
    );
    assert_eq!(page(&mut drive, 1), [0, 1, 0, 2, 0, 0x10]);
    let capabilities = page(&mut drive, 0x10);
    assert_eq!(capabilities[..6], [0, 0x10, 0, 0x28, 0x05, 0]);
    assert_eq!(
        capabilities[20..],
        [
            1, 0, 0, 0x14, 0xba, 0x30, 0, 0x20, 0, 0x0c, 0, 0x20, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
            0x14
        ]
    );
    assert_eq!(page(&mut drive, 0x11), [0, 0x11, 0, 2, 0, 0]);
    assert_eq!(page(&mut drive, 0x12)[..8], [0, 0x12, 0, 12, 1, 4, 0, 7]);
    assert_eq!(page(&mut drive, 0x20)[..8], [0, 0x20, 0, 20, 0, 0, 0, 0]);
    // Cut by the allocation length, and nothing behind.
    let cut = drive.data_in(&[0xa2, 0x20, 0, 0x20, 0, 0, 0, 0, 0, 4, 0, 0], 64);
    assert_eq!(cut, [0, 0x20, 0, 20]);
    for cdb in [
        [0xa2u8, 0x20, 0, 0x30, 0, 0, 0, 0, 0x20, 0, 0, 0],
        [0xa2, 0x21, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0],
        [0xa2, 0x20, 0, 0x20, 0x80, 0, 0, 0, 0x20, 0, 0, 0],
        [0xb5, 0x20, 0, 0x11, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        drive.fails(&cdb, (5, 0x24, 0));
    }
    // Without a tape too; then the algorithm is not for the tape.
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    let capabilities = EncryptionCapabilities::parse(&page(&mut drive, 0x10)).unwrap();
    assert!(!capabilities.algorithms[0].valid_for_volume);
    assert!(status(&mut drive).is_off());
    drive.fails(&[0xa2, 0x20, 0, 0x21, 0, 0, 0, 0, 0x20, 0, 0, 0], (2, 0x3a, 0));
}

#[test]
fn what_a_drive_cannot_do_is_refused_and_changes_nothing() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    let before = status(&mut drive);
    let good = SetEncryption::mixed(1, &KEY);
    let kad = |kind, length| vec![AssociatedData { kind, data: vec![1; length] }];
    let changes: [fn(&mut SetEncryption); 9] = [
        |set| set.algorithm = 0,
        |set| set.algorithm = 2,
        |set| set.key.truncate(31),
        |set| set.key.clear(),
        |set| set.key_format = 1,
        |set| set.supplemental = true,
        |set| set.clear_on_preempt = true,
        |set| set.encryption = EncryptionMode::External,
        // Not even where nothing would use it may a key have another length.
        |set| {
            (set.encryption, set.decryption) = (EncryptionMode::Off, DecryptionMode::Off);
            set.key.truncate(31);
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(set(&mut drive, &bad), Some(INVALID), "change {number}");
    }
    for associated in [
        kad(AssociatedKind::Unauthenticated, 33),
        kad(AssociatedKind::Authenticated, 13),
        kad(AssociatedKind::Nonce, 13),
        kad(AssociatedKind::Metadata, 1),
        [kad(AssociatedKind::Authenticated, 1), kad(AssociatedKind::Unauthenticated, 1)].concat(),
    ] {
        let bad = SetEncryption { associated, ..good.clone() };
        assert_eq!(set(&mut drive, &bad), Some(INVALID), "{bad:?}");
    }
    let mut page = good.build().to_vec();
    page[6] = 9;
    let cdb = good.cdb();
    assert_eq!(drive.send(&cdb, Data::Out(&page)).sense.map(|s| code(&s)), Some(INVALID));
    let cut = [0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, 10, 0, 0];
    let sense = drive.send(&cut, Data::Out(&page[..10])).sense;
    assert_eq!(sense.map(|s| code(&s)), Some((5, 0x1a, 0)));
    assert_eq!(status(&mut drive), before);
    // Each accepted page counts, a refused one does not.
    assert_eq!(set(&mut drive, &off()), None);
    assert_eq!(status(&mut drive).key_instance, before.key_instance + 1);
}

/// `stenc -e off` sends a key of zeros, which drives ignore; with a drive that refused it, the key stayed
/// in force and everything that the host wrote in the clear was encrypted.
#[test]
fn encryption_goes_off_although_a_key_comes_with_it() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    let mut page = off();
    page.key = vec![0; 32].into();
    assert_eq!(set(&mut drive, &page), None);
    assert!(status(&mut drive).is_off());
    assert_eq!(drive.write(&pattern(1, 100)), None);
    drive.rewind();
    assert_eq!(drive.read_block(100), (pattern(1, 100), None));
}

#[test]
fn an_old_cartridge_takes_no_encrypted_block() {
    let rig = rig_with(&Options { generation: Generation::Lto4, ..small() });
    rig.library.add_cartridge("OLD001L3", None).unwrap();
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1028, 256));
    let mut drive = rig.drive(0);
    drive.settle();
    let capabilities = EncryptionCapabilities::parse(&page(&mut drive, 0x10)).unwrap();
    assert!(!capabilities.algorithms[0].valid_for_volume);
    assert_eq!(drive.write(&pattern(1, 100)), None);
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    assert_eq!(drive.write(&pattern(2, 100)).map(|s| code(&s)), Some((7, 0x74, 7)));
    assert_eq!(drive.position(), (1, 0));
}

#[test]
fn each_mode_reads_what_it_should() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    mixed_tape(&mut drive);
    let plain = |drive: &mut Host, object: u64, length: usize| {
        drive.locate(0, object);
        assert_eq!(drive.read_block(length), (pattern(object, length), None));
    };
    // Off: plain blocks only. Spacing needs no key.
    plain(&mut drive, 0, 1000);
    refused(&mut drive, 2000, NO_KEY);
    assert_eq!(drive.space(0, 1), None);
    assert_eq!(drive.read_block(100).1.map(|s| code(&s)), Some((0, 0, 1)));
    refused(&mut drive, 3000, NO_KEY);
    plain(&mut drive, 4, 4000);
    // Mixed: all of it, in one go, also with buffers of another size.
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    for (object, length) in [(0, 1000), (1, 2000), (3, 3000), (4, 4000)] {
        plain(&mut drive, object, length);
    }
    drive.locate(0, 3);
    assert_eq!(drive.read_block(100), (pattern(3, 3000)[..100].to_vec(), None));
    drive.locate(0, 3);
    let (data, sense) = drive.read(0, 5000, 5000);
    assert_eq!((data, sense.unwrap().information), (pattern(3, 3000), Some(2000)));
    // Decrypt: encrypted blocks only.
    assert_eq!(set(&mut drive, &mode(&KEY, DecryptionMode::Decrypt)), None);
    drive.rewind();
    refused(&mut drive, 1000, NOT_ENCRYPTED);
    plain(&mut drive, 1, 2000);
    // The wrong key.
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &OTHER)), None);
    drive.locate(0, 1);
    refused(&mut drive, 2000, WRONG_KEY);
    plain(&mut drive, 0, 1000);
}

#[test]
fn raw_reads_show_what_is_stored_if_the_block_allows_it() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let forbidding =
        SetEncryption { raw_reads: RawReads::Forbidden, ..mode(&KEY, DecryptionMode::Raw) };
    assert_eq!(set(&mut drive, &mode(&KEY, DecryptionMode::Raw)), None);
    assert_eq!(drive.write(&pattern(0, 1000)), None);
    assert_eq!(set(&mut drive, &forbidding), None);
    assert!(status(&mut drive).raw_read_disabled);
    assert_eq!(drive.write(&pattern(1, 1000)), None);
    drive.rewind();
    let (stored, sense) = drive.read_block(2000);
    assert_eq!((stored.len(), sense), (1048, None));
    assert!(!stored.windows(8).any(|part| part == &pattern(0, 1000)[..8]));
    assert!(next(&mut drive).raw_read_disabled);
    assert_eq!(next(&mut drive).encryption, Some(BlockEncryption::NotReadable));
    refused(&mut drive, 2000, NOT_RAW);
}

#[test]
fn a_key_fits_neither_the_host_nor_the_disk() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let text = b"a secret that must not be found in any file of the library".repeat(40);
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    assert_eq!(drive.write(&text), None);
    assert_eq!(drive.write(&text), None);
    assert_eq!(drive.filemarks(1), None);
    let mut logs = 0;
    let mut folders = vec![rig.dir.path().to_path_buf()];
    let mut records = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            logs += 1;
            assert!(!bytes.windows(16).any(|part| part == &text[..16]), "{}", path.display());
            assert!(!bytes.windows(16).any(|part| part == &KEY[..16]), "{}", path.display());
            if path.ends_with("CAP001L8/partition0.log") {
                records = bytes;
            }
        }
    }
    assert!(logs > 10);
    // Equal blocks are stored differently.
    let first = &records[128..128 + text.len()];
    let stored = 64 + (text.len() + 48).next_multiple_of(64);
    let second = &records[128 + stored..128 + stored + text.len()];
    assert_ne!(first, second);
    // The last handle takes the key with it, and the tape stays as it is.
    drop(drive);
    let mut drive = rig.drive(0);
    assert!(status(&mut drive).is_off());
    drive.rewind();
    refused(&mut drive, text.len(), NO_KEY);
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    assert_eq!(drive.read_block(text.len()), (text, None));
}

#[test]
fn what_comes_with_a_key_comes_back_with_its_blocks() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let associated = vec![
        AssociatedData { kind: AssociatedKind::Unauthenticated, data: vec![b'u'; 32] },
        AssociatedData { kind: AssociatedKind::Authenticated, data: vec![b'a'; 12] },
        AssociatedData { kind: AssociatedKind::Nonce, data: vec![b'n'; 12] },
    ];
    let named = SetEncryption { associated: associated.clone(), ..SetEncryption::mixed(1, &KEY) };
    assert_eq!(set(&mut drive, &named), None);
    assert_eq!(status(&mut drive).associated, associated);
    assert_eq!(drive.write(&pattern(0, 500)), None);
    assert_eq!(set(&mut drive, &off()), None);
    assert_eq!(status(&mut drive).associated, []);
    assert_eq!(drive.write(&pattern(1, 500)), None);
    assert_eq!(drive.filemarks(1), None);
    drive.rewind();
    let sealed = next(&mut drive);
    assert_eq!((sealed.object, sealed.encryption), (0, Some(BlockEncryption::NotReadable)));
    assert_eq!((sealed.algorithm, sealed.associated), (1, associated));
    // Another host's name for the key does not matter; the key does.
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    assert_eq!(next(&mut drive).encryption, Some(BlockEncryption::Readable));
    assert_eq!(drive.read_block(500), (pattern(0, 500), None));
    assert_eq!(next(&mut drive).encryption, Some(BlockEncryption::Plain));
    for object in [2, 3] {
        drive.locate(0, object);
        let beside = next(&mut drive);
        assert_eq!((beside.object, beside.encryption), (object, Some(BlockEncryption::NotABlock)));
    }
}

#[test]
fn the_memory_of_the_cartridge_knows_where_encryption_begins_and_ends() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let marks = |drive: &mut Host| {
        let reply = drive.data_in(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x24, 0, 0, 0, 30, 0, 0], 30);
        assert_eq!(reply[4..9], [0x02, 0x24, 0x80, 0, 8]);
        let number = |at: usize| u64::from_be_bytes(reply[at..at + 8].try_into().unwrap());
        (number(9), number(22), status(drive).volume_has_encrypted)
    };
    assert_eq!(marks(&mut drive), (u64::MAX, u64::MAX, false));
    mixed_tape(&mut drive);
    assert_eq!(marks(&mut drive), (1, 4, true));
    // Written over: the plain end is gone, then the encrypted blocks.
    drive.locate(0, 4);
    assert_eq!(drive.filemarks(1), None);
    assert_eq!(marks(&mut drive), (1, u64::MAX, true));
    // It is so for the next process too.
    drop(drive);
    let mut drive = rig.drive(0);
    assert_eq!(marks(&mut drive), (1, u64::MAX, true));
    drive.locate(0, 1);
    assert_eq!(drive.write(&pattern(9, 10)), None);
    assert_eq!(marks(&mut drive), (u64::MAX, u64::MAX, false));
}

#[test]
fn capacity_counts_what_the_host_sent() {
    let rig = rig(8 * MIB);
    let mut drive = rig.loaded();
    let count = |drive: &mut Host, encrypted: bool| {
        drive.rewind();
        let parameters = if encrypted { SetEncryption::mixed(1, &KEY) } else { off() };
        assert_eq!(set(drive, &parameters), None);
        let mut blocks = 0;
        while drive.write(&pattern(1, BLOCK)).is_none_or(|sense| code(&sense) == (0, 0, 2)) {
            blocks += 1;
        }
        blocks
    };
    assert_eq!(count(&mut drive, true), 32);
    assert_eq!(count(&mut drive, false), 32);
}

#[test]
fn a_key_for_all_is_told_to_all_others() {
    let rig = rig(64 * MIB);
    let mut local = rig.loaded();
    let (_a, mut a) = session(&rig, "a");
    let (_b, mut b) = session(&rig, "b");
    assert_eq!(set(&mut a, &SetEncryption::mixed(1, &KEY)), None);
    let shared = status(&mut a);
    assert_eq!((shared.scope, shared.key_scope), (Scope::All, Scope::All));
    assert_eq!(shared.control, ParametersControl::Hosts);
    for host in [&mut local, &mut b] {
        host.fails(&[0; 6], CHANGED);
        host.good(&[0; 6]);
        let seen = status(host);
        assert!(seen.is_mixed());
        assert_eq!((seen.scope, seen.key_scope), (Scope::Public, Scope::All));
        assert_eq!(seen.key_instance, shared.key_instance);
    }
    // Another host's blocks are encrypted with it.
    assert_eq!(b.write(&pattern(0, 100)), None);
    b.rewind();
    assert_eq!(a.read_block(100), (pattern(0, 100), None));
    // A key of one's own is nobody else's business.
    let own = SetEncryption { scope: Scope::Local, ..SetEncryption::mixed(1, &OTHER) };
    assert_eq!(set(&mut b, &own), None);
    a.good(&[0; 6]);
    local.good(&[0; 6]);
    assert_eq!((status(&mut b).scope, status(&mut b).key_scope), (Scope::Local, Scope::Local));
    b.rewind();
    refused(&mut b, 100, WRONG_KEY);
    // Who has its own does not notice a change of the shared one.
    assert_eq!(set(&mut a, &off()), None);
    b.good(&[0; 6]);
    assert!(status(&mut b).is_mixed());
    local.fails(&[0; 6], CHANGED);
    assert!(status(&mut local).is_off());
    // Back to what is shared.
    assert_eq!(set(&mut b, &SetEncryption::off(Scope::Public)), None);
    assert!(status(&mut b).is_off());
}

#[test]
fn what_a_session_had_for_itself_ends_with_it() {
    let rig = rig(64 * MIB);
    let _local = rig.loaded();
    let (a, mut host) = session(&rig, "a");
    let own = SetEncryption { scope: Scope::Local, ..SetEncryption::mixed(1, &KEY) };
    assert_eq!(set(&mut host, &own), None);
    drop((a, host));
    let (a, mut host) = session(&rig, "a");
    assert!(status(&mut host).is_off());
    // What it shared stays, as in a drive whose host crashed.
    assert_eq!(set(&mut host, &SetEncryption::mixed(1, &KEY)), None);
    drop((a, host));
    let (_a, mut host) = session(&rig, "a");
    assert!(status(&mut host).is_mixed());
}

#[test]
fn a_locked_host_writes_with_no_other_key() {
    let rig = rig(64 * MIB);
    let mut local = rig.loaded();
    let locked = SetEncryption { lock: true, ..SetEncryption::mixed(1, &KEY) };
    assert_eq!(set(&mut local, &locked), None);
    assert_eq!(local.write(&pattern(0, 100)), None);
    let (_a, mut a) = session(&rig, "a");
    assert_eq!(set(&mut a, &SetEncryption::mixed(1, &OTHER)), None);
    local.fails(&[0; 6], CHANGED);
    assert_eq!(local.write(&pattern(1, 100)).map(|s| code(&s)), Some((7, 0x2a, 0x13)));
    local.rewind();
    refused(&mut local, 100, (7, 0x2a, 0x13));
    // Setting again settles it.
    assert_eq!(set(&mut local, &SetEncryption::mixed(1, &KEY)), None);
    assert_eq!(local.read_block(100), (pattern(0, 100), None));
}

#[test]
fn a_key_goes_with_the_tape_only_if_it_was_told_to() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let reload = |drive: &mut Host| {
        drive.good(&[0x1b, 0, 0, 0, 0, 0]);
        drive.good(&[0x1b, 0, 0, 0, 1, 0]);
        drive.settle();
    };
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    reload(&mut drive);
    assert!(status(&mut drive).is_mixed(), "CKOD clear: the key is a trap for the next tape");
    let going = SetEncryption { clear_on_demount: true, ..SetEncryption::mixed(1, &KEY) };
    assert_eq!(set(&mut drive, &going), None);
    reload(&mut drive);
    assert!(status(&mut drive).is_off());
}

#[test]
fn after_ten_keys_that_do_not_fit_no_more_are_taken() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    mixed_tape(&mut drive);
    for key in 0..10 {
        assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &[key; 32])), None);
        drive.locate(0, 1);
        // However often it is tried, a key counts once.
        refused(&mut drive, 2000, WRONG_KEY);
        refused(&mut drive, 2000, WRONG_KEY);
    }
    let right = SetEncryption::mixed(1, &KEY);
    assert_eq!(set(&mut drive, &right), Some((7, 0x26, 0x10)));
    assert_eq!(set(&mut drive, &off()), None);
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    drive.settle();
    assert_eq!(set(&mut drive, &right), None);
    drive.locate(0, 1);
    assert_eq!(drive.read_block(2000), (pattern(1, 2000), None));
}

#[test]
fn damage_of_an_encrypted_block_is_damage_of_the_medium() {
    // The record's own check sees it first. What it can't see is the tag's part (7/74/04), which is
    // tested where a log can be made with a wrong one.
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    assert_eq!(drive.write(&pattern(0, 128)), None);
    drop(drive);
    let log = rig.dir.path().join("cartridges/CAP001L8/partition0.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[128] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let mut drive = rig.drive(0);
    drive.rewind();
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
    // Damage of the medium is told as such, and passed.
    let (data, sense) = drive.read_block(128);
    assert_eq!((data.len(), sense.map(|s| code(&s))), (0, Some((3, 0x11, 0))));
    assert_eq!(drive.position(), (1, 0));
}

#[test]
fn a_library_in_charge_refuses_hosts() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &OTHER)), None);
    rig.library.set_encryption_control(EncryptionControl::Library { key: None });
    drive.fails(&[0; 6], (6, 0x2a, 0x12));
    let capabilities = EncryptionCapabilities::parse(&page(&mut drive, 0x10)).unwrap();
    assert!(capabilities.is_managed_elsewhere());
    assert_eq!(page(&mut drive, 0x10)[4], 0x0a);
    assert!(status(&mut drive).is_off());
    assert_eq!(status(&mut drive).control, ParametersControl::Library);
    for parameters in [off(), SetEncryption::mixed(1, &KEY)] {
        assert_eq!(set(&mut drive, &parameters), Some((7, 0x74, 0x21)));
    }
    assert_eq!(drive.write(&pattern(0, 100)), None);
    // With a key the host sees nothing of it but the status.
    let key = Some(zeroize::Zeroizing::new(KEY));
    rig.library.set_encryption_control(EncryptionControl::Library { key });
    drive.fails(&[0; 6], (6, 0x2a, 0x12));
    assert!(status(&mut drive).is_mixed());
    assert_eq!(drive.write(&pattern(1, 100)), None);
    drive.rewind();
    assert_eq!(drive.read_block(100), (pattern(0, 100), None));
    assert_eq!(drive.read_block(100), (pattern(1, 100), None));
    // Hosts are in charge again, without a key.
    rig.library.set_encryption_control(EncryptionControl::Hosts);
    drive.fails(&[0; 6], (6, 0x2a, 0x12));
    drive.locate(0, 1);
    refused(&mut drive, 100, NO_KEY);
}

#[test]
fn encrypted_cartridges_are_not_exported_as_plain_files() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    mixed_tape(&mut drive);
    drop(drive);
    rig.changer().good(&move_medium(256, 1024));
    let out = rig.dir.path().join("out");
    let error = rig.library.export_cartridge("CAP001L8", &out, &()).unwrap_err();
    assert!(error.to_string().contains("encrypted what is recorded from object 1 on"), "{error}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
    // Whether it is whole can be told without a key.
    let report = rig.library.check_cartridge("CAP001L8", &()).unwrap();
    assert_eq!((report.blocks, report.damaged.len()), (4, 0));
    let options = ImportOptions { force: true, ..ImportOptions::default() };
    std::fs::write(out.join("00000.blocks"), [7; 100]).unwrap();
    rig.library.import_cartridge("CAP001L8", &out, &options, &()).unwrap();
    let again = rig.dir.path().join("again");
    rig.library.export_cartridge("CAP001L8", &again, &()).unwrap();
}

/// Neither a fault that takes the key nor a loss of power lets a host write in the clear unnoticed.
#[test]
fn keys_are_lost_on_demand_and_with_the_power() {
    for (fault, told) in [("key-lost", CHANGED), ("reset", (6, 0x29, 2))] {
        let rig = rig(64 * MIB);
        let mut drive = rig.loaded();
        assert_eq!(set(&mut drive, &SetEncryption::mixed(1, &KEY)), None);
        assert_eq!(drive.write(&pattern(0, 1000)), None);
        drive.rewind();
        rig.library.set_faults(Some(format!("once drive0 read -> {fault}").parse().unwrap()));
        assert_eq!(drive.read_block(1000).1.map(|sense| code(&sense)), Some(told), "{fault}");
        refused(&mut drive, 1000, NO_KEY);
    }
}
