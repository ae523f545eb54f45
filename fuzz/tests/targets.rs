//! Every target over its seeds, over everything that was ever found, and over mutations of both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use capstan_fuzz::random::mutated;
use capstan_fuzz::{TARGETS, Target};
use datastore::testing::Rng;

/// Mutations of each input; `CAPSTAN_FUZZ_ROUNDS` asks for more.
const ROUNDS: u64 = 300;

fn found(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(target.name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn what_was_found_stays_mended() {
    for target in TARGETS {
        for (path, input) in found(&target) {
            println!("{}", path.display());
            (target.run)(&input);
        }
    }
}

#[test]
fn seeds_and_their_mutations_are_survived() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds: u64 = number("CAPSTAN_FUZZ_ROUNDS").unwrap_or(ROUNDS);
    let seed: u64 = number("CAPSTAN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("replay with CAPSTAN_SEED={seed}");
    for target in TARGETS {
        let mut inputs = (target.seeds)();
        assert!(!inputs.is_empty());
        inputs.extend(found(&target).into_iter().map(|(_, input)| input));
        for (position, input) in inputs.iter().enumerate() {
            println!("{} input {position}", target.name);
            (target.run)(input);
            (target.run)(&[]);
            let mut random = Rng(seed ^ position as u64);
            for _ in 0..rounds.div_ceil(target.cost) {
                (target.run)(&mutated(&mut random, input));
            }
        }
    }
}
