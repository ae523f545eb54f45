use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::digest::Digest;

/// Lengths of the chunks of `data` when it arrives in pieces of `piece` bytes.
fn lengths(data: &[u8], avg: usize, piece: usize) -> Vec<usize> {
    let mut chunker = Chunker::new(avg).unwrap();
    let (mut start, mut lengths) = (0, Vec::new());
    let mut arrived = 0;
    while arrived < data.len() {
        arrived = (arrived + piece).min(data.len());
        while let Some(length) = chunker.scan(&data[start..arrived]) {
            lengths.push(length);
            start += length;
        }
    }
    if start < data.len() {
        lengths.push(data.len() - start);
    }
    lengths
}

/// The definition, byte by byte with a ring buffer, as the format page states it.
fn lengths_by_definition(data: &[u8], avg: usize) -> Vec<usize> {
    let (min, max, mask) = (avg / 4, avg * 4, (2 * avg - 1) as u32);
    let (mut hash, mut n, mut window, mut lengths) = (0u32, 0, [0u8; 64], Vec::new());
    for &byte in data {
        if n < 64 {
            window[n] = byte;
            hash = hash.rotate_left(1) ^ value(byte);
            n += 1;
            continue;
        }
        let at = n & 63;
        hash = hash.rotate_left(1) ^ value(window[at]) ^ value(byte);
        window[at] = byte;
        n += 1;
        if n >= max || (n >= min && (hash & mask) >= mask - 2) {
            lengths.push(n);
            (hash, n) = (0, 0);
        }
    }
    if n > 0 {
        lengths.push(n);
    }
    lengths
}

fn counter() -> Vec<u8> {
    (0..262_144u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn the_table_is_the_published_one() {
    let bytes: Vec<u8> = TABLE.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    assert_eq!(
        Digest::of(&bytes).to_string(),
        "5b52080d38287da9d2e278466e3e0db7ec98e5e8b226f50612a56fa012b1f660"
    );
    let hash = (0..64u8).fold(0u32, |hash, byte| hash.rotate_left(1) ^ value(byte));
    assert_eq!(hash, 0xdc8b_317b);
}

#[test]
fn cut_points_match_the_vectors() {
    let counter = counter();
    let shactr: Vec<u8> = (0..32_768u64).flat_map(|i| Digest::of(&i.to_le_bytes()).0).collect();
    for piece in [1 << 20, 4096, 65_536, 100_003] {
        assert_eq!(
            lengths(&counter, 64 << 10, piece),
            [143_377, 262_144, 262_144, 262_144, 118_767]
        );
        assert_eq!(lengths(&counter, 128 << 10, piece), [524_288, 524_288]);
        assert_eq!(
            lengths(&shactr, 64 << 10, piece),
            [
                66_406, 60_738, 125_437, 51_526, 16_793, 17_483, 54_238, 43_931, 37_148, 36_544,
                67_970, 68_314, 42_858, 84_846, 88_055, 158_766, 24_305, 3218
            ]
        );
        assert_eq!(lengths(&vec![0; 1 << 20], 64 << 10, piece), [262_144; 4]);
    }
}

#[test]
fn only_powers_of_two_in_range_are_average_sizes() {
    for bad in [0, 1, 512, 1000, 3 << 20, 8 << 20, usize::MAX] {
        assert!(Chunker::new(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn the_fast_scan_finds_what_the_definition_finds(
        seed: u64, len in 0..60_000usize, piece in 1..20_000usize, narrow: bool,
    ) {
        // A narrow alphabet gives long runs without and with cuts.
        let mut state = seed | 1;
        let data: Vec<u8> = (0..len).map(|_| {
            state ^= state >> 12; state ^= state << 25; state ^= state >> 27;
            let byte = (state >> 32) as u8;
            if narrow { byte & 3 } else { byte }
        }).collect();
        prop_assert_eq!(lengths(&data, 1 << 10, piece), lengths_by_definition(&data, 1 << 10));
    }

    /// Larger averages: with 64 KiB and above fewer than all bits decide at first.
    #[test]
    fn the_fast_scan_finds_cuts_of_every_average(
        seed: u64, avg_log in 10..18u32, len in 0..600_000usize, piece in 1000..300_000usize,
    ) {
        let mut state = seed | 1;
        let data: Vec<u8> = (0..len).map(|_| {
            state ^= state >> 12; state ^= state << 25; state ^= state >> 27;
            (state >> 32) as u8
        }).collect();
        let avg = 1 << avg_log;
        prop_assert_eq!(lengths(&data, avg, piece), lengths_by_definition(&data, avg));
    }
}

#[test]
fn golden_cut_points() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    let inputs = [
        ("rand", ["1", "50000000", "rand"]),
        ("text", ["2", "40000000", "text"]),
        ("img", ["3", "40000000", "img"]),
        ("zero", ["0x100", "40000000", "const"]),
    ];
    let mut compared = 0;
    for (name, args) in inputs {
        let output = Command::new("python3")
            .arg(golden.join("gen/xorshift.py"))
            .args(args)
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success());
        let data = output.stdout;
        for avg in [4 << 20, 1 << 20, 64 << 10] {
            let path = golden.join(format!("chunker/{name}.avg{avg}.cuts"));
            let Ok(wanted) = std::fs::read_to_string(&path) else { continue };
            let mut ours = Vec::new();
            let mut start = 0;
            for length in lengths(&data, avg, 1 << 20) {
                let digest = Digest::of(&data[start..start + length]);
                start += length;
                writeln!(ours, "{start} {length} {digest}").unwrap();
            }
            assert_eq!(String::from_utf8(ours).unwrap().trim_end(), wanted.trim_end(), "{path:?}");
            compared += 1;
        }
    }
    assert_eq!(compared, 10, "cut lists are missing from the golden data");
}
