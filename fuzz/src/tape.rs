//! A tape in memory, and its compact form as the input of a target.
//!
//! An input is a sequence of objects: a byte for the kind, four little-endian bytes for a length, and so many bytes.
//! A block is filled with zeros up to the length that blocks on tape have, so that a short input makes a long tape.

use pbs_tape::format::{BLOCK_BYTES, BlockRead, BlockSink, BlockSource, EarlyWarning};
use pbs_tape::{Result, drive};
use scsi::Sense;

const BLOCK: u8 = 0;
const FILEMARK: u8 = 1;
const UNREADABLE: u8 = 2;
/// More would only repeat what fewer show.
const OBJECTS_MAX: usize = 64;

#[derive(Clone, Copy)]
enum Object<'a> {
    Block(&'a [u8]),
    OddBlock(&'a [u8]),
    Filemark,
    Unreadable,
}

/// Reads an input as a tape.
pub struct InputTape<'a> {
    objects: Vec<Object<'a>>,
    next: usize,
}

impl<'a> InputTape<'a> {
    /// Any bytes are a tape.
    pub fn new(mut input: &'a [u8]) -> InputTape<'a> {
        let mut objects = Vec::new();
        while let Some((head, rest)) = input.split_first_chunk::<5>()
            && objects.len() < OBJECTS_MAX
        {
            let [kind, length @ ..] = *head;
            let length = (u32::from_le_bytes(length) as usize).min(rest.len()).min(BLOCK_BYTES);
            let (bytes, behind) = rest.split_at(length);
            input = behind;
            objects.push(match kind % 4 {
                BLOCK => Object::Block(bytes),
                FILEMARK => Object::Filemark,
                UNREADABLE => Object::Unreadable,
                // As long as it is here.
                _ => Object::OddBlock(bytes),
            });
        }
        InputTape { objects, next: 0 }
    }

    /// Objects in all.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// Goes behind the next filemark; false at the end of the tape.
    pub fn next_file(&mut self) -> bool {
        while let Some(object) = self.objects.get(self.next) {
            self.next += 1;
            if matches!(object, Object::Filemark) {
                return true;
            }
        }
        false
    }
}

impl BlockSource for InputTape<'_> {
    fn read_block(&mut self, buffer: &mut [u8]) -> Result<BlockRead> {
        let Some(object) = self.objects.get(self.next) else { return Ok(BlockRead::EndOfData) };
        let (content, bytes) = match object {
            Object::Block(content) => (content, BLOCK_BYTES),
            Object::OddBlock(content) => (content, content.len()),
            Object::Filemark => {
                self.next += 1;
                return Ok(BlockRead::Filemark);
            }
            Object::Unreadable => {
                return Err(drive::Error::Medium {
                    drive: "fuzz".into(),
                    doing: "reading",
                    sense: Sense::READ_ERROR,
                }
                .into());
            }
        };
        self.next += 1;
        // A shorter buffer gets the beginning, and is told the length.
        let (filled, rest) = buffer.split_at_mut(content.len().min(buffer.len()));
        filled.copy_from_slice(&content[..filled.len()]);
        rest.fill(0);
        Ok(BlockRead::Block { bytes })
    }

    fn pass_unreadable_block(&mut self) -> Result<()> {
        self.next += 1;
        Ok(())
    }
}

/// Writes tape files as an input.
#[derive(Default)]
pub struct TapeInput(pub Vec<u8>);

impl TapeInput {
    fn push(&mut self, kind: u8, content: &[u8]) {
        self.0.push(kind);
        self.0.extend((content.len() as u32).to_le_bytes());
        self.0.extend(content);
    }

    /// A block that the drive cannot read.
    pub fn push_unreadable(&mut self) {
        self.push(UNREADABLE, &[]);
    }
}

impl BlockSink for TapeInput {
    fn write_block(&mut self, block: &[u8]) -> Result<EarlyWarning> {
        let used = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.push(BLOCK, &block[..used]);
        Ok(false)
    }

    fn write_filemark(&mut self) -> Result<()> {
        self.push(FILEMARK, &[]);
        Ok(())
    }
}
