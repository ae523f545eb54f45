//! Hostile archives, policies and selections. Whole trees are in `tests/round_trip.rs`.

use super::*;
use crate::Accessor;
use crate::Encoder;
use crate::exclude::{Effect, PatternList};
use crate::format::{ItemType, RawHeader};
use crate::metadata::Metadata;
use crate::monitor::{Silent, Warning};
use nix::unistd::{getegid, geteuid};
use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use zerocopy::IntoBytes;

fn own(mode: u32) -> Metadata {
    Metadata { uid: geteuid().as_raw(), gid: getegid().as_raw(), ..Metadata::with_mode(mode) }
}

fn archive(fill: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, &own(0o40755)).unwrap();
    fill(&mut encoder);
    encoder.finish().unwrap();
    out
}

fn add(encoder: &mut Encoder<&mut Vec<u8>>, name: &str, content: &str) {
    let size = content.len() as u64;
    let metadata = own(0o100_644);
    encoder.add_file(name.as_bytes(), &metadata, size, &mut content.as_bytes()).unwrap();
}

fn run(bytes: &[u8], target: &Path, options: &Options) -> Result<Summary, Error> {
    extract(bytes, None, target, options, &Silent)
}

/// A folder with a target inside and a file beside it that no archive may touch.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("outside"), "precious").unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        fs::create_dir(folder.path().join("target")).unwrap();
        Self { folder }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    fn check_untouched(&self) {
        assert_eq!(fs::read_to_string(self.outside()).unwrap(), "precious");
        let metadata = fs::metadata(self.outside()).unwrap();
        assert_eq!(metadata.nlink(), 1);
        assert_eq!(fs::read_dir(self.folder.path().join("elsewhere")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 3);
    }
}

use std::path::PathBuf;

fn permissive() -> Options {
    Options {
        allow_existing_dirs: true,
        overwrite_files: true,
        overwrite_symlinks: true,
        overwrite_hardlinks: true,
        ..Options::default()
    }
}

/// Replace a string in an archive by one of the same length, past the encoder's checks.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut count = 0;
    for at in 0..=bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
            count += 1;
        }
    }
    assert!(count > 0);
    bytes
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (harmless, hostile) in
        [("XX", ".."), ("XX/outside", "../outside"), ("XXX", "../"), ("Xetc", "/etc"), ("X", ".")]
    {
        let place = Place::new();
        let name = harmless.replace('/', "_");
        let bytes = archive(|encoder| add(encoder, &name, "evil"));
        let bytes = patched(bytes, name.as_bytes(), hostile.as_bytes());
        let error = run(&bytes, &place.target(), &permissive()).unwrap_err();
        assert!(error.is_damaged(), "{error}");
        place.check_untouched();
    }
}

#[test]
fn hardlinks_that_lead_elsewhere_are_refused() {
    for hostile in ["../outside", "/outsideXX", "aa/../../o", "file.txt/.", "unknown.tx"] {
        let place = Place::new();
        let bytes = archive(|encoder| {
            let metadata = own(0o100_644);
            let link = encoder.add_file(b"file.txt", &metadata, 1, &mut &b"x"[..]).unwrap();
            encoder.add_hardlink(b"link", b"HARMLESS.X", link).unwrap();
        });
        let bytes = patched(bytes, b"HARMLESS.X", hostile.as_bytes());
        for options in [permissive(), Options::default()] {
            let target = place.target().join("t");
            let error = run(&bytes, &target, &options).unwrap_err();
            let is_refused = error.is_damaged() || matches!(error, Error::HardlinkTarget { .. });
            assert!(is_refused, "{hostile}: {error}");
            assert!(!target.join("link").exists());
            fs::remove_dir_all(target).unwrap();
        }
        place.check_untouched();
    }
}

#[test]
fn a_hardlink_may_only_name_what_was_created_here() {
    let place = Place::new();
    let bytes = archive(|encoder| {
        let metadata = own(0o100_644);
        let link = encoder.add_file(b"file", &metadata, 1, &mut &b"x"[..]).unwrap();
        // The offset is of a file that is created, the path of one that was there before.
        encoder.add_hardlink(b"link", b"foreign", link).unwrap();
    });
    fs::write(place.target().join("foreign"), "foreign").unwrap();
    let error = run(&bytes, &place.target(), &permissive()).unwrap_err();
    assert!(matches!(error, Error::HardlinkTarget { .. }), "{error}");
    assert_eq!(fs::metadata(place.target().join("foreign")).unwrap().nlink(), 1);
}

#[test]
fn a_symbolic_link_in_the_place_of_a_directory_is_not_followed() {
    // In the archive itself: a link to the outside, then a directory of the same name.
    let bytes = archive(|encoder| {
        encoder.add_symlink(b"d", &own(0o120_777), b"../elsewhere").unwrap();
        encoder.enter_directory(b"d", &own(0o40755)).unwrap();
        add(encoder, "evil", "evil");
        encoder.leave_directory().unwrap();
    });
    for options in [Options::default(), permissive()] {
        let place = Place::new();
        let error = run(&bytes, &place.target(), &options).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
        place.check_untouched();
    }
    // In the target, from before.
    let bytes = archive(|encoder| {
        encoder.enter_directory(b"d", &own(0o40755)).unwrap();
        add(encoder, "evil", "evil");
        encoder.leave_directory().unwrap();
    });
    let place = Place::new();
    symlink("../elsewhere", place.target().join("d")).unwrap();
    assert!(run(&bytes, &place.target(), &permissive()).is_err());
    let options = Options { on_error: OnError::Continue, ..permissive() };
    let summary = run(&bytes, &place.target(), &options).unwrap();
    assert_eq!((summary.failed, summary.files), (1, 0));
    place.check_untouched();
}

#[test]
fn files_are_never_written_through_what_is_there() {
    let bytes = archive(|encoder| add(encoder, "f", "new"));
    // A link to the outside.
    let place = Place::new();
    symlink("../outside", place.target().join("f")).unwrap();
    for options in [permissive(), Options::default()] {
        let error = run(&bytes, &place.target(), &options).unwrap_err();
        assert!(matches!(error, Error::Exists { found: "a symbolic link", .. }), "{error}");
        place.check_untouched();
    }
    // Another name of a file outside.
    let place = Place::new();
    fs::hard_link(place.outside(), place.target().join("f")).unwrap();
    run(&bytes, &place.target(), &permissive()).unwrap();
    assert_eq!(fs::read_to_string(place.target().join("f")).unwrap(), "new");
    place.check_untouched();
    // A pipe, at which an open would wait for ever.
    let place = Place::new();
    nix::unistd::mkfifo(&place.target().join("f"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(run(&bytes, &place.target(), &permissive()).is_err());
    // A file: only when asked.
    let place = Place::new();
    fs::write(place.target().join("f"), "older and longer").unwrap();
    assert!(run(&bytes, &place.target(), &Options::default()).is_err());
    assert_eq!(fs::read_to_string(place.target().join("f")).unwrap(), "older and longer");
    run(&bytes, &place.target(), &permissive()).unwrap();
    assert_eq!(fs::read_to_string(place.target().join("f")).unwrap(), "new");
}

#[test]
fn links_replace_what_is_there_only_when_asked_and_never_a_directory() {
    let bytes = archive(|encoder| {
        let metadata = own(0o100_644);
        let link = encoder.add_file(b"f", &metadata, 1, &mut &b"x"[..]).unwrap();
        encoder.add_hardlink(b"h", b"f", link).unwrap();
        encoder.add_symlink(b"s", &own(0o120_777), b"f").unwrap();
    });
    let place = Place::new();
    for name in ["h", "s"] {
        fs::write(place.target().join(name), "old").unwrap();
    }
    let options = Options { on_error: OnError::Continue, ..Options::default() };
    assert_eq!(run(&bytes, &place.target(), &options).unwrap().failed, 2);
    fs::remove_file(place.target().join("f")).unwrap();
    let summary = run(&bytes, &place.target(), &permissive()).unwrap();
    assert_eq!((summary.hardlinks, summary.symlinks), (1, 1));
    assert_eq!(fs::metadata(place.target().join("f")).unwrap().nlink(), 2);
    assert!(fs::symlink_metadata(place.target().join("s")).unwrap().is_symlink());

    let place = Place::new();
    for name in ["h", "s"] {
        fs::create_dir(place.target().join(name)).unwrap();
    }
    let options = Options { on_error: OnError::Continue, ..permissive() };
    assert_eq!(run(&bytes, &place.target(), &options).unwrap().failed, 2);
    assert!(place.target().join("h").is_dir() && place.target().join("s").is_dir());
}

#[test]
fn a_cut_archive_leaves_no_partial_file() {
    let bytes = archive(|encoder| {
        add(encoder, "whole", "abc");
        add(encoder, "cut", &"x".repeat(5000));
    });
    let place = Place::new();
    let cut = &bytes[..bytes.len() - 3000];
    for on_error in [OnError::Abort, OnError::Continue] {
        let target = place.target().join(format!("{on_error:?}"));
        let options = Options { on_error, ..Options::default() };
        let error = run(cut, &target, &options).unwrap_err();
        assert!(error.is_damaged(), "{error}");
        assert!(target.join("whole").exists() && !target.join("cut").exists());
    }
}

#[test]
fn error_policies() {
    let bytes = archive(|encoder| {
        add(encoder, "a", "1");
        add(encoder, "b", "2");
        encoder.enter_directory(b"d", &own(0o40755)).unwrap();
        add(encoder, "in", "3");
        encoder.leave_directory().unwrap();
        add(encoder, "z", "4");
    });
    let place = Place::new();
    fs::write(place.target().join("b"), "there").unwrap();
    fs::write(place.target().join("d"), "no directory").unwrap();
    assert!(run(&bytes, &place.target(), &Options::default()).is_err());
    assert!(!place.target().join("z").exists());

    struct Collect(RefCell<Vec<String>>);
    impl Monitor for Collect {
        fn warning(&self, warning: &Warning) {
            self.0.borrow_mut().push(warning.to_string());
        }
    }
    fs::remove_file(place.target().join("a")).unwrap();
    let monitor = Collect(RefCell::default());
    let options = Options { on_error: OnError::Continue, ..Options::default() };
    let summary = extract(&bytes[..], None, &place.target(), &options, &monitor).unwrap();
    assert_eq!((summary.failed, summary.files, summary.directories), (2, 2, 0));
    let warnings = monitor.0.into_inner();
    assert!(warnings[0].contains("/b") && warnings[1].contains("/d"), "{warnings:?}");
    assert_eq!(fs::read_to_string(place.target().join("z")).unwrap(), "4");
}

#[test]
fn aborting() {
    struct After(RefCell<u32>);
    impl Monitor for After {
        fn is_aborted(&self) -> bool {
            *self.0.borrow_mut() += 1;
            *self.0.borrow() > 3
        }
    }
    let bytes = archive(|encoder| (0..9).for_each(|i| add(encoder, &i.to_string(), "")));
    let place = Place::new();
    let options = Options { on_error: OnError::Continue, ..Options::default() };
    let monitor = After(RefCell::new(0));
    let error = extract(&bytes[..], None, &place.target(), &options, &monitor).unwrap_err();
    assert!(error.is_aborted());
}

fn selection_tree() -> Vec<u8> {
    archive(|encoder| {
        encoder.enter_directory(b"a", &own(0o40750)).unwrap();
        encoder.enter_directory(b"b", &own(0o40711)).unwrap();
        let metadata = own(0o100_640);
        let link = encoder.add_file(b"file", &metadata, 7, &mut &b"content"[..]).unwrap();
        add(encoder, "other", "other");
        encoder.leave_directory().unwrap();
        encoder.leave_directory().unwrap();
        encoder.enter_directory(b"c", &own(0o40755)).unwrap();
        encoder.add_hardlink(b"link", b"a/b/file", link).unwrap();
        encoder.add_hardlink(b"mlink", b"a/b/file", link).unwrap();
        encoder.leave_directory().unwrap();
        encoder.enter_directory(b"empty", &own(0o40755)).unwrap();
        encoder.leave_directory().unwrap();
    })
}

fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                pending.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn selections() {
    let bytes = selection_tree();
    for (patterns, expected) in [
        (vec!["file"], "a a/b a/b/file"),
        (vec!["/a"], "a a/b a/b/file a/b/other"),
        (vec!["/a", "!other"], "a a/b a/b/file"),
        (vec!["/c", "empty"], "c c/link c/mlink empty"),
        (vec!["/a", "!/a/b"], "a"),
        (vec!["/a/b/file", "/c"], "a a/b a/b/file c c/link c/mlink"),
        (vec!["nothing"], ""),
        (vec!["empty/"], "empty"),
    ] {
        let options = Options {
            patterns: PatternList::parse(&patterns, Effect::Include).unwrap(),
            on_error: OnError::Continue,
            ..Options::default()
        };
        let place = Place::new();
        let front = place.target().join("front");
        let summary = run(&bytes, &front, &options).unwrap();
        // From front to back a link whose file was not selected can't be made.
        let lost = !expected.contains("a/b/file") && expected.contains("c/link");
        let expected_front =
            if lost { expected.replace(" c/link c/mlink", "") } else { expected.into() };
        assert_eq!(names(&front).join(" "), expected_front, "{patterns:?}");
        assert_eq!(summary.failed, if lost { 2 } else { 0 });

        let random = place.target().join("random");
        let accessor = Accessor::open(bytes.clone()).unwrap();
        let summary = extract_selected(&accessor, &random, &options, &Silent).unwrap();
        assert_eq!(summary.failed, 0);
        assert_eq!(names(&random).join(" "), expected, "{patterns:?}");
        if expected.contains("c/link") {
            assert_eq!(fs::read_to_string(random.join("c/link")).unwrap(), "content");
            let metadata = fs::metadata(random.join("c/link")).unwrap();
            assert_eq!(metadata.mode() & 0o7777, 0o640);
            // All selected names are one file, whether its first name is among them or not.
            assert_eq!(metadata.ino(), fs::metadata(random.join("c/mlink")).unwrap().ino());
        }
        // Directories above a selected entry get their metadata too.
        for (directory, mode) in [("a", 0o750), ("a/b", 0o711)] {
            if front.join(directory).exists() {
                let found = fs::metadata(front.join(directory)).unwrap().mode() & 0o7777;
                assert_eq!(found, mode);
            }
        }
    }
}

#[test]
fn a_selection_leaves_an_existing_target_folder_alone() {
    let bytes = selection_tree();
    let place = Place::new();
    fs::set_permissions(place.target(), fs::Permissions::from_mode(0o701)).unwrap();
    let options = Options {
        patterns: PatternList::parse(["file"], Effect::Include).unwrap(),
        ..Options::default()
    };
    run(&bytes, &place.target(), &options).unwrap();
    assert_eq!(fs::metadata(place.target()).unwrap().mode() & 0o7777, 0o701);
}

#[test]
fn kinds_can_be_left_out() {
    let bytes = archive(|encoder| {
        encoder.add_fifo(b"fifo", &own(0o10666)).unwrap();
        encoder.add_socket(b"socket", &own(0o140_755)).unwrap();
        encoder.add_device(b"null", &own(0o20666), 1, 3).unwrap();
    });
    let place = Place::new();
    let options = Options { device_nodes: false, ..Options::default() };
    run(&bytes, &place.target(), &options).unwrap();
    let fifo = fs::symlink_metadata(place.target().join("fifo")).unwrap();
    assert!(fifo.file_type().is_fifo());
    assert_eq!(fifo.mode() & 0o7777, 0o666, "whatever the umask");
    assert!(!place.target().join("null").exists());
    let target = place.target().join("second");
    let options = Options { fifos: false, sockets: false, device_nodes: false, ..options };
    assert_eq!(run(&bytes, &target, &options).unwrap(), Summary::default());
}

#[test]
fn setuid_is_not_given_to_the_wrong_owner() {
    let bytes = archive(|encoder| {
        let metadata = Metadata { uid: 4242, gid: 4243, ..own(0o106_755) };
        encoder.add_file(b"f", &metadata, 0, &mut io::empty()).unwrap();
    });
    let place = Place::new();
    let options = Options { ownership: false, ..Options::default() };
    run(&bytes, &place.target(), &options).unwrap();
    let metadata = fs::metadata(place.target().join("f")).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (geteuid().as_raw(), 0o755));
    if geteuid().is_root() {
        let target = place.target().join("owned");
        run(&bytes, &target, &Options::default()).unwrap();
        let metadata = fs::metadata(target.join("f")).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (4242, 0o6755));
    }
}

#[test]
fn an_inherited_acl_is_removed() {
    let place = Place::new();
    let acl = hex::decode(concat!(
        "02000000",
        "01000700ffffffff",
        "02000700e8030000",
        "04000500ffffffff",
        "10000700ffffffff",
        "20000000ffffffff",
    ))
    .unwrap();
    if xattr::set(place.target(), "system.posix_acl_default", &acl).is_err() {
        eprintln!("skipped: no ACLs on this file system");
        return;
    }
    run(&selection_tree(), &place.target(), &Options::default()).unwrap();
    for name in names(&place.target()) {
        let path = place.target().join(name);
        for acl in ["system.posix_acl_access", "system.posix_acl_default"] {
            assert_eq!(xattr::get(&path, acl).unwrap_or(None), None, "{path:?}");
        }
    }
    assert_eq!(fs::metadata(place.target().join("a/b/file")).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn split_archives_need_their_payload() {
    let (mut bytes, mut payload) = (Vec::new(), Vec::new());
    let mut encoder = Encoder::split(&mut bytes, &mut payload, None, &own(0o40755)).unwrap();
    encoder.flush().unwrap();
    // Leftovers between the contents, and a file whose content was there already.
    encoder.skip_payload(16 + 5).unwrap();
    encoder.add_file_reference(b"a", &own(0o100_644), 16, 5).unwrap();
    encoder.skip_payload(100).unwrap();
    encoder.add_file(b"b", &own(0o100_644), 3, &mut &b"new"[..]).unwrap();
    encoder.finish().unwrap();
    let injected = [RawHeader::new(ItemType::Payload, 5).as_bytes(), b"older", &[9; 100]].concat();
    payload.splice(16..16, injected);

    let place = Place::new();
    assert!(run(&bytes, &place.target(), &Options::default()).is_err());
    let options = Options::default();
    extract(&bytes[..], Some(&mut &payload[..]), &place.target(), &options, &Silent).unwrap();
    assert_eq!(fs::read_to_string(place.target().join("a")).unwrap(), "older");
    assert_eq!(fs::read_to_string(place.target().join("b")).unwrap(), "new");
    let accessor = Accessor::open_split(bytes, payload).unwrap();
    for (name, text) in [("/a", "older"), ("b", "new")] {
        let entry = accessor.lookup(name.as_bytes()).unwrap().unwrap();
        let mut content = String::new();
        accessor.content(&entry).unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, text);
    }
}
