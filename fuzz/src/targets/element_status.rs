//! Any reply of READ ELEMENT STATUS is decoded or refused, and what is decoded is bounded by what came.

use scsi::command::element::{build_status, parse_status};

/// See the module.
pub fn run(data: &[u8]) {
    let Ok(reply) = parse_status(data) else { return };
    let elements: usize = reply.pages.iter().map(|page| page.elements.len()).sum();
    assert!(elements * 12 <= data.len(), "{elements} elements in {} bytes", data.len());
    // What a changer would send for the same elements is read to the same.
    let again = build_status(&reply.pages, true, true);
    let again = parse_status(&again).unwrap();
    assert!(!again.is_cut);
}
