//! Check values between this program and the drive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use scsi::command::protection::{Method, PAGE, Protection, SUBPAGE, build_support};
use scsi::{Data, Reply, Transport};
use vtl::Generation;

use super::emulated::load;
use super::*;

fn vpd(methods: &[Method]) -> Vec<u8> {
    inquiry::build_vpd(inquiry::TYPE_TAPE, VPD_PROTECTION, &build_support(methods))
}

fn page(protection: Protection) -> Parameters {
    Parameters { pages: protection.build().to_vec(), ..parameters(0, 1, true) }
}

fn expect_page(script: &mut Script, protection: Protection) {
    let sense = sense_cdb(Size::Ten, PAGE, SUBPAGE, false);
    script.expect_in(&sense, &page(protection).build(Size::Ten));
}

fn select() -> Cdb {
    select_cdb(Size::Ten, 48)
}

fn expect_select(script: &mut Script, protection: Protection) {
    script.expect_out(&select(), &page(protection).build_for_select(Size::Ten));
}

const OFF: Protection = Protection { method: None, writes: false, reads: false, recovered: false };
const ON: Protection = Protection::full(Method::Crc32c);

/// A drive with protection on, at the beginning of a tape.
fn protected() -> (Script, Drive) {
    let (mut script, mut drive) = open_at(0, 0);
    script.expect_in(
        &inquiry::vpd_cdb(VPD_PROTECTION, 0xfc),
        &vpd(&[Method::ReedSolomon, Method::Crc32c]),
    );
    expect_page(&mut script, OFF);
    expect_select(&mut script, ON);
    expect_page(&mut script, ON);
    drive.protect().unwrap();
    assert_eq!(drive.block_protection(), Some(Method::Crc32c));
    (script, drive)
}

/// What dropping the handle does.
fn expect_off(script: &mut Script) {
    expect_page(script, ON);
    expect_select(script, OFF);
}

fn with_check(data: &[u8]) -> Vec<u8> {
    [data, &Method::Crc32c.check(data)].concat()
}

#[test]
fn blocks_carry_a_value_and_the_drive_gets_its_old_ways_back() {
    let (mut script, mut drive) = protected();
    script.expect_out(&write_cdb(104), &with_check(&[7; 100]));
    let _ = drive.write_block(&[7; 100]).unwrap();
    let read = scsi::command::block::read_exact_cdb(104);
    script.expect_in(&read, &with_check(&[8; 100]));
    let mut buffer = [0; 100];
    assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(100));
    assert_eq!(buffer, [8; 100]);
    // A shorter block, told by the drive.
    let shorter = Sense::NONE.with_incorrect_length().with_information(40);
    script.expect(&read, Answer::BytesAndCheck(with_check(&[9; 60]), shorter));
    assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(60));
    assert_eq!(buffer[..61], [&[9; 60][..], &[8]].concat());
    // A longer one: its length without the value.
    let longer = Sense::NONE.with_incorrect_length().with_information(-100);
    script.expect(&read, Answer::BytesAndCheck(vec![1; 104], longer));
    let error = drive.read_block(&mut buffer).unwrap_err();
    assert!(matches!(error, Error::BlockTooLong { block_bytes: 200, limit_bytes: 100, .. }));
    script.expect_check(&read, Sense::FILEMARK);
    assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Filemark);
    // A unit attention costs the first attempt.
    let sense = sense_cdb(Size::Ten, PAGE, SUBPAGE, false);
    script.expect_check(&sense, Sense::MODE_PARAMETERS_CHANGED);
    expect_off(&mut script);
    drop(drive);
}

#[test]
fn a_block_in_place_gets_its_value_behind_it() {
    let (mut script, mut drive) = protected();
    let mut buffer = [7; 110];
    script.expect_out(&write_cdb(104), &with_check(&[7; 100]));
    let _ = drive.write_block_in_place(&mut buffer, 100).unwrap();
    let read = scsi::command::block::read_exact_cdb(104);
    script.expect_in(&read, &with_check(&[8; 100]));
    assert_eq!(drive.read_block_in_place(&mut buffer, 100).unwrap(), Read::Block(100));
    assert_eq!((&buffer[..100], &buffer[104..]), (&[8; 100][..], &[7; 6][..]));
    let shorter = Sense::NONE.with_incorrect_length().with_information(40);
    script.expect(&read, Answer::BytesAndCheck(with_check(&[9; 60]), shorter));
    assert_eq!(drive.read_block_in_place(&mut buffer, 100).unwrap(), Read::Block(60));
    assert_eq!(buffer[..60], [9; 60]);
    let mut block = with_check(&[7; 100]);
    block[50] ^= 1;
    script.expect_in(&read, &block);
    expect_position(&mut script, 0, 14);
    let error = drive.read_block_in_place(&mut buffer, 100).unwrap_err();
    assert!(matches!(error, Error::BlockCheckFailed { block: Some(13), .. }), "{error}");
    // Nothing is sent that there is no room for.
    let error = drive.write_block_in_place(&mut buffer[..103], 100).unwrap_err();
    assert!(error.to_string().contains("do not fit"), "{error}");
    assert!(drive.read_block_in_place(&mut buffer[..103], 100).is_err());
    expect_off(&mut script);
}

#[test]
fn a_block_in_place_goes_as_it_is_without_protection() {
    let (mut script, mut drive) = open_at(0, 0);
    let mut buffer = [7; 110];
    script.expect_out(&write_cdb(100), &[7; 100]);
    let _ = drive.write_block_in_place(&mut buffer, 100).unwrap();
    script.expect_in(&scsi::command::block::read_cdb(100), &[8; 100]);
    assert_eq!(drive.read_block_in_place(&mut buffer, 100).unwrap(), Read::Block(100));
    assert_eq!((&buffer[..100], &buffer[100..]), (&[8; 100][..], &[7; 10][..]));
}

#[test]
fn a_wrong_value_is_an_error_that_names_the_block() {
    let (mut script, mut drive) = protected();
    let mut block = with_check(&[7; 100]);
    block[50] ^= 1;
    script.expect_in(&scsi::command::block::read_exact_cdb(104), &block);
    expect_position(&mut script, 0, 13);
    let mut buffer = [0xee; 100];
    let error = drive.read_block(&mut buffer).unwrap_err();
    assert!(matches!(error, Error::BlockCheckFailed { block: Some(12), .. }), "{error}");
    assert!(error.is_damaged() && error.to_string().contains("block 12"), "{error}");
    assert_eq!(buffer, [0xee; 100], "what is not verified is not delivered");
    // Too short to hold a value.
    script.expect_in(&scsi::command::block::read_exact_cdb(104), &[1, 2, 3]);
    expect_position(&mut script, 0, 14);
    assert!(drive.read_block(&mut buffer).unwrap_err().is_damaged());
    // The drive found one on the way there.
    script.expect_check(&write_cdb(104), Sense::PROTECTION_CHECK_FAILED);
    let error = drive.write_block(&[7; 100]).unwrap_err();
    assert!(error.sense().is_some_and(|sense| sense.is_protection_failure()), "{error}");
    assert!(drive.write_block(&[7; 100]).unwrap_err().is_position_lost());
    expect_off(&mut script);
}

#[test]
fn a_drive_that_does_not_do_what_it_says_is_used_without() {
    let offer = vpd(&[Method::ReedSolomon]);
    let on = Protection::full(Method::ReedSolomon);
    // Refused.
    let (mut script, mut drive) = open_at(0, 0);
    script.expect_in(&inquiry::vpd_cdb(VPD_PROTECTION, 0xfc), &offer);
    expect_page(&mut script, OFF);
    script.expect_check(&select(), Sense::INVALID_FIELD_IN_PARAMETERS);
    expect_select(&mut script, OFF);
    drive.protect().unwrap();
    assert_eq!(drive.block_protection(), None);
    script.expect_out(&write_cdb(100), &[1; 100]);
    let _ = drive.write_block(&[1; 100]).unwrap();
    drop(drive);
    // Taken, and something else is in force.
    let (mut script, mut drive) = open();
    script.expect_in(&inquiry::vpd_cdb(VPD_PROTECTION, 0xfc), &offer);
    expect_page(&mut script, OFF);
    expect_select(&mut script, on);
    expect_page(&mut script, Protection { reads: false, ..on });
    expect_select(&mut script, OFF);
    drive.protect().unwrap();
    assert_eq!(drive.block_protection(), None);
    // No mode page behind the promise.
    let (mut script, mut drive) = open();
    script.expect_in(&inquiry::vpd_cdb(VPD_PROTECTION, 0xfc), &offer);
    let sense = sense_cdb(Size::Ten, PAGE, SUBPAGE, false);
    script.expect_check(&sense, Sense::INVALID_FIELD_IN_CDB);
    drive.protect().unwrap();
    assert_eq!(drive.block_protection(), None);
}

#[test]
fn after_a_reset_it_is_set_again_before_the_next_block() {
    let (mut script, mut drive) = protected();
    script.expect_check(&write_cdb(104), Sense::POWER_ON);
    assert!(matches!(drive.write_block(&[7; 100]), Err(Error::PositionLost { .. })));
    script.expect_good(&rewind_cdb(false));
    drive.rewind().unwrap();
    expect_page(&mut script, OFF);
    expect_page(&mut script, OFF);
    expect_select(&mut script, ON);
    expect_page(&mut script, ON);
    script.expect_out(&write_cdb(104), &with_check(&[7; 100]));
    let _ = drive.write_block(&[7; 100]).unwrap();
    expect_off(&mut script);
}

#[test]
fn a_synchronisation_asks_whether_it_is_still_on() {
    let (mut script, mut drive) = protected();
    script.expect_good(&write_filemarks_cdb(0, false));
    expect_page(&mut script, ON);
    drive.sync().unwrap();
    script.expect_good(&write_filemarks_cdb(0, false));
    expect_page(&mut script, OFF);
    let error = drive.sync().unwrap_err();
    assert!(matches!(error, Error::ProtectionLost { .. }), "{error}");
    expect_off(&mut script);
}

/// A cable that turns a bit of the next block in one direction.
struct Cable<T> {
    unit: T,
    /// 0 nothing, 1 to the drive, 2 from the drive.
    fault: Arc<AtomicU8>,
}

impl<T: Transport> Transport for Cable<T> {
    fn execute(
        &mut self,
        cdb: &[u8],
        mut data: Data<'_>,
        timeout: Duration,
    ) -> std::result::Result<Reply, scsi::Error> {
        let hits = |direction| {
            self.fault.compare_exchange(direction, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        match (&mut data, cdb.first()) {
            (Data::Out(bytes), Some(0x0a)) if hits(1) => {
                let mut changed = bytes.to_vec();
                changed[1000] ^= 4;
                self.unit.execute(cdb, Data::Out(&changed), timeout)
            }
            (Data::In(buffer), Some(0x08)) if hits(2) => {
                let reply = self.unit.execute(cdb, Data::In(buffer), timeout)?;
                buffer[1000] ^= 4;
                Ok(reply)
            }
            _ => self.unit.execute(cdb, data, timeout),
        }
    }

    fn name(&self) -> &str {
        self.unit.name()
    }
}

fn library_of(generation: Generation) -> (tempfile::TempDir, vtl::Library) {
    let dir = tempfile::tempdir().unwrap();
    let options = vtl::Options {
        drives: 1,
        slots: 2,
        import_export: 0,
        cartridges: 2,
        generation,
        ..vtl::Options::default()
    };
    let library = vtl::Library::create(&dir.path().join("lib"), &options).unwrap();
    (dir, library)
}

#[test]
fn each_generation_is_used_with_the_best_that_it_has() {
    let table = [
        (Generation::Lto4, None, 0x80_0000, None),
        (Generation::Lto5, Some(Method::ReedSolomon), 0x7f_fffc, Some("on (Reed-Solomon CRC)")),
        (Generation::Lto7, Some(Method::Crc32c), 0x7f_fffc, Some("on (CRC-32C)")),
        (Generation::Lto9, Some(Method::Crc32c), 0x7f_fffc, Some("on (CRC-32C)")),
    ];
    for (generation, method, most, text) in table {
        let (_folder, library) = library_of(generation);
        let mut drive = load(&library);
        assert_eq!((drive.block_protection(), drive.block_bytes_max()), (method, most));
        assert_eq!(drive.status().unwrap().block_protection.as_deref(), text, "{generation}");
        drive.rewind().unwrap();
        let block = vec![5; drive.block_bytes_max() as usize];
        for data in [&block[..], &[1]] {
            let _ = drive.write_block(data).unwrap();
        }
        drive.write_filemarks(1, false).unwrap();
        drive.rewind().unwrap();
        let mut buffer = vec![0; block.len()];
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(block.len()));
        assert!(buffer == block);
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(1));
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Filemark);
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::EndOfData);
        // Another program finds the drive and the tape as if nothing had been.
        drop(drive);
        let mut drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
        let text = drive.status().unwrap().block_protection;
        assert_eq!(text.is_some(), method.is_some());
        assert!(text.is_none_or(|text| text.starts_with("off")));
        drive.adopt_position().unwrap();
        drive.rewind().unwrap();
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(block.len()));
        assert!(buffer == block);
    }
}

#[test]
fn a_bit_that_turns_on_the_way_is_found_on_both_ways() {
    for encrypted in [false, true] {
        let (_folder, library) = library_of(Generation::Lto8);
        drop(load(&library));
        let fault = Arc::new(AtomicU8::new(0));
        let unit = Cable { unit: library.drive(0).unwrap(), fault: Arc::clone(&fault) };
        let mut drive = Drive::open_with_media(Box::new(unit), true, &Watcher::default()).unwrap();
        drive.rewind().unwrap();
        if encrypted {
            drive.set_key(&DriveKey::new(zeroize::Zeroizing::new([3; 32]))).unwrap();
        }
        let block = [6; BLOCK as usize];
        let _ = drive.write_block(&block).unwrap();
        fault.store(1, Ordering::Relaxed);
        let error = drive.write_block(&block).unwrap_err();
        assert_eq!(error.sense().map(Sense::code), Some((4, 0x10, 1)), "{error}");
        // It is not on the tape.
        assert_eq!(drive.position().unwrap(), Position { file: 0, object: 1 });
        drive.rewind().unwrap();
        fault.store(2, Ordering::Relaxed);
        let mut buffer = [0; BLOCK as usize];
        let error = drive.read_block(&mut buffer).unwrap_err();
        assert!(matches!(error, Error::BlockCheckFailed { block: Some(0), .. }), "{error}");
        drive.rewind().unwrap();
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(BLOCK as usize));
        assert_eq!(buffer, block);
    }
}

/// What the head of `protection` says of its cost. Prints the measured figure: `cargo test --release -p pbs-tape
/// what_a_protected_block_costs -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test: it says something of the machine"]
fn what_a_protected_block_costs() {
    const ROUNDS: u32 = 20_000;
    let (script, mut drive) = open();
    let block = vec![0x5a; 256 << 10];
    for method in [Method::Crc32c, Method::ReedSolomon] {
        let begin = std::time::Instant::now();
        for _ in 0..ROUNDS / if method == Method::Crc32c { 1 } else { 100 } {
            let staged = drive.stage_block(method, std::hint::black_box(&block));
            drive.unstage(std::hint::black_box(staged));
        }
        let rounds = ROUNDS / if method == Method::Crc32c { 1 } else { 100 };
        println!(
            "{method}: {:.1} us a block of 256 KiB",
            begin.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
        );
    }
    assert_eq!(script.remaining(), 0);
}

#[test]
fn what_a_killed_program_left_on_is_taken_over_and_taken_back() {
    let (_folder, library) = library_of(Generation::Lto8);
    let _kernel = library.drive(0).unwrap();
    std::mem::forget(load(&library));
    let mut looker = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
    let mut text = || looker.status().unwrap().block_protection.unwrap();
    assert!(text().starts_with("on"));
    let drive = load(&library);
    assert_eq!(drive.block_protection(), Some(Method::Crc32c));
    drop(drive);
    assert!(text().starts_with("off"));
}
