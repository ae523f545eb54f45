//! What the file system under a file is, and what it can keep.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::statfs::fstatfs;

const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
const ZFS: u64 = 0x2fc1_2fc1;
const BTRFS: u64 = 0x9123_683e;
const TMPFS: u64 = 0x0102_1994;
const VFAT: u64 = 0x4d44;
const FUSE: u64 = 0x6573_5546;

/// File systems whose files are views of the running kernel, not data: never archived.
const VIRTUAL: [u64; 18] = [
    0x4249_4e4d, // binfmt_misc
    0x6367_7270, // cgroup2
    0x0027_e0eb, // cgroup
    0x6265_6570, // configfs
    0x6462_6720, // debugfs
    0x1cd1,      // devpts
    0xde5e_81e4, // efivarfs
    0x6573_5543, // fusectl
    0x9584_58f6, // hugetlbfs
    0x1980_0202, // mqueue
    0x6e66_7364, // nfsd
    0x9fa0,      // proc
    0x6165_676c, // pstore
    0x6759_6969, // rpc_pipefs
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x6265_6572, // sysfs
];

/// What is asked of files on one file system. A gate that the kernel answers with "not supported"
/// is closed for the rest of that file system, which also saves the calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gates {
    pub magic: u64,
    pub xattrs: bool,
    pub acls: bool,
    pub fcaps: bool,
    pub quota_project: bool,
    pub fat_attributes: bool,
    pub inode_flags: bool,
}

impl Gates {
    pub(super) fn of_magic(magic: u64) -> Self {
        let (xattrs, acls, fcaps, quota_project) = match magic {
            EXT4 | XFS | ZFS => (true, true, true, true),
            TMPFS => (false, true, false, false),
            VFAT => (false, false, false, false),
            FUSE => (true, false, false, false),
            BTRFS => (true, true, true, false),
            _ => (true, true, true, false),
        };
        let fat_attributes = matches!(magic, VFAT | FUSE);
        Self { magic, xattrs, acls, fcaps, quota_project, fat_attributes, inode_flags: true }
    }

    pub(super) fn is_virtual(&self) -> bool {
        VIRTUAL.contains(&self.magic)
    }
}

/// Magic number of the file system a file is on.
pub(super) fn magic(fd: impl AsFd) -> Result<u64, Errno> {
    let kind = fstatfs(fd)?.filesystem_type();
    // The kernel's field is signed on some architectures; the numbers have 32 bits.
    Ok(kind.0 as u64 & 0xffff_ffff)
}
