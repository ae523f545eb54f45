//! The medium as a whole (SSC-5): FORMAT MEDIUM, ERASE(6), LOAD UNLOAD.

use super::{Cdb, opcode};

/// FORMAT MEDIUM into one partition (FORMAT field 0). Works at the beginning of the medium only.
pub const fn format_cdb(immediate: bool) -> Cdb {
    Cdb::new([opcode::FORMAT_MEDIUM, immediate as u8, 0, 0, 0, 0])
}

/// ERASE(6) from the present position: `long` wipes to the end of the tape, otherwise only the end
/// of data is set here.
pub const fn erase_cdb(long: bool, immediate: bool) -> Cdb {
    Cdb::new([opcode::ERASE_6, (immediate as u8) << 1 | long as u8, 0, 0, 0, 0])
}

/// LOAD UNLOAD without HOLD: threads the cartridge, or rewinds and ejects it.
pub const fn load_cdb(load: bool, immediate: bool) -> Cdb {
    Cdb::new([opcode::LOAD_UNLOAD, immediate as u8, 0, 0, load as u8, 0])
}

/// LOAD UNLOAD with LOAD and RETEN: winds the tape to its end and back.
pub const fn retension_cdb() -> Cdb {
    Cdb::new([opcode::LOAD_UNLOAD, 0, 0, 0, 0x03, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        assert_eq!(&*format_cdb(true), &[0x04, 1, 0, 0, 0, 0]);
        assert_eq!(&*erase_cdb(true, true), &[0x19, 3, 0, 0, 0, 0]);
        assert_eq!(&*erase_cdb(false, false), &[0x19, 0, 0, 0, 0, 0]);
        assert_eq!(&*load_cdb(true, false), &[0x1b, 0, 0, 0, 1, 0]);
        assert_eq!(&*load_cdb(false, false), &[0x1b, 0, 0, 0, 0, 0]);
        assert_eq!(&*retension_cdb(), &[0x1b, 0, 0, 0, 3, 0]);
    }
}
