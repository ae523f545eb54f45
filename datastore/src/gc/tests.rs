//! The rules that are plain arithmetic; whole collections are in `tests/gc.rs`.

use super::*;

#[test]
fn the_cut_off_follows_the_clock_and_the_oldest_writer() {
    let s = 1_000_000_000;
    // (oldest writer, minutes, cut-off)
    let cases = [
        (s, 1445, s - 86_700),
        (s - 1, 1445, s - 86_700),
        (s - 86_700, 1445, s - 86_700),
        (s - 86_701, 1445, s - 86_701 - 300),
        (s - 2 * 86_400 - 7, 1445, s - 2 * 86_400 - 307),
        (s, 1, s - 60),
        (s - 60, 1, s - 60),
        (s - 61, 1, s - 361),
        (s, 2880, s - 172_800),
    ];
    for (oldest_writer, minutes, wanted) in cases {
        assert_eq!(min_atime(s, oldest_writer, minutes), wanted, "{oldest_writer} {minutes}");
    }
}
