//! Random trees on a real file system: archived, restored, and the same again, in content and all
//! metadata; and read the same from front to back and at random.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use proptest::prelude::*;
use pxar::decoder::{Decoder, Event};
use pxar::{Accessor, EntryKind, Metadata, Silent, create, extract};

#[derive(Clone, Debug)]
enum Kind {
    File { content: Vec<u8>, sparse_tail: bool },
    Symlink(Vec<u8>),
    Hardlink(prop::sample::Index),
    Fifo,
    Device(u32, u32),
    Directory(BTreeMap<Vec<u8>, Node>),
}

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    mode: u32,
    mtime: (i64, u32),
    owner: (u32, u32),
    xattrs: BTreeMap<String, Vec<u8>>,
    has_acl: bool,
}

fn bytes_without(
    bad: &'static [u8],
    len: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(move |b| if bad.contains(&b) { b'x' } else { b });
    prop::collection::vec(byte, len)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[a-d]{1,3}".prop_map(String::into_bytes),
        2 => bytes_without(b"\0/", 1..12),
        1 => Just(vec![b'n'; 255]),
    ]
    .prop_filter("no file name", |name| name != b"." && name != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let content = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 1..300),
        (1_usize..20_000, any::<u8>()).prop_map(|(len, byte)| vec![byte & 1; len]),
    ];
    let leaf = prop_oneof![
        6 => (content, any::<bool>())
            .prop_map(|(content, sparse_tail)| Kind::File { content, sparse_tail }),
        2 => bytes_without(b"\0", 1..200).prop_map(Kind::Symlink),
        2 => any::<prop::sample::Index>().prop_map(Kind::Hardlink),
        1 => Just(Kind::Fifo),
        1 => (0_u32..0xfff, 0_u32..0xfffff).prop_map(|(a, b)| Kind::Device(a, b)),
    ];
    let with_metadata = |kind| {
        let xattrs = prop::collection::btree_map(
            "user\\.[a-c]{1,3}",
            prop::collection::vec(any::<u8>(), 0..40),
            0..3,
        );
        // Times that ext4 can hold, before 1970 too.
        let mtime = (-2_000_000_000_i64..4_000_000_000, 0_u32..1_000_000_000);
        (kind, 0_u32..0o10000, mtime, (0_u32..70_000, 0_u32..70_000), xattrs, any::<bool>())
            .prop_map(|(kind, mode, mtime, owner, xattrs, has_acl)| Node {
                kind,
                mode,
                mtime,
                owner,
                xattrs,
                has_acl,
            })
    };
    with_metadata(leaf.boxed()).prop_recursive(3, 24, 6, move |inner| {
        let children = prop::collection::btree_map(name(), inner, 0..6);
        with_metadata(children.prop_map(Kind::Directory).boxed())
    })
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Build a node; the files it made so far can become targets of hardlinks.
fn build(path: &Path, node: &Node, files: &mut Vec<PathBuf>) {
    match &node.kind {
        Kind::File { content, sparse_tail } => {
            fs::write(path, content).unwrap();
            if *sparse_tail {
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(content.len() as u64 + 5000).unwrap();
            }
            files.push(path.to_path_buf());
        }
        Kind::Hardlink(_) if files.is_empty() => return,
        Kind::Hardlink(index) => {
            fs::hard_link(index.get(files), path).unwrap();
            return;
        }
        Kind::Symlink(target) => symlink(OsStr::from_bytes(target), path).unwrap(),
        Kind::Fifo => nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        Kind::Device(..) if !is_root() => return,
        Kind::Device(major, minor) => {
            mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, libc_makedev(*major, *minor)).unwrap();
        }
        Kind::Directory(children) => {
            fs::create_dir(path).unwrap();
            for (name, child) in children {
                build(&path.join(OsStr::from_bytes(name)), child, files);
            }
        }
    }
    let is_link = matches!(node.kind, Kind::Symlink(_));
    if is_root() {
        std::os::unix::fs::lchown(path, Some(node.owner.0), Some(node.owner.1)).unwrap();
    }
    if matches!(node.kind, Kind::File { .. } | Kind::Directory(_)) {
        for (name, value) in &node.xattrs {
            xattr::set(path, name, value).unwrap();
        }
        if node.has_acl {
            // u::rwx,u:1000:r-x,g::r-x,m::rwx,o::r-x
            let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x05\0\xe8\x03\0\0\
                        \x04\0\x05\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff\
                        \x20\0\x05\0\xff\xff\xff\xff";
            xattr::set(path, "system.posix_acl_access", acl).unwrap();
            if matches!(node.kind, Kind::Directory(_)) {
                xattr::set(path, "system.posix_acl_default", acl).unwrap();
            }
        }
    }
    if !is_link {
        // Who is not root must still be able to read it.
        let mode = if is_root() { node.mode } else { node.mode & 0o1777 | 0o700 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    set_time(path, node.mtime);
}

fn libc_makedev(major: u32, minor: u32) -> u64 {
    nix::sys::stat::makedev(u64::from(major), u64::from(minor))
}

fn set_time(path: &Path, (secs, nanos): (i64, u32)) {
    let time = TimeSpec::new(secs, i64::from(nanos));
    let here = nix::fcntl::AT_FDCWD;
    utimensat(here, path, &TimeSpec::UTIME_OMIT, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

/// Everything that is to be equal, by path.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let mut text = format!(
            "{:o} {}:{} {}.{:09} rdev {}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.rdev(),
        );
        if kind.is_symlink() {
            text += &format!(" -> {:?}", fs::read_link(&path).unwrap());
        }
        if kind.is_file() {
            text += &format!(" {:?}", fs::read(&path).unwrap());
            if metadata.nlink() > 1 {
                let next = inodes.len();
                text += &format!(" link {}", inodes.entry(metadata.ino()).or_insert(next));
            }
        }
        if kind.is_file() || kind.is_dir() {
            let mut names: Vec<_> = xattr::list(&path).unwrap().collect();
            names.sort();
            for name in names {
                text += &format!(" {name:?}={:?}", xattr::get(&path, &name).unwrap());
            }
        }
        if kind.is_dir() {
            let mut children: Vec<_> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            children.sort();
            // In the same order on both sides, for the numbers of hardlinks.
            pending.extend(children.into_iter().rev());
        }
        found.insert(path.strip_prefix(root).unwrap().to_path_buf(), text);
    }
    found
}

type Listed = BTreeMap<Vec<u8>, (Metadata, EntryKind, Vec<u8>)>;

fn sequentially<R: Read, P: Read>(mut decoder: Decoder<R, P>) -> Listed {
    let mut found = BTreeMap::new();
    while let Some(event) = decoder.next_event().unwrap() {
        let Event::Entry(entry) = event else { continue };
        let mut content = Vec::new();
        decoder.content().read_to_end(&mut content).unwrap();
        found.insert(decoder.path().to_vec(), (entry.metadata, entry.kind, content));
    }
    found
}

fn at_random(accessor: &Accessor) -> Listed {
    let mut found = BTreeMap::new();
    let mut pending = vec![(b"".to_vec(), accessor.lookup(b"").unwrap().unwrap())];
    while let Some((path, entry)) = pending.pop() {
        let mut content = Vec::new();
        match &entry.kind {
            EntryKind::Directory => {
                let directory = accessor.open_directory(&entry).unwrap();
                for child in directory.entries() {
                    let child = child.unwrap();
                    assert_eq!(directory.lookup(&child.name).unwrap().unwrap(), child);
                    pending.push(([&path[..], b"/", &child.name].concat(), child));
                }
            }
            EntryKind::File { .. } => {
                accessor.content(&entry).unwrap().read_to_end(&mut content).unwrap();
            }
            EntryKind::Hardlink { target, .. } => {
                let followed = accessor.follow_hardlink(&entry).unwrap();
                assert_eq!(accessor.lookup(target).unwrap().unwrap(), followed);
            }
            _ => {}
        }
        let path = if path.is_empty() { b"/".to_vec() } else { path };
        found.insert(path, (entry.metadata, entry.kind, content));
    }
    found
}

fn check(tree: &BTreeMap<Vec<u8>, Node>, root_mtime: (i64, u32)) {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    fs::create_dir(&source).unwrap();
    let mut files = Vec::new();
    for (name, node) in tree {
        build(&source.join(OsStr::from_bytes(name)), node, &mut files);
    }
    set_time(&source, root_mtime);
    let expected = snapshot(&source);
    let options = create::Options::default();
    let restore = extract::Options::default();

    let mut unified = Vec::new();
    create::create(&source, &mut unified, None, &options, &Silent).unwrap();
    let target = place.path().join("unified");
    let summary = extract::extract(&unified[..], None, &target, &restore, &Silent).unwrap();
    assert_eq!(summary.entries() as usize + 1, expected.len());
    assert_eq!(snapshot(&target), expected);
    let accessor = Accessor::open(unified.clone()).unwrap();
    let listed = sequentially(Decoder::new(&unified[..]).unwrap());
    assert_eq!(at_random(&accessor), listed);
    let target = place.path().join("selected");
    extract::extract_selected(&accessor, &target, &restore, &Silent).unwrap();
    assert_eq!(snapshot(&target), expected);

    let (mut split, mut payload) = (Vec::new(), Vec::new());
    create::create_split(&source, &mut split, &mut payload, &options, &Silent).unwrap();
    let target = place.path().join("split");
    extract::extract(&split[..], Some(&mut &payload[..]), &target, &restore, &Silent).unwrap();
    assert_eq!(snapshot(&target), expected);
    let listed = sequentially(Decoder::split(&split[..], &payload[..]).unwrap());
    assert_eq!(at_random(&Accessor::open_split(split, payload).unwrap()), listed);

    // The restored tree gives the same archive.
    let mut again = Vec::new();
    create::create(&place.path().join("unified"), &mut again, None, &options, &Silent).unwrap();
    assert!(again == unified);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_trees(
        tree in prop::collection::btree_map(name(), node(), 0..8),
        root_mtime in (-1000_i64..1000, 0_u32..1_000_000_000),
    ) {
        check(&tree, root_mtime);
    }
}

fn plain(kind: Kind) -> Node {
    Node {
        kind,
        mode: 0o755,
        mtime: (-1, 500_000_000),
        owner: (0, 0),
        xattrs: BTreeMap::new(),
        has_acl: false,
    }
}

#[test]
fn extremes() {
    let file = |content: Vec<u8>| plain(Kind::File { content, sparse_tail: false });
    let mut tree = BTreeMap::from([
        (b"empty".to_vec(), file(Vec::new())),
        (b"empty-directory".to_vec(), plain(Kind::Directory(BTreeMap::new()))),
        (vec![b'n'; 255], file(b"x".to_vec())),
        // The longest that the kernel takes.
        (b"long-link".to_vec(), plain(Kind::Symlink(vec![b't'; 4095]))),
        (b"large".to_vec(), file((0..3_000_001_u32).map(|i| (i % 251) as u8).collect())),
    ]);
    let many = (0..3000).map(|i| (format!("{i}").into_bytes(), file(vec![b'x'; i % 7]))).collect();
    tree.insert(b"many".to_vec(), plain(Kind::Directory(many)));
    // Deep enough to need a path longer than the kernel's 4096 bytes.
    let mut deep = plain(Kind::Directory(BTreeMap::new()));
    for _ in 0..15 {
        deep = plain(Kind::Directory(BTreeMap::from([(vec![b'd'; 200], deep)])));
    }
    tree.insert(b"deep".to_vec(), deep);
    check(&tree, (0, 0));
}

/// What a file system may not take goes through encoder and decoder: device numbers of 32 bits, an
/// attribute of 65536 bytes, the longest names.
#[test]
fn limits_of_the_format() {
    let mut out = Vec::new();
    let mut encoder = pxar::Encoder::new(&mut out, &Metadata::directory(0o755)).unwrap();
    let device = Metadata::with_mode(0o60600);
    encoder.add_device(b"dev", &device, 0xabcd_1234, 0xdcba_5678).unwrap();
    let mut file = Metadata::regular(0o600);
    file.mtime = pxar::Timestamp { secs: -2_000_000_000_000, nanos: 999_999_999 };
    let name = b"user.name".to_vec();
    file.xattrs.push(pxar::metadata::Xattr { name, value: vec![0xaa; 65536] });
    file.quota_project_id = Some(u64::from(u32::MAX));
    file.fcaps = Some(vec![1; 20]);
    encoder.add_file(&[b'f'; 4096], &file, 0, &mut std::io::empty()).unwrap();
    let link = Metadata::with_mode(0o120_777);
    encoder.add_symlink(b"link", &link, &[b't'; 4096]).unwrap();
    encoder.finish().unwrap();
    let listed = sequentially(Decoder::new(&out[..]).unwrap());
    assert_eq!(at_random(&Accessor::open(out).unwrap()), listed);
    let kind = EntryKind::Device { major: 0xabcd_1234, minor: 0xdcba_5678 };
    assert_eq!(listed[&b"/dev"[..]].1, kind);
    assert_eq!(listed[&[b"/", &[b'f'; 4096][..]].concat()].0, file);
    assert_eq!(listed[&b"/link"[..]].1, EntryKind::Symlink { target: vec![b't'; 4096] });
}

/// Inode flags come back where the file system has them.
#[test]
fn inode_flags() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("f"), "x").unwrap();
    let chattr = |flags: &str, path: &Path| {
        let status = std::process::Command::new("chattr")
            .args([flags.as_ref(), path.as_os_str()])
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    if !chattr("+dA", &source.join("f")) || !chattr("+d", &source.join("d")) {
        eprintln!("skipped: no inode flags here");
        return;
    }
    let is_immutable = is_root() && chattr("+i", &source.join("f"));
    let mut archive = Vec::new();
    let options = create::Options::default();
    create::create(&source, &mut archive, None, &options, &Silent).unwrap();
    let target = place.path().join("target");
    let restore = extract::Options::default();
    extract::extract(&archive[..], None, &target, &restore, &Silent).unwrap();
    let mut again = Vec::new();
    create::create(&target, &mut again, None, &options, &Silent).unwrap();
    for folder in [&source, &target] {
        chattr("-i", &folder.join("f"));
    }
    assert!(again == archive);
    let listed = sequentially(Decoder::new(&archive[..]).unwrap());
    let immutable = if is_immutable { 0x40_0000 } else { 0 };
    assert_eq!(listed[&b"/f"[..]].0.flags, 0x10_0000 | 0x2_0000 | immutable);
    assert_eq!(listed[&b"/d"[..]].0.flags, 0x10_0000);
}
