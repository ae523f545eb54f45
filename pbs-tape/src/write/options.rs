//! What a job is asked to do.

use datastore::Namespace;

use super::feed::{BufferSize, ChunkOrder};
use super::filters::GroupFilter;
use crate::loader::MediaWait;

/// A buffer of automatic size becomes no larger than this, and than a quarter of the memory that is available now.
const BUFFER_BYTES_MAX: u64 = 4 << 30;
/// And no smaller than this.
const BUFFER_BYTES_MIN: u64 = 128 << 20;

/// What is backed up, and how.
#[derive(Debug, Clone)]
pub struct TapeBackupOptions {
    /// Name under which the datastore's chunks and snapshots are known on tape. Renaming a
    /// datastore means a full copy.
    pub store_name: String,
    /// Where to start.
    pub namespace: Namespace,
    /// How many levels of namespaces below it; `None` = all.
    pub max_depth: Option<usize>,
    /// Only the newest snapshot of each group.
    pub latest_only: bool,
    /// Which groups; none = all.
    pub group_filters: Vec<GroupFilter>,
    /// Begin a new media set in any case.
    pub force_media_set: bool,
    /// Eject the tape at the end.
    pub eject_media: bool,
    /// Put the whole set into import/export slots at the end.
    pub export_media_set: bool,
    /// In which order chunks are read.
    pub chunk_order: ChunkOrder,
    /// How many chunks are read at once; `None`: as many as pay, by measurement.
    pub readers: Option<usize>,
    /// How many bytes of chunks are held between disk and drive.
    pub buffer: BufferSize,
    /// With several drives: how many bytes the job has written before a further one takes a tape; `None`: at once in a new set, else
    /// when it is worth a tape.
    pub join_after_bytes: Option<u64>,
    /// How long to wait for tapes that have to be brought.
    pub wait: MediaWait,
    /// Names of all configured changers, to tell tapes that are in none any more.
    pub changers: Vec<String>,
}

impl TapeBackupOptions {
    /// Everything in the datastore, with the defaults.
    pub fn new(store_name: &str) -> TapeBackupOptions {
        TapeBackupOptions {
            store_name: store_name.to_string(),
            namespace: Namespace::root(),
            max_depth: None,
            latest_only: false,
            group_filters: Vec::new(),
            force_media_set: false,
            eject_media: false,
            export_media_set: false,
            chunk_order: ChunkOrder::default(),
            readers: None,
            buffer: BufferSize::UpTo(buffer_bytes_max()),
            join_after_bytes: None,
            wait: MediaWait::NONE,
            changers: Vec::new(),
        }
    }

    /// Whether the job can meet namespaces; decides the version of its catalog archives.
    pub(super) fn with_namespaces(&self) -> bool {
        !self.namespace.is_root() || self.max_depth != Some(0)
    }
}

/// The limit of a buffer of automatic size on this machine now.
pub fn buffer_bytes_max() -> u64 {
    buffer_limit(std::fs::read_to_string("/proc/meminfo").ok().as_deref())
}

/// The limit for a machine with this `/proc/meminfo`.
fn buffer_limit(meminfo: Option<&str>) -> u64 {
    let available_kib = meminfo
        .into_iter()
        .flat_map(str::lines)
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    let quarter = available_kib.map_or(BUFFER_BYTES_MIN, |kib| kib.saturating_mul(1024) / 4);
    quarter.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_limited_by_the_memory_available() {
        let meminfo =
            |kib: u64| format!("MemTotal: 1 kB\nMemAvailable:   {kib} kB\nBuffers: 7 kB\n");
        assert_eq!(buffer_limit(Some(&meminfo(8 << 20))), 2 << 30);
        assert_eq!(buffer_limit(Some(&meminfo(64 << 20))), 4 << 30);
        assert_eq!(buffer_limit(Some(&meminfo(1))), 128 << 20);
        for unknown in [None, Some("MemAvailable: much"), Some("")] {
            assert_eq!(buffer_limit(unknown), 128 << 20);
        }
    }
}
