//! The chunker finds what a plain one finds that looks at every byte, however the stream arrives.

use datastore::chunker::Chunker;

const WINDOW: usize = 64;
const AVG: usize = 1 << 10;

/// See the module. The first byte says in which pieces the rest arrives.
pub fn run(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else { return };
    assert_eq!(cuts(data, usize::from(step) * 7 + 1), plain_cuts(data));
}

fn cuts(data: &[u8], step: usize) -> Vec<usize> {
    let mut chunker = Chunker::new(AVG).unwrap();
    let (mut cuts, mut start, mut arrived) = (Vec::new(), 0, 0);
    while arrived < data.len() {
        arrived = (arrived + step).min(data.len());
        while let Some(len) = chunker.scan(&data[start..arrived]) {
            start += len;
            cuts.push(start);
        }
    }
    cuts
}

/// The documented algorithm word for word (`docs/formats/chunker.md`).
fn plain_cuts(data: &[u8]) -> Vec<usize> {
    let (min, max, mask) = (AVG / 4, AVG * 4, (2 * AVG - 1) as u32);
    let (mut hash, mut count, mut window) = (0_u32, 0_usize, [0_u8; WINDOW]);
    let mut cuts = Vec::new();
    for (position, &byte) in data.iter().enumerate() {
        if count < WINDOW {
            window[count] = byte;
            hash = hash.rotate_left(1) ^ table(byte);
            count += 1;
            continue;
        }
        let place = count % WINDOW;
        hash = hash.rotate_left(1) ^ table(window[place]) ^ table(byte);
        window[place] = byte;
        count += 1;
        if count >= max || (count >= min && hash & mask >= mask - 2) {
            cuts.push(position + 1);
            (hash, count) = (0, 0);
        }
    }
    cuts
}

fn table(byte: u8) -> u32 {
    datastore::chunker::TABLE[usize::from(byte)]
}
