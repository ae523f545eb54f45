//! Generations of drives and cartridges: what each drive says of itself, and what it does with each
//! cartridge.

use vtl::{Generation, Options, Personality};

use crate::host::*;

/// Density, medium type, native megabytes, density name, bar code suffix.
type Row = (Generation, u8, u8, u32, &'static str, &'static str);

const ROWS: [Row; 7] = [
    (Generation::Lto4, 0x46, 0x48, 800_000, "U-416", "L4"),
    (Generation::Lto5, 0x58, 0x58, 1_500_000, "U-516", "L5"),
    (Generation::Lto6, 0x5a, 0x68, 2_500_000, "U-616", "L6"),
    (Generation::Lto7, 0x5c, 0x78, 6_000_000, "U-732", "L7"),
    (Generation::Lto8, 0x5e, 0x88, 12_000_000, "U-832", "L8"),
    (Generation::Lto9, 0x60, 0x98, 18_000_000, "U-932", "L9"),
    (Generation::Lto10, 0x62, 0xa8, 30_000_000, "U-1032A", "LA"),
];

fn of(generation: Generation) -> Rig {
    rig_with(&Options { generation, cartridges: 1, capacity_bytes: None, ..small() })
}

/// Flags that wait in LOG SENSE 12h, by number.
fn alerts(drive: &mut Host) -> Vec<u32> {
    let page = drive.data_in(&[0x4d, 0, 0x52, 0, 0, 0, 0, 0, 64, 0], 64);
    let flags = u64::from_be_bytes(page[8..16].try_into().unwrap());
    (1..=64).filter(|number| flags >> (64 - number) & 1 == 1).collect()
}

#[test]
fn every_generation_shows_its_own_row() {
    for (generation, density, medium_type, megabytes, name, suffix) in ROWS {
        let rig = of(generation);
        assert_eq!(rig.library.cartridges().unwrap(), [format!("CAP001{suffix}")]);
        let mut drive = rig.loaded();
        let header = drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12);
        assert_eq!((header[1], header[4]), (medium_type, density), "{generation}");
        let media = drive.data_in(&[0x44, 1, 0, 0, 0, 0, 0, 1, 0, 0], 256);
        assert_eq!(media.len(), 56, "{generation}");
        let descriptor = &media[4..];
        assert_eq!(descriptor[..3], [density, density, 0xa1], "{generation}");
        assert_eq!(descriptor[12..16], megabytes.to_be_bytes(), "{generation}");
        assert_eq!(&descriptor[24..32], format!("{name:<8}").as_bytes(), "{generation}");
        let inquiry = drive.data_in(&[0x12, 0, 0, 0, 36, 0], 36);
        let product = format!("{:<16}", format!("VTL-{}", generation.to_string().to_uppercase()));
        assert_eq!(&inquiry[16..32], product.as_bytes());
        assert_eq!(drive.write(&pattern(1, 1000)), None, "{generation}");
        // The medium's density in its memory, too.
        let memory = drive.data_in(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 1, 0, 0, 0], 256);
        assert_eq!(memory[4..10], [0x04, 0x05, 0x80, 0, 1, density], "{generation}");
    }
}

#[test]
fn density_reports_list_older_formats_ascending() {
    let rows: [(Generation, &[(u8, u8)]); 7] = [
        (Generation::Lto4, &[(0x42, 0x01), (0x44, 0x81), (0x46, 0xa1)]),
        (Generation::Lto5, &[(0x44, 0x01), (0x46, 0x81), (0x58, 0xa1)]),
        (Generation::Lto6, &[(0x46, 0x01), (0x58, 0x81), (0x5a, 0xa1)]),
        (Generation::Lto7, &[(0x58, 0x01), (0x5a, 0x81), (0x5c, 0xa1)]),
        (Generation::Lto8, &[(0x5c, 0x81), (0x5d, 0x81), (0x5e, 0xa1)]),
        (Generation::Lto9, &[(0x5e, 0x81), (0x60, 0xa1)]),
        (Generation::Lto10, &[(0x62, 0xa1), (0x63, 0x81)]),
    ];
    for (generation, expected) in rows {
        let rig = of(generation);
        let mut drive = rig.drive(0);
        drive.settle();
        let reply = drive.data_in(&[0x44, 0, 0, 0, 0, 0, 0, 4, 0, 0], 1024);
        let codes: Vec<_> = reply[4..].chunks(52).map(|d| (d[0], d[2])).collect();
        assert_eq!(codes, expected, "{generation}");
        assert_eq!(usize::from(u16::from_be_bytes([reply[0], reply[1]])), reply.len() - 2);
    }
}

/// What loading a cartridge and writing to it ends with.
type Fate = (Option<(u8, u8, u8)>, Option<(u8, u8, u8)>, &'static [u32]);

#[test]
fn each_drive_takes_reads_or_refuses_each_cartridge() {
    const REFUSED: Fate = (Some((2, 0x30, 0)), Some((2, 0x30, 0)), &[12]);
    const READ_ONLY: Fate = (None, Some((7, 0x30, 5)), &[17]);
    const TAKEN: Fate = (None, None, &[]);
    let rows: [(Generation, [(&str, Fate); 3]); 7] = [
        (Generation::Lto4, [("X00001L2", READ_ONLY), ("X00001L3", TAKEN), ("X00001L5", REFUSED)]),
        (Generation::Lto5, [("X00001L2", REFUSED), ("X00001L3", READ_ONLY), ("X00001L4", TAKEN)]),
        (Generation::Lto6, [("X00001L3", REFUSED), ("X00001L4", READ_ONLY), ("X00001L5", TAKEN)]),
        (Generation::Lto7, [("X00001M8", REFUSED), ("X00001L5", READ_ONLY), ("X00001L6", TAKEN)]),
        (Generation::Lto8, [("X00001L6", REFUSED), ("X00001M8", TAKEN), ("X00001L7", TAKEN)]),
        (Generation::Lto9, [("X00001M8", REFUSED), ("X00001L7", REFUSED), ("X00001L8", TAKEN)]),
        (Generation::Lto10, [("X00001L9", REFUSED), ("X00001PA", TAKEN), ("X00001LA", TAKEN)]),
    ];
    for (generation, cartridges) in rows {
        let rig = rig_with(&Options { generation, cartridges: 0, capacity_bytes: None, ..small() });
        let mut drive = rig.drive(0);
        let mut changer = rig.changer();
        changer.settle();
        drive.settle();
        for (slot, (barcode, (ready, write, flags))) in (1024..).zip(cartridges) {
            let row = format!("{barcode} in {generation}");
            rig.library.add_cartridge(barcode, Some(8 * MIB)).unwrap();
            changer.settle();
            changer.good(&move_medium(slot, 256));
            drive.fails(&[0; 6], (6, 0x28, 0));
            let sense = drive.send(&[0; 6], scsi::Data::None).sense;
            assert_eq!(sense.map(|s| code(&s)), ready, "{row}");
            assert_eq!(alerts(&mut drive), flags, "{row}");
            assert_eq!(drive.write(&[7; 100]).map(|s| code(&s)), write, "{row}");
            if ready.is_none() {
                // The mode data shows the write protection of a format that is only read.
                let header = drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12);
                assert_eq!(header[2] & 0x80 != 0, write.is_some(), "{row}");
            }
            // Flags are read once; a new one tells of the next cartridge.
            drive.data_in(&[0x4d, 0, 0x6e, 0, 0, 0, 0, 2, 0, 0], 512);
            changer.good(&move_medium(256, slot));
        }
    }
}

#[test]
fn worm_cartridges_exist_from_lto4_to_lto10() {
    let rows = [
        (Generation::Lto4, "CAP001LU", 0x4c),
        (Generation::Lto5, "CAP001LV", 0x5c),
        (Generation::Lto6, "CAP001LW", 0x6c),
        (Generation::Lto7, "CAP001LX", 0x7c),
        (Generation::Lto8, "CAP001LY", 0x8c),
        (Generation::Lto9, "CAP001LZ", 0x9c),
        (Generation::Lto10, "CAP001LH", 0xac),
    ];
    for (generation, barcode, medium_type) in rows {
        let options = Options { generation, worm: true, cartridges: 1, ..small() };
        let rig = rig_with(&options);
        assert_eq!(rig.library.cartridges().unwrap(), [barcode]);
        let mut drive = rig.loaded();
        let page = drive.data_in(&[0x1a, 8, 0x1d, 0, 255, 0], 255);
        assert_eq!(page[1], medium_type, "{generation}");
        assert_eq!(page[6], 0x01, "{generation}");
        let memory = drive.data_in(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 4, 8, 0, 0, 1, 0, 0, 0], 256);
        assert_eq!(memory[4..10], [0x04, 0x08, 0x80, 0, 1, 0x80], "{generation}");
        let statistics = drive.data_in(&[0x4d, 0, 0x57, 0, 0, 0, 0x81, 1, 0, 0], 256);
        assert_eq!(statistics[4..9], [0, 0x81, 3, 1, 1], "{generation}");
        assert_eq!(drive.write(&[1; 100]), None);
        drive.rewind();
        assert_eq!(drive.write(&[2; 100]).map(|s| code(&s)), Some((7, 0x30, 0x0c)));
        assert_eq!(alerts(&mut drive), [60], "{generation}");
        drive.fails(&[0x04, 0, 0, 0, 0, 0], (7, 0x30, 0x0c));
    }
}

#[test]
fn there_are_no_drives_of_cartridge_formats_and_no_worm_of_all() {
    for generation in [Generation::Lto2, Generation::Lto3, Generation::Lto7M8, Generation::Lto10P] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { generation, cartridges: 0, ..small() };
        let error = vtl::Library::create(dir.path(), &options).err().unwrap().to_string();
        assert!(error.contains("choose lto4 to lto10"), "{error}");
    }
    let rig = rig(64 * MIB);
    assert!(rig.library.add_cartridge("X00001M9", None).is_err());
    assert!(rig.library.add_cartridge("X00001L1", None).is_err());
}

#[test]
fn a_library_can_show_the_texts_of_a_maker() {
    let options = Options {
        generation: Generation::Lto9,
        personality: Personality::Ibm,
        cartridges: 0,
        ..small()
    };
    let rig = rig_with(&options);
    let drive = rig.drive(0).data_in(&[0x12, 0, 0, 0, 36, 0], 36);
    assert_eq!(&drive[8..32], b"IBM     ULT3580-TD9     ");
    // The designator follows, and what the changer tells of its drives.
    let page = rig.drive(0).data_in(&[0x12, 1, 0x83, 0, 255, 0], 255);
    assert_eq!(&page[8..32], b"IBM     ULT3580-TD9     ");
    let changer = rig.changer().data_in(&[0x12, 0, 0, 0, 36, 0], 36);
    assert_eq!(&changer[8..32], b"IBM     3573-TL         ");
}
