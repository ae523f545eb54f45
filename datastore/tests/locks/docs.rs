//! The table in the docs and the tests are the same: a cell without a test, a test without a cell, and
//! a test that the docs name but that is not there all fail here.

use std::collections::BTreeSet;

use crate::table::CELLS;

/// The two-letter names of all operations, in the order of the docs.
const OPERATIONS: [&str; 11] = ["ri", "ci", "gm", "gs", "um", "fo", "pr", "bk", "ve", "ra", "rm"];

fn docs() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats/locks.md");
    std::fs::read_to_string(path).unwrap()
}

/// The first cells of all rows `` | `name` | … `` of the docs.
fn rows(docs: &str) -> Vec<(String, String)> {
    docs.lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            let (a, b) = name.split_once('_')?;
            let is_cell = OPERATIONS.contains(&a) && OPERATIONS.contains(&b);
            is_cell.then(|| (name.to_owned(), rest.trim_end_matches('|').trim().to_owned()))
        })
        .collect()
}

#[test]
fn every_pair_of_operations_is_a_cell() {
    let pairs: BTreeSet<String> = OPERATIONS
        .iter()
        .flat_map(|first| OPERATIONS.iter().map(move |second| format!("{first}_{second}")))
        .collect();
    let cells: BTreeSet<String> = CELLS.iter().map(|&cell| cell.to_owned()).collect();
    assert_eq!(cells, pairs);
    assert_eq!(CELLS.len(), 121, "each once");
}

#[test]
fn the_docs_have_the_cells_that_the_tests_have() {
    let docs = docs();
    let rows = rows(&docs);
    let named: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(named, CELLS);
    for (name, outcome) in &rows {
        assert!(!outcome.is_empty(), "{name} says nothing");
    }
}

/// Every other test of this program that the docs name is there, and the docs name all.
#[test]
fn the_docs_name_the_other_tests_too() {
    let docs = docs();
    let sources = [include_str!("races.rs"), include_str!("outside.rs")];
    let tests: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.split("#[test]\nfn ").skip(1))
        .filter_map(|rest| rest.split('(').next())
        .collect();
    assert!(tests.len() > 20, "{tests:?}");
    let missing: Vec<_> =
        tests.iter().filter(|test| !docs.contains(&format!("`{test}`"))).collect();
    assert!(missing.is_empty(), "not in docs/formats/locks.md: {missing:?}");
}
