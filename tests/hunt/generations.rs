//! Data that changes a little from one backup to the next, and can be made again to compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use datastore::testing::Rng;

/// Files of a tree by name.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// Random numbers for one purpose: equal parts give equal numbers.
pub fn random_of(parts: &[u64]) -> Rng {
    let mut random = Rng(0);
    for part in parts {
        random.0 = random.next_u64() ^ part.wrapping_mul(0xff51_afd7_ed55_8ccd);
    }
    random
}

fn random_bytes(random: &mut Rng, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// The seed of a run: given, or new; printed either way.
pub fn seed() -> u64 {
    let given = std::env::var("CAPSTAN_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_nanos() as u64 % 1_000_000_007
    });
    eprintln!("repeat with CAPSTAN_SEED={seed}");
    seed
}

/// A number from the environment, or a default.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Generation `generation` of the data of `client`: files of random lengths, most of them unchanged
/// since the generation before, one that grows at its front, and one that all clients share.
pub fn tree(seed: u64, client: u64, generation: u64) -> Tree {
    let mut tree = Tree::new();
    for file in 0..4_u64 {
        let mut shape = random_of(&[seed, client, file]);
        let len = 20_000 + shape.below(300_000);
        let mut content = random_bytes(&mut shape, len);
        // Each file changes at its own pace.
        let version = generation / (1 + shape.below(4) as u64);
        for change in version.saturating_sub(3)..=version {
            let mut change = random_of(&[seed, client, file, change]);
            let at = change.below(len);
            let patch = 1 + change.below(20_000);
            let patch = random_bytes(&mut change, patch.min(len - at));
            content[at..at + patch.len()].copy_from_slice(&patch);
        }
        tree.insert(format!("file-{file}"), content);
    }
    let mut front =
        random_bytes(&mut random_of(&[seed, client, 100, generation]), 100 + generation as usize);
    front.extend(random_bytes(&mut random_of(&[seed, client, 101]), 150_000));
    tree.insert("grows".into(), front);
    tree.insert("shared".into(), random_bytes(&mut random_of(&[seed, generation / 3]), 200_000));
    tree.insert("generation".into(), format!("{client} {generation}\n").into_bytes());
    tree
}

/// Writes a tree in the place of what was there.
pub fn write(folder: &Path, tree: &Tree) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    for (name, content) in tree {
        fs::write(folder.join(name), content).unwrap();
    }
}

/// Reads a tree.
pub fn read(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        tree.insert(name, fs::read(entry.path()).unwrap());
    }
    tree
}

/// True if two trees are the same; what differs is told.
pub fn same(expected: &Tree, found: &Tree) -> bool {
    for (name, content) in expected {
        match found.get(name) {
            None => eprintln!("{name} is missing"),
            Some(other) if other != content => {
                let at = content.iter().zip(other).position(|(left, right)| left != right);
                eprintln!(
                    "{name} differs from byte {at:?} on ({} bytes, expected {})",
                    other.len(),
                    content.len()
                );
            }
            Some(_) => {}
        }
    }
    expected == found
}
