use super::*;
use crate::device::TapeDevice;
use crate::device::model::{Medium, ModelDrive};
use crate::format::block::Opened;

fn header() -> SnapshotArchiveHeader {
    SnapshotArchiveHeader {
        snapshot: "host/elsa/2024-01-02T03:04:05Z".into(),
        store: "vmstore1".into(),
    }
}

fn file(name: &str, content: Vec<u8>) -> Result<SnapshotFile> {
    Ok(SnapshotFile {
        name: name.into(),
        metadata: Metadata::regular(0o644),
        size: content.len() as u64,
        content: Box::new(io::Cursor::new(content)),
    })
}

fn files(size: usize) -> Vec<Result<SnapshotFile>> {
    vec![file("index.json.blob", vec![1; 300]), file("root.pxar.didx", vec![2; size])]
}

type Found = Vec<(String, u64, Vec<u8>)>;

fn read(drive: &mut ModelDrive) -> Result<(Found, bool)> {
    drive.rewind()?;
    let Opened::File(mut stream) = StreamReader::open(drive)? else { panic!("no file") };
    let content = ContentHeader::read(&mut stream)?;
    assert_eq!(read_snapshot_archive_header(&mut stream, &content)?, header());
    let mut found = Vec::new();
    let result = read_snapshot_files(&mut stream, |name, metadata, size, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|e| Error::io("test", e))?;
        assert_eq!(bytes.len() as u64, size);
        found.push((name.to_string(), metadata.mode, bytes));
        Ok(())
    });
    match result {
        Ok(()) => Ok((found, stream.is_incomplete()?)),
        Err(e) => {
            stream.skip_to_end()?;
            if stream.is_incomplete()? { Ok((found, true)) } else { Err(e) }
        }
    }
}

#[test]
fn files_come_back_as_they_were() {
    let mut drive = ModelDrive::new(Medium::default());
    let written = write_snapshot_archive(&mut drive, &header(), files(700_000), 5).unwrap();
    assert!(written.complete);
    assert_eq!(written.header.kind, ContentKind::SnapshotArchiveV1_1);
    let blocks = drive.medium.lock().unwrap().files()[0].len() as u64;
    assert_eq!(written.sent_bytes, blocks * BLOCK_BYTES as u64);
    let (found, incomplete) = read(&mut drive).unwrap();
    assert!(!incomplete);
    assert_eq!(found[0], ("index.json.blob".into(), 0o100_644, vec![1; 300]));
    assert_eq!(found[1], ("root.pxar.didx".into(), 0o100_644, vec![2; 700_000]));
}

/// Early warning anywhere but in the last block gives the file up, early; in the last block it does
/// not matter.
#[test]
fn early_warning_gives_the_archive_up() {
    for warning_blocks in 0..6 {
        let mut drive = ModelDrive::new(Medium::with_capacity(warning_blocks.max(1), 3));
        if warning_blocks == 0 {
            drive.medium.lock().unwrap().warning_blocks = 1;
        }
        let written = write_snapshot_archive(&mut drive, &header(), files(900_000), 5).unwrap();
        let files = drive.medium.lock().unwrap().files();
        let last = files[0].last().unwrap().clone();
        // 900 KB make four blocks.
        assert_eq!(written.complete, warning_blocks >= 3, "{warning_blocks}");
        assert_eq!(last[8], if written.complete { 1 } else { 3 });
        let (_, incomplete) = read(&mut drive).unwrap();
        assert_eq!(incomplete, !written.complete);
    }
}

#[test]
fn the_namespace_chooses_the_version() {
    let mut drive = ModelDrive::new(Medium::default());
    let archive = SnapshotArchiveHeader { snapshot: "ns/a/ct/1/x".into(), store: "s".into() };
    let written = write_snapshot_archive(&mut drive, &archive, files(1), 5).unwrap();
    assert_eq!(written.header.kind, ContentKind::SnapshotArchiveV1_2);
}

#[test]
fn a_failing_source_fails_the_archive_and_leaves_it_unterminated() {
    let mut drive = ModelDrive::new(Medium::default());
    let mut short = file("index.json.blob", vec![1; 300]).unwrap();
    short.size = 1_000_000;
    assert!(write_snapshot_archive(&mut drive, &header(), [Ok(short)], 5).is_err());
    let damaged = || Err(Error::Aborted);
    let sources = [file("index.json.blob", vec![1; 2_000_000]), damaged()];
    let error = write_snapshot_archive(&mut drive, &header(), sources, 5).unwrap_err();
    assert!(error.is_aborted());
    drive.rewind().unwrap();
    let Opened::File(mut stream) = StreamReader::open(&mut drive).unwrap() else { panic!() };
    stream.skip_to_end().unwrap();
    assert!(!stream.has_end_marker().unwrap());
}

#[test]
fn an_archive_without_manifest_is_refused() {
    let mut drive = ModelDrive::new(Medium::default());
    let sources = [file("root.pxar.didx", vec![1; 3])];
    write_snapshot_archive(&mut drive, &header(), sources, 5).unwrap();
    assert!(read(&mut drive).unwrap_err().to_string().contains("index.json.blob"));
}
