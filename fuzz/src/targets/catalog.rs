//! A catalog of any bytes is walked to an end or refused, and no directory is entered twice.

use pxar::accessor::ReadAt;
use pxar::catalog::Reader;

struct Bytes<'a>(&'a [u8]);

impl ReadAt for Bytes<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

/// See the module.
pub fn run(data: &[u8]) {
    let Ok(catalog) = Reader::open(Bytes(data)) else { return };
    let mut entries = 0_usize;
    let _ = catalog.walk(&catalog.root(), &mut |found| {
        entries += 1;
        assert!(found.path.starts_with(b"/"));
        Ok(true)
    });
    // An entry takes two bytes at least, and each block is read once.
    assert!(entries <= data.len());
    let _ = catalog.lookup(b"/root.pxar.didx/a/b");
}
