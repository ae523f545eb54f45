//! A media catalog and its index may hold anything: each record that is taken is written again as it was, a catalog that
//! opens answers for each of its chunks, and a damaged index changes none of the answers.
//!
//! The first byte says with its bit 7 whether the log is the whole rest of the input or begins with a sound part that is
//! long enough for an index, and below that how many bytes of the index are damaged: three bytes each, the
//! place in little-endian order and what is flipped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use datastore::Digest;
use pbs_tape::media::catalog::check_catalog_stream;
use pbs_tape::media::catalog::record::{DecodeError, Record};
use pbs_tape::media::{MediaCatalog, StateDir};

use crate::seeds::{catalog_log, catalog_media};

/// Chunks of the sound part: enough that a catalog among many makes an index.
const CHUNKS: u16 = 2_100;
/// A catalog among so many gets little memory and so makes an index early.
const TAPES: usize = 1 << 20;

static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| catalog_log(CHUNKS));

/// See the module.
pub fn run(data: &[u8]) {
    let Some((flags, rest)) = data.split_first() else { return };
    let (damage, rest) = rest.split_at((usize::from(flags & 0x7f) * 3).min(rest.len()));
    let sound: &[u8] = if flags & 0x80 == 0 { &SOUND } else { &[] };
    let log = [sound, rest].concat();
    records(log.get(8..).unwrap_or_default());
    let media = catalog_media();
    let is_whole = check_catalog_stream(&mut &log[..], Path::new("fuzz"), &media).is_ok();

    let folder = crate::memory_folder();
    let state = StateDir::open(folder.path()).unwrap();
    let index_file = state.catalog_index_file(&media.label.uuid);
    std::fs::write(state.catalog_file(&media.label.uuid), log).unwrap();
    let plain = MediaCatalog::load(&state, &media).ok().map(|catalog| answers(&catalog).unwrap());
    assert!(!is_whole || plain.is_some(), "a whole catalog cannot be opened");
    let indexed = || {
        let catalog = MediaCatalog::load_one_of(&state, &media, TAPES).ok()?;
        // A damaged block may be met only now.
        Some(answers(&catalog))
    };
    assert_eq!(indexed(), plain.clone().map(Some));
    let Ok(mut index) = std::fs::read(&index_file) else { return };
    for byte in damage.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([byte[0], byte[1]])) % index.len();
        index[at] ^= byte[2];
    }
    std::fs::write(&index_file, index).unwrap();
    let found = indexed();
    assert!(
        found == plain.clone().map(Some) || found == Some(None),
        "a damaged index was believed"
    );
}

type Answers = BTreeMap<(String, Digest), u64>;

/// Where each chunk is, asked for one by one. `None` if the catalog turns out to be damaged.
fn answers(catalog: &MediaCatalog) -> Option<Answers> {
    let mut answers = Answers::new();
    for store in catalog.content().stores().keys() {
        let each = &mut |digest: &Digest, file: u64| {
            assert_eq!(answers.insert((store.clone(), *digest), file), None, "{digest} came twice");
        };
        catalog.each_chunk(store, each).ok()?;
    }
    for ((store, digest), file) in &answers {
        assert_eq!(catalog.chunk(store, digest).ok()?, Some(*file));
    }
    Some(answers)
}

fn records(mut bytes: &[u8]) {
    loop {
        match Record::decode(bytes) {
            Ok((record, used)) => {
                let mut again = Vec::new();
                record.encode(&mut again).unwrap();
                assert_eq!(Record::decode(&again), Ok((record, again.len())));
                bytes = &bytes[used..];
            }
            Err(DecodeError::Short { needed }) => {
                assert!(needed > bytes.len());
                return;
            }
            Err(DecodeError::Bad { .. }) => return,
        }
    }
}
