//! The `flags` word of an ENTRY: which of its bits mean which file attribute.
//!
//! The same numbering serves the reference's tools as a set of *features*; only the bits below,
//! inode flags (`chattr`) and FAT attributes, are ever stored. Unknown bits are ignored.

/// Inode flags in the kernel's numbering (`FS_IOC_GETFLAGS`) and the bit that stores each.
const CHATTR: [(u64, u32); 10] = [
    (0x1_0000, 0x20),           // append only
    (NOATIME, 0x80),            // no access times
    (COMPRESS, 0x4),            // compress
    (NOCOW, 0x80_0000),         // no copy on write
    (0x10_0000, 0x40),          // no dump
    (0x20_0000, 0x1_0000),      // directory updates are synchronous
    (0x40_0000, 0x10),          // immutable
    (0x80_0000, 0x8),           // synchronous
    (NOCOMP, 0x400),            // never compress
    (PROJINHERIT, 0x2000_0000), // children inherit the project id
];

/// FAT attributes in the kernel's numbering (`FAT_IOCTL_GET_ATTRIBUTES`) and their bits.
const FAT: [(u64, u32); 3] = [(0x2000, 0x02), (0x4000, 0x04), (0x8000, 0x20)];

const NOATIME: u64 = 0x2_0000;
const COMPRESS: u64 = 0x4_0000;
const NOCOW: u64 = 0x8_0000;
const NOCOMP: u64 = 0x100_0000;
const PROJINHERIT: u64 = 0x200_0000;

/// The stored bits that must be set on an empty file, because the file system only lets them act
/// on content written later (copy on write, compression) or because they change how writing itself
/// behaves.
pub const BEFORE_CONTENT: u64 = NOATIME | COMPRESS | NOCOW | NOCOMP | PROJINHERIT;

fn from_kernel(table: &[(u64, u32)], attributes: u32) -> u64 {
    table.iter().filter(|(_, fs)| attributes & fs != 0).fold(0, |bits, (bit, _)| bits | bit)
}

fn to_kernel(table: &[(u64, u32)], flags: u64) -> u32 {
    table.iter().filter(|(bit, _)| flags & bit != 0).fold(0, |attributes, (_, fs)| attributes | fs)
}

/// The stored bits of inode flags as the kernel reports them.
#[must_use]
pub fn from_chattr(attributes: u32) -> u64 {
    from_kernel(&CHATTR, attributes)
}

/// The kernel's inode flags of stored bits.
#[must_use]
pub fn to_chattr(flags: u64) -> u32 {
    to_kernel(&CHATTR, flags)
}

/// The stored bits of FAT attributes as the kernel reports them.
#[must_use]
pub fn from_fat(attributes: u32) -> u64 {
    from_kernel(&FAT, attributes)
}

/// The kernel's FAT attributes of stored bits.
#[must_use]
pub fn to_fat(flags: u64) -> u32 {
    to_kernel(&FAT, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_go_both_ways() {
        assert_eq!(from_chattr(0x40), 0x10_0000);
        assert_eq!(from_chattr(0x80), 0x2_0000);
        assert_eq!(from_chattr(0x80000), 0, "the extents flag of ext4 is not stored");
        for (bit, fs) in CHATTR {
            assert_eq!(from_chattr(fs), bit);
            assert_eq!(to_chattr(bit), fs);
        }
        for (bit, fs) in FAT {
            assert_eq!(from_fat(fs), bit);
            assert_eq!(to_fat(bit), fs);
        }
        assert_eq!(to_chattr(0xffff), 0);
        assert_eq!(to_chattr(1 << 63), 0);
    }
}
