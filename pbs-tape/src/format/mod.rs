//! The bytes on tape (`docs/formats/tape.md`): one module a structure, each the only one that knows
//! its offsets.
//!
//! ```text
//! tape   = file FM file FM file FM … end of data      (FM = one filemark)
//! file   = block+                                     (262144 bytes each)
//! stream = the payloads of a file's blocks, one after the other
//!        = content header + JSON header data + content
//! ```
//!
//! Readers are total: whatever a tape holds, they return an error that names the block or the
//! field; they never panic, loop without end or allocate what a length field asks for unchecked.

pub mod block;
pub mod catalog_archive;
pub mod chunk_archive;
pub mod header;
pub mod label;
pub mod snapshot_archive;

pub use block::{
    AlignedBlock, BLOCK_BYTES, BlockRead, BlockSink, BlockSource, EarlyWarning, Opened,
    StreamReader, StreamWriter,
};
pub use header::{ContentHeader, ContentKind};
