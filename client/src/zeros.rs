//! Finding zeros: in chunks that need no second look, and in images that are restored with holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Shorter runs of zeros are written: a file of many small holes is slow to work with.
const HOLE_BYTES_MIN: usize = 64 << 10;

/// True if all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Block by block, because a loop that may end at every byte is not made of vector instructions.
    let (blocks, rest) = bytes.as_chunks::<256>();
    blocks.iter().all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// Writes `bytes` at a place in a file where nothing was written yet; blocks of zeros stay holes.
pub(crate) fn write_sparse(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    let mut data_from = 0;
    let write = |from: usize, to: usize| match bytes.get(from..to) {
        Some(data) if !data.is_empty() => file.write_all_at(data, at + from as u64),
        _ => Ok(()),
    };
    for block in bytes.chunks(HOLE_BYTES_MIN) {
        if is_zero(block) {
            write(data_from, done)?;
            data_from = done + block.len();
        }
        done += block.len();
    }
    write(data_from, done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn every_single_byte_is_seen() {
        let mut bytes = vec![0; 1000];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in 0..bytes.len() {
            bytes[at] = 1 << (at % 8);
            assert!(!is_zero(&bytes), "{at}");
            bytes[at] = 0;
        }
    }

    #[test]
    fn a_sparse_file_has_the_same_content_and_less_room() {
        const LEN: usize = 1 << 20;
        let cases: [&[usize]; 6] =
            [&[], &[0], &[LEN - 1], &[65_535, 65_536], &[300_000, 700_000], &[0, 131_072, LEN - 1]];
        for ones in cases {
            let mut bytes = vec![0; LEN];
            ones.iter().for_each(|at| bytes[*at] = 1);
            for len in [LEN, LEN - 100] {
                let file = tempfile::tempfile().unwrap();
                let bytes = &bytes[..len];
                write_sparse(&file, bytes, 5).unwrap();
                file.set_len(len as u64 + 5).unwrap();
                let mut read = Vec::new();
                (&file).read_to_end(&mut read).unwrap();
                assert!(read[..5] == [0; 5] && read[5..] == *bytes, "{ones:?}");
                assert!(file.metadata().unwrap().blocks() * 512 <= 140_000 * ones.len() as u64);
            }
        }
    }
}
