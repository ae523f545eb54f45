//! A host: sends raw CDBs and keeps what comes back.

use std::time::Duration;

use scsi::{Data, Reply, Sense, Status, Transport};
use tempfile::TempDir;
use vtl::{Library, Options};

pub const BLOCK: usize = 256 * 1024;
pub const MIB: u64 = 1 << 20;

/// A library that goes away with its folder.
pub struct Rig {
    pub library: Library,
    pub dir: TempDir,
}

pub fn rig(capacity_bytes: u64) -> Rig {
    rig_with(&Options { capacity_bytes: Some(capacity_bytes), ..small() })
}

pub fn small() -> Options {
    Options {
        drives: 2,
        slots: 6,
        import_export: 2,
        cartridges: 4,
        capacity_bytes: Some(64 * MIB),
        ..Options::default()
    }
}

pub fn rig_with(options: &Options) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let library = Library::create(dir.path(), options).unwrap();
    Rig { library, dir }
}

impl Rig {
    pub fn drive(&self, number: u16) -> Host {
        Host(Box::new(self.library.drive(number).unwrap()))
    }

    pub fn changer(&self) -> Host {
        Host(Box::new(self.library.changer().unwrap()))
    }

    /// Drive 0 with the cartridge of slot 1, past its unit attentions.
    pub fn loaded(&self) -> Host {
        let mut changer = self.changer();
        changer.settle();
        changer.good(&move_medium(1024, 256));
        let mut drive = self.drive(0);
        drive.settle();
        drive
    }
}

pub fn move_medium(from: u16, to: u16) -> [u8; 12] {
    let [f1, f2] = from.to_be_bytes();
    let [t1, t2] = to.to_be_bytes();
    [0xa5, 0, 0, 0, f1, f2, t1, t2, 0, 0, 0, 0]
}

/// Content that tells blocks apart.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

pub struct Host(pub Box<dyn Transport>);

/// Key, ASC, ASCQ.
pub fn code(sense: &Sense) -> (u8, u8, u8) {
    (sense.key.to_byte(), sense.asc, sense.ascq)
}

impl Host {
    pub fn send(&mut self, cdb: &[u8], data: Data<'_>) -> Reply {
        self.0.execute(cdb, data, Duration::from_secs(60)).unwrap()
    }

    /// Takes unit attentions until none is left.
    pub fn settle(&mut self) {
        for _ in 0..8 {
            let reply = self.send(&[0; 6], Data::None);
            match reply.sense {
                Some(sense) if sense.is_unit_attention() => {}
                _ => return,
            }
        }
        panic!("unit attentions without end");
    }

    #[track_caller]
    pub fn good(&mut self, cdb: &[u8]) {
        let reply = self.send(cdb, Data::None);
        assert_eq!((reply.status, reply.sense), (Status::Good, None), "{cdb:02x?}");
    }

    /// Expects CHECK CONDITION and returns its sense.
    #[track_caller]
    pub fn check(&mut self, cdb: &[u8]) -> Sense {
        let reply = self.send(cdb, Data::None);
        assert_eq!(reply.status, Status::CheckCondition, "{cdb:02x?}");
        reply.sense.unwrap()
    }

    #[track_caller]
    pub fn fails(&mut self, cdb: &[u8], expected: (u8, u8, u8)) {
        assert_eq!(code(&self.check(cdb)), expected, "{cdb:02x?}");
    }

    #[track_caller]
    pub fn data_in(&mut self, cdb: &[u8], length: usize) -> Vec<u8> {
        let mut buffer = vec![0xee; length];
        let reply = self.send(cdb, Data::In(&mut buffer));
        assert_eq!((reply.status, reply.sense), (Status::Good, None), "{cdb:02x?}");
        assert!(buffer[reply.transferred..].iter().all(|byte| *byte == 0xee), "stale bytes");
        buffer.truncate(reply.transferred);
        buffer
    }

    #[track_caller]
    pub fn data_out(&mut self, cdb: &[u8], data: &[u8]) {
        let reply = self.send(cdb, Data::Out(data));
        assert_eq!((reply.status, reply.sense), (Status::Good, None), "{cdb:02x?}");
    }

    /// READ(6): data and sense.
    pub fn read(
        &mut self,
        flags: u8,
        length: u32,
        buffer_length: usize,
    ) -> (Vec<u8>, Option<Sense>) {
        let [_, a, b, c] = length.to_be_bytes();
        let mut buffer = vec![0xee; buffer_length];
        let reply = self.send(&[0x08, flags, a, b, c, 0], Data::In(&mut buffer));
        assert!(buffer[reply.transferred..].iter().all(|byte| *byte == 0xee), "stale bytes");
        buffer.truncate(reply.transferred);
        (buffer, reply.sense)
    }

    /// READ of one block with SILI, as PBS-like hosts do.
    pub fn read_block(&mut self, length: usize) -> (Vec<u8>, Option<Sense>) {
        self.read(0x02, length as u32, length)
    }

    /// WRITE(6) of one block.
    pub fn write(&mut self, data: &[u8]) -> Option<Sense> {
        let [_, a, b, c] = (data.len() as u32).to_be_bytes();
        self.send(&[0x0a, 0, a, b, c, 0], Data::Out(data)).sense
    }

    pub fn filemarks(&mut self, count: u32) -> Option<Sense> {
        let [_, a, b, c] = count.to_be_bytes();
        self.send(&[0x10, 0, a, b, c, 0], Data::None).sense
    }

    pub fn space(&mut self, code: u8, count: i32) -> Option<Sense> {
        let [_, a, b, c] = count.to_be_bytes();
        self.send(&[0x11, code, a, b, c, 0], Data::None).sense
    }

    pub fn locate(&mut self, kind: u8, to: u64) -> Option<Sense> {
        let mut cdb = vec![0x92, kind << 3, 0, 0];
        cdb.extend(to.to_be_bytes());
        cdb.extend([0; 4]);
        self.send(&cdb, Data::None).sense
    }

    pub fn rewind(&mut self) {
        self.good(&[0x01, 0, 0, 0, 0, 0]);
    }

    /// Object and file number.
    #[track_caller]
    pub fn position(&mut self) -> (u64, u64) {
        let reply = self.data_in(&[0x34, 0x06, 0, 0, 0, 0, 0, 0, 0, 0], 64);
        assert_eq!(reply.len(), 32);
        (
            u64::from_be_bytes(reply[8..16].try_into().unwrap()),
            u64::from_be_bytes(reply[16..24].try_into().unwrap()),
        )
    }

    /// Writes the tape of the examples: objects 0 1 block, 2 mark, 3–5 block, 6 7 marks, 8 block,
    /// end 9; every block is 1000 bytes times its number plus 1000.
    pub fn write_example(&mut self) {
        self.rewind();
        for object in 0..9u64 {
            match object {
                2 | 6 | 7 => assert_eq!(self.filemarks(1), None),
                _ => assert_eq!(self.write(&pattern(object, 1000 + 1000 * object as usize)), None),
            }
        }
        assert_eq!(self.position(), (9, 3));
    }
}
