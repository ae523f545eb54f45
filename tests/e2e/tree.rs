//! Trees to back up.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::{Mode, SFlag};

use crate::world::{has_program, is_root, note};

/// A stream of bytes that looks random and is always the same (xorshift64*).
pub fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.max(1);
    let mut out = Vec::with_capacity(count + 8);
    while out.len() < count {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    out.truncate(count);
    out
}

/// Writes a file and the folders above it.
pub fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).unwrap();
    }
    fs::write(path, content).unwrap();
}

/// Sets the time of last change, of links too.
pub fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    use nix::sys::stat::{UtimensatFlags, utimensat};
    use nix::sys::time::TimeSpec;
    let time = TimeSpec::new(seconds, nanoseconds);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn setfacl(arguments: &[&str], path: &Path) {
    let status = Command::new("setfacl").args(arguments).arg(path).status().unwrap();
    if !status.success() {
        note("setfacl does not work here; access control lists are not tested");
    }
}

/// A tree with one of everything that the caller may make.
pub fn one_of_everything(root: &Path) {
    fs::create_dir_all(root).unwrap();
    let at = |name: &str| root.join(name);

    write(at("docs/hello.txt"), "hello world\n");
    write(at("docs/deep/er/zero-length"), "");
    write(at("docs/one-byte"), "x");
    // Several chunks of 4 MiB on average, and one file that is all zeros.
    write(at("large/random.bin"), bytes(11, 13_000_001));
    write(at("large/zeros.bin"), vec![0; 5_000_000]);
    fs::create_dir_all(at("empty")).unwrap();
    fs::create_dir_all(at("empty-outer/empty-inner")).unwrap();

    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(9_000_000).unwrap();
    sparse.write_all_at(b"middle", 4_500_000).unwrap();
    drop(sparse);

    fs::hard_link(at("docs/hello.txt"), at("docs/hello-again")).unwrap();
    fs::hard_link(at("docs/hello.txt"), at("a-hard-link")).unwrap();
    std::os::unix::fs::symlink("docs/hello.txt", at("link")).unwrap();
    std::os::unix::fs::symlink("/does/not/exist", at("link-dangling")).unwrap();
    std::os::unix::fs::symlink("t".repeat(1000), at("link-long")).unwrap();
    // No second name for a link: the archive format keeps such names only for files.

    nix::unistd::mkfifo(&at("fifo"), Mode::from_bits_truncate(0o640)).unwrap();
    // A path to a socket has at most 108 bytes, which a temporary folder may exceed.
    if UnixListener::bind(at("socket")).is_err() {
        note("no socket in the tree: its path is too long");
    }

    let names: [&[u8]; 8] = [
        b"new\nline",
        b"back\\slash",
        b" leading and trailing ",
        b"latin1-\xe4\xf6\xfc-\xff.txt",
        "ünïcödé-日本語-🎉".as_bytes(),
        b"-rf",
        b"*?[]{}!$'\"`;&|",
        &[b'n'; 255],
    ];
    for name in names {
        write(root.join("names").join(OsStr::from_bytes(name)), name);
    }

    for mode in [0o000, 0o400, 0o644, 0o755, 0o4755, 0o2755, 0o6755, 0o1644, 0o777] {
        // Without privileges a file that its owner may not read can't be backed up.
        if mode & 0o400 == 0 && !is_root() {
            continue;
        }
        let path = at(&format!("modes/{mode:04o}"));
        write(&path, format!("{mode:o}"));
        chmod(&path, mode);
    }
    fs::create_dir(at("sticky")).unwrap();
    chmod(&at("sticky"), 0o1777);
    fs::create_dir(at("setgid")).unwrap();
    chmod(&at("setgid"), 0o2775);

    write(at("attributes/file"), "with attributes");
    xattr::set(at("attributes/file"), "user.comment", b"some value").unwrap();
    xattr::set(at("attributes/file"), "user.binary", b"\x00\xff\x01\x02\x00").unwrap();
    xattr::set(at("attributes/file"), "user.empty", b"").unwrap();
    xattr::set(at("attributes/file"), "user.long", &[b'v'; 2000]).unwrap();
    xattr::set(at("attributes"), "user.on-a-folder", b"yes").unwrap();

    if has_program("setfacl") {
        write(at("acl/file"), "guarded");
        setfacl(&["-m", "u:1000:rw-,u:1001:r--,g:2000:r-x,m::rw-"], &at("acl/file"));
        fs::create_dir(at("acl/folder")).unwrap();
        setfacl(&["-m", "u:1000:rwx,g:2000:r-x"], &at("acl/folder"));
        setfacl(
            &["-d", "-m", "u::rwx,g::r-x,o::---,u:1000:rwx,g:2000:r-x,m::rwx"],
            &at("acl/folder"),
        );
        write(at("acl/folder/inherits"), "inherited");
    } else {
        note("setfacl is not installed; access control lists are not tested");
    }

    if is_root() {
        make_what_root_may(root);
    }
    // What lies in a folder changes its time: the folders come last, the deepest first.
    set_mtime(&at("docs/one-byte"), -1_500_000_000, 123_456_789);
    set_mtime(&at("docs/deep/er/zero-length"), 0, 0);
    set_mtime(&at("modes/0644"), 4_294_967_296, 5);
    set_mtime(&at("link"), 1_600_000_000, 999_999_999);
    set_mtime(&at("empty-outer/empty-inner"), 1, 1);
    set_mtime(&at("empty-outer"), 1_500_000_000, 7);
    set_mtime(root, 1_400_000_000, 42);
}

fn make_what_root_may(root: &Path) {
    let at = |name: &str| root.join(name);
    let device = |name: &str, kind: SFlag, major: u64, minor: u64| {
        let number = nix::sys::stat::makedev(major, minor);
        let made = nix::sys::stat::mknod(&at(name), kind, Mode::from_bits_truncate(0o660), number);
        if made.is_err() {
            // Root of a container may be forbidden to.
            note("device nodes can't be made here; they are not tested");
        }
    };
    device("device-char", SFlag::S_IFCHR, 1, 3);
    device("device-block", SFlag::S_IFBLK, 8, 17);
    device("device-large-numbers", SFlag::S_IFCHR, 259, 1_048_575);
    write(at("owned"), "someone else's");
    nix::unistd::chown(&at("owned"), Some(4242.into()), Some(4343.into())).unwrap();
    nix::unistd::chown(&at("empty"), Some(65534.into()), Some(65534.into())).unwrap();
    nix::unistd::fchownat(
        nix::fcntl::AT_FDCWD,
        &at("link"),
        Some(4242.into()),
        Some(4343.into()),
        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .unwrap();
    let _ = xattr::set(at("attributes/file"), "trusted.md5", b"trusted");
    write(at("capable"), "a program");
    let capability =
        b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let _ = xattr::set(at("capable"), "security.capability", capability);
}
