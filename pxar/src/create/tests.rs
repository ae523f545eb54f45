//! What gets into an archive and what does not. Whole trees are in `tests/round_trip.rs`.

use super::*;
use crate::catalog;
use crate::decoder::{Decoder, EntryKind, Event};
use crate::monitor::Silent;
use nix::unistd::geteuid;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[derive(Default)]
struct Log(RefCell<Vec<String>>);

impl Monitor for Log {
    fn warning(&self, warning: &Warning) {
        self.0.borrow_mut().push(warning.to_string());
    }
}

fn excluding(patterns: &[&str]) -> Options {
    let excludes = PatternList::parse(patterns, Effect::Exclude).unwrap();
    Options { excludes, ..Options::default() }
}

fn archive(source: &Path, options: &Options, monitor: &dyn Monitor) -> (Vec<u8>, Summary) {
    let mut out = Vec::new();
    let summary = create(source, &mut out, None, options, monitor).unwrap();
    assert_eq!(summary.sizes.archive_bytes, out.len() as u64);
    (out, summary)
}

/// Paths in the order of the archive, with the content of files.
fn contents(bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut decoder = Decoder::new(bytes).unwrap();
    let mut found = Vec::new();
    while let Some(event) = decoder.next_event().unwrap() {
        let Event::Entry(entry) = event else { continue };
        let path = String::from_utf8(decoder.path().to_vec()).unwrap();
        let mut content = Vec::new();
        decoder.content().read_to_end(&mut content).unwrap();
        found.push((path, matches!(entry.kind, EntryKind::File { .. }).then_some(content)));
    }
    found
}

fn paths(bytes: &[u8]) -> String {
    let paths: Vec<_> = contents(bytes).into_iter().skip(1).map(|(path, _)| path).collect();
    paths.join(" ")
}

/// A tree of empty files; names ending with a slash are directories, `=` gives content.
fn tree(entries: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in entries {
        let (name, content) = entry.split_once('=').unwrap_or((entry, ""));
        let path = folder.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
    folder
}

#[test]
fn names_are_sorted_by_bytes() {
    let folder =
        tree(&["b", "a", "a.x", "B", "ä", "a/", "ab/x"].map(|n| if n == "a/" { "c/" } else { n }));
    let (bytes, summary) = archive(folder.path(), &Options::default(), &Silent);
    assert_eq!(paths(&bytes), "/B /a /a.x /ab /ab/x /b /c /ä");
    assert_eq!((summary.directories, summary.files, summary.entries()), (2, 6, 8));
}

#[test]
fn excludes_of_the_user_are_obeyed_and_recorded() {
    let folder = tree(&["a.o", "keep.o", "x/a.o", "x/b", "lost+found/q", ".pxarexclude-cli=old"]);
    let options =
        Options { skip_lost_and_found: true, ..excluding(&["*.o", "!keep.o", "nothing/"]) };
    let mut out = Vec::new();
    let mut catalog = catalog::Writer::new(Vec::new()).unwrap();
    catalog::Sink::start_archive(&mut catalog, b"a").unwrap();
    create(folder.path(), &mut out, Some(&mut catalog), &options, &Silent).unwrap();
    catalog::Sink::end_archive(&mut catalog).unwrap();
    assert_eq!(paths(&out), "/keep.o /x /x/b /.pxarexclude-cli");
    let found = contents(&out);
    let recorded = "*.o\n!keep.o\nnothing/\nlost+found\n";
    assert_eq!(found.last().unwrap().1.as_deref(), Some(recorded.as_bytes()));
    let mut decoder = Decoder::new(&out[..]).unwrap();
    let mut last = None;
    while let Some(event) = decoder.next_event().unwrap() {
        if let Event::Entry(entry) = event {
            last = Some(entry.metadata);
        }
    }
    let last = last.unwrap();
    assert_eq!((last.mode, last.uid), (0o100_600, geteuid().as_raw()));
    assert_eq!((last.mtime.secs, last.mtime.nanos), (0, 0));
    let reader = catalog::Reader::open(catalog.finish().unwrap()).unwrap();
    let entry = reader.lookup(b"a/.pxarexclude-cli").unwrap();
    assert_eq!(entry.kind, CatalogKind::File { size: recorded.len() as u64, mtime: 0 });
    let (mut out, mut payload) = (Vec::new(), Vec::new());
    create_split(folder.path(), &mut out, &mut payload, &options, &Silent).unwrap();
    let decoder = Decoder::new(&out[..]).unwrap();
    let expected = r#"{"exclude-patterns":"*.o\n!keep.o\nnothing/\nlost+found\n"}"#;
    assert_eq!(decoder.prelude().unwrap(), expected.as_bytes());
    // Without excludes there is nothing to record.
    let (bytes, _) = archive(folder.path(), &Options::default(), &Silent);
    assert!(!paths(&bytes).contains("pxarexclude-cli"));
    let mut out = Vec::new();
    create_split(folder.path(), &mut out, &mut payload, &Options::default(), &Silent).unwrap();
    assert_eq!(Decoder::new(&out[..]).unwrap().prelude(), None);
}

#[test]
fn the_prelude_is_json() {
    let text = prelude(b"a\"b\\c\nd\te\x01\xff");
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(value["exclude-patterns"], "a\"b\\c\nd\te\u{1}\u{fffd}");
}

#[test]
fn exclude_files_hold_for_their_directory() {
    let folder = tree(&[
        ".pxarexclude=# comment\n\n  *.tmp \n/top\n!/d/keep.tmp\n[\n",
        "top",
        "x.tmp",
        "d/keep.tmp",
        "d/other.tmp",
        "d/top",
        "e/.pxarexclude=only-here\n!y.tmp\n",
        "e/only-here",
        "e/y.tmp",
        "e/f/only-here",
        "g/only-here",
        "g/y.tmp",
        "h/.pxarexclude/",
        "h/z",
    ]);
    let log = Log::default();
    let (bytes, _) = archive(folder.path(), &Options::default(), &log);
    let expected = "/.pxarexclude /d /d/keep.tmp /d/top /e /e/.pxarexclude /e/f /e/y.tmp /g \
                    /g/only-here /h /h/.pxarexclude /h/z";
    assert_eq!(paths(&bytes), expected);
    let warnings = log.0.into_inner();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("class"), "{warnings:?}");
    assert!(warnings[1].contains("not a regular file"), "{warnings:?}");
    // The user's patterns come first, so the files decide over them; or nobody asks the files.
    let (bytes, _) = archive(folder.path(), &excluding(&["keep.tmp", "y.tmp"]), &Silent);
    assert!(paths(&bytes).contains("/d/keep.tmp") && paths(&bytes).contains("/e/y.tmp"));
    let options = Options { exclude_files: false, ..Options::default() };
    let (bytes, _) = archive(folder.path(), &options, &Silent);
    assert!(paths(&bytes).contains("/x.tmp"));
}

#[test]
fn anchored_lines_below_the_root() {
    let folder = tree(&["d/.pxarexclude=/p\n", "d/p", "d/s/p", "p"]);
    let log = Log::default();
    let (bytes, _) = archive(folder.path(), &Options::default(), &log);
    assert_eq!(paths(&bytes), "/d /d/.pxarexclude /d/p /d/s /d/s/p /p", "as the reference does");
    assert!(log.0.into_inner()[0].contains("no effect below the root"));
    let options = Options { anchors_below_root: true, ..Options::default() };
    let (bytes, _) = archive(folder.path(), &options, &Silent);
    assert_eq!(paths(&bytes), "/d /d/.pxarexclude /d/s /d/s/p /p", "as it documents");
}

/// Does something when the work on a path begins, which is after its directory was read and before
/// it is opened.
struct At<F>(&'static str, F);

impl<F: Fn()> Monitor for At<F> {
    fn entry(&self, path: &[u8]) {
        if path == self.0.as_bytes() {
            self.1();
        }
    }
}

#[test]
fn what_vanishes_is_skipped_and_counted() {
    let folder = tree(&["a", "b", "c/", "d"]);
    let victim = folder.path().join("b");
    let (bytes, summary) = archive(
        folder.path(),
        &Options::default(),
        &At("/b", || fs::remove_file(&victim).unwrap()),
    );
    assert_eq!((paths(&bytes).as_str(), summary.skipped), ("/a /c /d", 1));
    // A directory that became a pipe must not make the archiver wait.
    let victim = folder.path().join("d");
    let swap = || {
        fs::remove_file(&victim).unwrap();
        nix::unistd::mkfifo(&victim, Mode::S_IRWXU).unwrap();
    };
    let (bytes, summary) = archive(folder.path(), &Options::default(), &At("/d", swap));
    assert_eq!((summary.specials, summary.skipped), (1, 0));
    assert_eq!(paths(&bytes), "/a /c /d");
    // A file that became a link is not followed.
    let victim = folder.path().join("a");
    let swap = || {
        fs::remove_file(&victim).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &victim).unwrap();
    };
    let (bytes, summary) = archive(folder.path(), &Options::default(), &At("/a", swap));
    assert_eq!((paths(&bytes).as_str(), summary.skipped), ("/c /d", 1));
}

#[test]
fn what_may_not_be_read_is_skipped_and_counted() {
    let folder = tree(&["a", "b/x", "c"]);
    for name in ["a", "b"] {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o0)).unwrap();
    }
    if geteuid().is_root() {
        eprintln!("skipped: root may read everything");
    } else {
        let log = Log::default();
        let (bytes, summary) = archive(folder.path(), &Options::default(), &log);
        assert_eq!((paths(&bytes).as_str(), summary.skipped), ("/c", 2));
        assert_eq!(log.0.borrow().len(), 2);
    }
    fs::set_permissions(folder.path().join("b"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn files_that_change_their_size() {
    let folder = tree(&["a=1234567890", "z"]);
    let file = folder.path().join("a");
    // The size is taken when the file is opened; what happens later is caught while copying. Two
    // MiB take more than one read, and the monitor is called in between.
    fs::write(&file, vec![7; 3 << 20]).unwrap();
    struct Once<F>(Cell<bool>, F, Log);
    impl<F: Fn()> Monitor for Once<F> {
        fn content(&self, _: u64) {
            if !self.0.replace(true) {
                self.1();
            }
        }
        fn warning(&self, warning: &Warning) {
            self.2.warning(warning);
        }
    }
    let set_len = |len: u64| {
        let file = &file;
        move || fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap()
    };
    let monitor = Once(Cell::new(false), set_len(2 << 20), Log::default());
    let (bytes, summary) = archive(folder.path(), &Options::default(), &monitor);
    let found: BTreeMap<_, _> = contents(&bytes).into_iter().collect();
    let content = found["/a"].as_ref().unwrap();
    assert_eq!((content.len(), summary.changed_files), (3 << 20, 1));
    assert!(
        content[..2 << 20].iter().all(|b| *b == 7) && content[2 << 20..].iter().all(|b| *b == 0)
    );
    assert!(monitor.2.0.borrow()[0].contains("1048576 bytes stored as zeros"));
    assert!(found.contains_key("/z"), "the archive goes on");

    fs::write(&file, vec![7; 3 << 20]).unwrap();
    let monitor = Once(Cell::new(false), set_len(5 << 20), Log::default());
    let (bytes, summary) = archive(folder.path(), &Options::default(), &monitor);
    let found: BTreeMap<_, _> = contents(&bytes).into_iter().collect();
    assert_eq!((found["/a"].as_ref().unwrap().len(), summary.changed_files), (3 << 20, 1));
    assert!(monitor.2.0.borrow()[0].contains("grew"));
}

#[test]
fn limits_and_refusals() {
    let folder = tree(&["a", "b", "c/d", "c/e", "f/g", "f/h"]);
    let options = Options { entries_max: 6, ..Options::default() };
    archive(folder.path(), &options, &Silent);
    let options = Options { entries_max: 5, ..Options::default() };
    let error = create(folder.path(), &mut Vec::new(), None, &options, &Silent).unwrap_err();
    assert!(matches!(error, Error::TooManyEntries { entries_max: 5, .. }), "{error}");
    let options = Options::default();
    let missing = folder.path().join("none");
    assert!(create(&missing, &mut Vec::new(), None, &options, &Silent).unwrap_err().is_missing());
    assert!(create(&folder.path().join("a"), &mut Vec::new(), None, &options, &Silent).is_err());
    let error = create(Path::new("/proc"), &mut Vec::new(), None, &options, &Silent).unwrap_err();
    assert!(matches!(error, Error::VirtualFileSystem { magic: 0x9fa0, .. }), "{error}");
    struct Stop;
    impl Monitor for Stop {
        fn is_aborted(&self) -> bool {
            true
        }
    }
    assert!(
        create(folder.path(), &mut Vec::new(), None, &options, &Stop).unwrap_err().is_aborted()
    );
}

#[test]
fn kinds_can_be_left_out() {
    let folder = tree(&["a"]);
    nix::unistd::mkfifo(&folder.path().join("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let (bytes, summary) = archive(folder.path(), &Options::default(), &Silent);
    assert_eq!((paths(&bytes).as_str(), summary.specials), ("/a /fifo /socket", 2));
    let options = Options { fifos: false, sockets: false, ..Options::default() };
    let (bytes, summary) = archive(folder.path(), &options, &Silent);
    assert_eq!((paths(&bytes).as_str(), summary.skipped), ("/a", 0));
}

#[test]
fn hardlinks_lead_to_the_first_name() {
    let folder = tree(&["d/first=x", "e/"]);
    fs::hard_link(folder.path().join("d/first"), folder.path().join("e/second")).unwrap();
    fs::hard_link(folder.path().join("d/first"), folder.path().join("z")).unwrap();
    let (bytes, summary) = archive(folder.path(), &Options::default(), &Silent);
    assert_eq!((summary.files, summary.hardlinks, summary.content_bytes), (1, 2, 1));
    let mut decoder = Decoder::new(&bytes[..]).unwrap();
    let mut targets = Vec::new();
    while let Some(event) = decoder.next_event().unwrap() {
        if let Event::Entry(crate::decoder::Entry {
            kind: EntryKind::Hardlink { target, .. },
            ..
        }) = event
        {
            targets.push(target);
        }
    }
    assert_eq!(targets, [b"d/first", b"d/first"]);
}

/// A file system mounted inside the tree: its directory is stored, its contents only on request.
#[test]
fn mount_points() {
    let folder = tree(&["a", "m/", "z"]);
    let point = folder.path().join("m");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "mode=0751", "capstan-test"])
        .arg(&point)
        .stderr(std::process::Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: needs the right to mount");
        return;
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(&self.0).status();
        }
    }
    let _unmount = Unmount(point.clone());
    fs::write(point.join("inside"), "x").unwrap();
    let device = fs::metadata(&point).unwrap().dev();
    assert_eq!(device_number(&point).unwrap(), device);
    let log = Log::default();
    let (bytes, summary) = archive(folder.path(), &Options::default(), &log);
    assert_eq!((paths(&bytes).as_str(), summary.mount_points), ("/a /m /z", 1));
    assert!(log.0.borrow()[0].starts_with("skipping mount point"));
    for file_systems in [FileSystems::All, FileSystems::Also(vec![device])] {
        let options = Options { file_systems, ..Options::default() };
        let (bytes, _) = archive(folder.path(), &options, &Silent);
        assert_eq!(paths(&bytes), "/a /m /m/inside /z");
    }
    let options = Options { file_systems: FileSystems::Also(vec![1]), ..Options::default() };
    let (bytes, _) = archive(folder.path(), &options, &Silent);
    assert_eq!(paths(&bytes), "/a /m /z");
}

#[test]
fn gates_of_file_systems() {
    let ext4 = Gates::of_magic(0xef53);
    assert!(ext4.xattrs && ext4.acls && ext4.fcaps && ext4.quota_project && !ext4.is_virtual());
    let tmpfs = Gates::of_magic(0x0102_1994);
    assert!(!tmpfs.xattrs && !tmpfs.is_virtual());
    assert!(Gates::of_magic(0x4d44).fat_attributes);
    assert!(Gates::of_magic(0x9fa0).is_virtual() && Gates::of_magic(0x6265_6572).is_virtual());
    assert!(!Gates::of_magic(0x9123_683e).quota_project);
}
