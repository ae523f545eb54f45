//! What a plan says is what a restore does.

use super::*;

fn plan(set: &mut Set, options: &RestoreOptions, read_tapes: bool) -> RestorePlan {
    let loader: Option<&mut dyn MediaLoader> = match read_tapes {
        true => Some(&mut set.library),
        false => None,
    };
    plan_restore(&set.world.state, loader, options, &Silent).unwrap()
}

fn texts(plan: &RestorePlan, needed: Needed) -> Vec<String> {
    let tapes = plan.tapes.iter().filter(|tape| tape.needed == needed);
    tapes.map(|tape| tape.label_text.clone()).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// Every name below a folder.
fn names(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn the_plan_of_a_whole_set_names_what_a_restore_then_reads() {
    let mut set = written();
    let target = set.target();
    let options = set.options(&target, &[]);
    let before = names(target.base());
    let planned = plan(&mut set, &options, false);
    assert_eq!(names(target.base()), before, "a plan writes nothing");
    assert!(planned.exact && planned.unknown.is_empty());
    assert_eq!(texts(&planned, Needed::Yes), set.tapes);
    assert_eq!(planned.snapshots.len(), 3);
    assert_eq!(planned.snapshots[2].namespaces, ["x/y"]);
    assert_eq!(planned.snapshots[2].target, "target");
    assert_eq!(planned.tapes.iter().map(|tape| tape.snapshots).sum::<u64>(), 3);
    let report = set.restore(&target, &[]);
    let chunks = planned.tapes.iter().map(|tape| tape.chunks.unwrap()).sum::<u64>();
    assert_eq!(chunks, report.chunks + report.chunks_present);
    assert_eq!(sorted(report.tapes), set.tapes);
    // Nothing is left to do.
    let planned = plan(&mut set, &options, false);
    assert!(planned.exact && planned.tapes.is_empty() && planned.snapshots.is_empty());
    assert_eq!(planned.snapshots_skipped.len(), 3);
    assert_eq!(planned.snapshots_skipped[0].1, "it exists already");
}

#[test]
fn the_plan_for_chosen_snapshots_is_exact_once_their_archives_were_read() {
    for chosen in [&[0][..], &[1], &[2], &[0, 2]] {
        let mut set = written();
        let target = set.target();
        let options = set.options(&target, chosen);
        let rough = plan(&mut set, &options, false);
        assert!(!rough.exact, "{chosen:?}");
        assert!(!texts(&rough, Needed::Yes).is_empty());
        let before = names(target.base());
        let exact = plan(&mut set, &options, true);
        assert_eq!(names(target.base()), before, "a plan writes nothing");
        assert!(exact.exact && texts(&exact, Needed::Perhaps).is_empty(), "{exact:?}");
        let report = set.restore(&target, chosen);
        let read = sorted(report.tapes.clone());
        assert_eq!(sorted(texts(&exact, Needed::Yes)), read, "{chosen:?}");
        let all = sorted(rough.tapes.iter().map(|tape| tape.label_text.clone()).collect());
        assert!(read.iter().all(|text| all.contains(text)), "{chosen:?}");
        let chunks = exact.tapes.iter().map(|tape| tape.chunks.unwrap()).sum::<u64>();
        assert_eq!(chunks, report.chunks, "{chosen:?}");
        let bytes = exact.tapes.iter().map(|tape| tape.bytes.unwrap_or_default()).sum::<u64>();
        assert!(bytes >= 600_000 * chunks, "{chosen:?}: {bytes}");
    }
}

/// What can't be known is said, with the reason.
#[test]
fn a_plan_tells_what_it_does_not_know() {
    let mut set = written();
    let target = set.target();
    let first = {
        let inventory = crate::media::Inventory::load(&set.world.state).unwrap();
        inventory.find_by_label_text("T01").unwrap().unwrap().id.label.uuid
    };
    let mut options = set.options(&target, &[0, 2]);
    options.snapshots.push("main:host/a/2020-01-01T00:00:00Z".into());
    set.library.exported = set.tapes.clone();
    let planned = plan(&mut set, &options, true);
    assert!(!planned.exact);
    assert!(planned.unknown.iter().any(|told| told.contains("T01")), "{:?}", planned.unknown);
    assert_eq!(planned.snapshots_failed.len(), 1);
    assert!(planned.snapshots_failed[0].1.contains("none of the catalogs"));
    // Without its catalog a tape is needed whole, and how much that is nobody knows.
    MediaCatalog::destroy(&set.world.state, &first).unwrap();
    let whole = set.options(&target, &[]);
    let planned = plan(&mut set, &whole, false);
    assert!(!planned.exact && planned.unknown[0].contains("T01"), "{planned:?}");
    assert_eq!(texts(&planned, Needed::Yes), set.tapes);
    assert_eq!(planned.tapes[0].chunks, None);
    let options = RestoreOptions { media_set: Uuid::new_v4(), ..options };
    let error = plan_restore(&set.world.state, None, &options, &Silent).unwrap_err();
    assert!(error.is_missing());
}

/// A plan for the rest of an interrupted restore has only the rest.
#[test]
fn the_plan_after_an_interruption_has_only_what_is_lacking() {
    let mut set = written();
    let target = set.target();
    set.library.exported = vec![set.tapes[0].clone()];
    set.restore(&target, &[]);
    for chosen in [&[][..], &[0, 1, 2]] {
        let options = set.options(&target, chosen);
        let planned = plan(&mut set, &options, false);
        // The archive on that tape was not read yet; but the others have nothing more to give.
        assert_eq!(planned.exact, chosen.is_empty(), "{planned:?}");
        assert_eq!(texts(&planned, Needed::Yes), [set.tapes[0].clone()], "{chosen:?}");
        assert!(texts(&planned, Needed::Perhaps).is_empty(), "{planned:?}");
    }
}
