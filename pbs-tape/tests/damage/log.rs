//! The records of an emulated cartridge (`docs/formats/vtl-cartridge.md`), read and written by themselves.

use std::path::{Path, PathBuf};

const HEADER: usize = 64;

/// CRC-64/XZ.
pub fn crc64(parts: &[&[u8]]) -> u64 {
    let mut crc = !0u64;
    for byte in parts.iter().flat_map(|part| part.iter()) {
        crc ^= u64::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xc96c_5795_d787_0f42 } else { crc >> 1 };
        }
    }
    !crc
}

fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

/// A record with its data.
#[derive(Clone)]
pub struct Record {
    header: [u8; HEADER],
    pub data: Vec<u8>,
    /// Where its data lies in the file as it was read.
    pub data_at: usize,
    is_changed: bool,
}

impl Record {
    pub fn is_block(&self) -> bool {
        self.header[4] == 1
    }

    /// The data, to be changed so that the emulator does not notice.
    pub fn change(&mut self) -> &mut Vec<u8> {
        self.is_changed = true;
        &mut self.data
    }
}

/// A cartridge's log.
pub struct Log {
    path: PathBuf,
    head: [u8; HEADER],
    pub records: Vec<Record>,
}

impl Log {
    pub fn read(cartridge: &Path) -> Log {
        let path = cartridge.join("partition0.log");
        let bytes = std::fs::read(&path).unwrap();
        let head: [u8; HEADER] = bytes[..HEADER].try_into().unwrap();
        let (mut at, mut records) = (HEADER, Vec::new());
        while bytes.get(at..at + 4) == Some(b"VREC") {
            let header: [u8; HEADER] = bytes[at..at + HEADER].try_into().unwrap();
            assert_eq!(header[5], 0, "encrypted records are not expected");
            let data_at = at + HEADER;
            let length = number(&header[8..12]) as usize;
            let data = bytes[data_at..data_at + length].to_vec();
            records.push(Record { header, data, data_at, is_changed: false });
            at = (data_at + length).next_multiple_of(HEADER);
        }
        assert!(bytes[at..].iter().all(|byte| *byte == 0), "{}: something follows", path.display());
        Log { path, head, records }
    }

    /// Writes the records with checks that are right, so that only the tape's own format tells of a change.
    pub fn write(&self) {
        let id = &self.head[16..24];
        let mut bytes = self.head.to_vec();
        let (mut check, mut files, mut before) = (id.to_vec(), 0u32, 0u64);
        for (object, record) in self.records.iter().enumerate() {
            let mut header = record.header;
            header[8..12].copy_from_slice(&(record.data.len() as u32).to_le_bytes());
            header[16..24].copy_from_slice(&(object as u64).to_le_bytes());
            header[24..28].copy_from_slice(&files.to_le_bytes());
            header[32..40].copy_from_slice(&before.to_le_bytes());
            header[40..48].copy_from_slice(&check);
            if record.is_changed {
                header[48..56].copy_from_slice(&crc64(&[&record.data]).to_le_bytes());
            }
            let offset = (bytes.len() as u64).to_le_bytes();
            check = crc64(&[&header[..56], id, &offset]).to_le_bytes().to_vec();
            header[56..64].copy_from_slice(&check);
            files += u32::from(!record.is_block());
            before += record.data.len() as u64;
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(&record.data);
            bytes.resize(bytes.len().next_multiple_of(HEADER), 0);
        }
        std::fs::write(&self.path, bytes).unwrap();
        // It is made anew from the log.
        std::fs::remove_file(self.path.with_extension("index")).unwrap();
    }

    /// Changes a byte of the file itself, as a failing medium does: the emulator cannot read that record any more.
    pub fn flip_in_file(&self, at: usize, mask: u8) {
        let mut bytes = std::fs::read(&self.path).unwrap();
        bytes[at] ^= mask;
        std::fs::write(&self.path, bytes).unwrap();
    }
}
