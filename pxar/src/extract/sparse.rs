//! Writing content without the blocks of zeros in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK_BYTES: u64 = 4096;

/// Writes a new, empty file from front to back; blocks of zeros become holes.
pub(super) struct SparseWriter<'a> {
    file: &'a File,
    position: u64,
    ends_in_hole: bool,
}

impl<'a> SparseWriter<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, position: 0, ends_in_hole: false }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let zeros = self.run_len(bytes, true);
            let (hole, rest) = bytes.split_at(zeros);
            self.position += hole.len() as u64;
            self.ends_in_hole |= !hole.is_empty();
            let data = self.run_len(rest, false);
            let (data, rest) = rest.split_at(data);
            if !data.is_empty() {
                self.file.write_all_at(data, self.position)?;
                self.position += data.len() as u64;
                self.ends_in_hole = false;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Length of the run of blocks at the front that are zero, or that are not. The first and last
    /// piece may be part of a block only.
    fn run_len(&self, bytes: &[u8], of_zeros: bool) -> usize {
        let mut len = 0;
        while len < bytes.len() {
            let at = self.position + len as u64;
            let block_len = (BLOCK_BYTES - at % BLOCK_BYTES) as usize;
            let rest = bytes.get(len..).unwrap_or_default();
            let block = rest.split_at(block_len.min(rest.len())).0;
            if is_zero(block) != of_zeros {
                break;
            }
            len += block.len();
        }
        len
    }

    /// Give the file its full size.
    pub(super) fn finish(self) -> io::Result<u64> {
        if self.ends_in_hole {
            self.file.set_len(self.position)?;
        }
        Ok(self.position)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn every_split_gives_the_same_file() {
        let mut data = vec![0; 40_000];
        data[5] = 1;
        data[8192..8200].fill(7);
        data[20_479] = 9;
        for end in [40_000, 20_480, 4096, 6, 5, 0] {
            for step in [1, 100, 4095, 4096, 4097, 40_000] {
                let file = tempfile::tempfile().unwrap();
                let mut writer = SparseWriter::new(&file);
                data[..end].chunks(step).for_each(|piece| writer.write(piece).unwrap());
                assert_eq!(writer.finish().unwrap(), end as u64);
                let mut read = Vec::new();
                (&file).read_to_end(&mut read).unwrap();
                assert!(read == data[..end], "{end} in steps of {step}");
            }
        }
    }

    #[test]
    fn zeros_take_no_room() {
        let file = tempfile::tempfile().unwrap();
        let mut writer = SparseWriter::new(&file);
        writer.write(&vec![0; 8 << 20]).unwrap();
        writer.write(b"x").unwrap();
        writer.write(&vec![0; 8 << 20]).unwrap();
        writer.finish().unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), (16 << 20) + 1);
        assert!(metadata.blocks() * 512 < 1 << 20);
    }
}
