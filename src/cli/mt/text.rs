//! A drive's state in the words of `mt status`, for scripts that look for them.
//!
//! The layout is that of the mt-st program, whose lines scripts have searched for decades: `File number=`,
//! `block number=`, `Density code 0x`, and the names of the general status bits (`ONLINE`, `BOT`,
//! `WR_PROT`, `DR_OPEN`, `CLN`; `<linux/mtio.h>`).

use pbs_tape::drive::Status;

/// Bits of `mt_gstat` with their names, in the order in which mt prints them.
const BOT: (u32, &str) = (0x4000_0000, "BOT");
const WR_PROT: (u32, &str) = (0x0400_0000, "WR_PROT");
const ONLINE: (u32, &str) = (0x0100_0000, "ONLINE");
const DR_OPEN: (u32, &str) = (0x0004_0000, "DR_OPEN");
const IM_REP_EN: (u32, &str) = (0x0001_0000, "IM_REP_EN");
const CLN: (u32, &str) = (0x0000_8000, "CLN");

/// The text of `mt status`.
pub fn mt_status(status: &Status) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-1".into(), |n| n.to_string());
    // mt counts blocks within the file. The drive counts them over the whole tape, which is the same
    // in the first file only; elsewhere mt's word for "unknown" is -1.
    let block = status.block_number.filter(|_| status.file_number == Some(0));
    let density = status.density_code.unwrap_or(0);
    let name = status.density.as_deref().filter(|_| density != 0).unwrap_or("default");
    let mut bits = Vec::new();
    if status.block_number == Some(0) {
        bits.push(BOT);
    }
    if status.write_protect == Some(true) {
        bits.push(WR_PROT);
    }
    bits.push(if status.ready { ONLINE } else { DR_OPEN });
    if status.buffer_mode != 0 {
        bits.push(IM_REP_EN);
    }
    if status.cleaning_requested == Some(true) {
        bits.push(CLN);
    }
    let value = bits.iter().fold(0, |value, (bit, _)| value | bit);
    let names: Vec<&str> = bits.iter().map(|(_, name)| *name).collect();
    format!(
        "SCSI 2 tape drive:\n\
         File number={}, block number={}, partition=0.\n\
         Tape block size {} bytes. Density code {density:#x} ({name}).\n\
         Soft error count since last status=0\n\
         General status bits on ({value:x}):\n {}\n",
        number(status.file_number),
        number(block),
        status.blocksize,
        names.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_drive_at_the_beginning() {
        let status = Status {
            ready: true,
            file_number: Some(0),
            block_number: Some(0),
            buffer_mode: 1,
            density: Some("LTO8".into()),
            density_code: Some(0x5e),
            ..Status::default()
        };
        assert_eq!(
            mt_status(&status),
            "SCSI 2 tape drive:\nFile number=0, block number=0, partition=0.\n\
             Tape block size 0 bytes. Density code 0x5e (LTO8).\n\
             Soft error count since last status=0\nGeneral status bits on (41010000):\n \
             BOT ONLINE IM_REP_EN\n"
        );
        let elsewhere = Status {
            file_number: Some(2),
            block_number: Some(9),
            write_protect: Some(true),
            ..status
        };
        let text = mt_status(&elsewhere);
        assert!(text.contains("File number=2, block number=-1"), "{text}");
        assert!(text.contains("(5010000):\n WR_PROT ONLINE IM_REP_EN"), "{text}");
    }

    #[test]
    fn an_empty_drive() {
        let status = Status { cleaning_requested: Some(true), ..Status::default() };
        let text = mt_status(&status);
        assert!(text.contains("File number=-1, block number=-1"), "{text}");
        assert!(text.contains("DR_OPEN CLN") && !text.contains("ONLINE"), "{text}");
    }
}
