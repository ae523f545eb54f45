//! A drive beside the simplest model of a tape, a list of objects: any sequence of commands gives the
//! same data, positions and sense on both.

use proptest::prelude::*;

use crate::host::*;

/// Answer of the model: key, ASC, ASCQ and INFORMATION.
type Told = Option<((u8, u8, u8), i64)>;

const MARK: (u8, u8, u8) = (0, 0, 1);
const BEGIN: (u8, u8, u8) = (0, 0, 4);
const WARNING: (u8, u8, u8) = (0, 0, 2);
const END: (u8, u8, u8) = (8, 0, 5);
const FULL: (u8, u8, u8) = (0x0d, 0, 2);

const CAPACITY: u64 = MIB;
/// 5/16 of the tape lie behind early warning, as the format's page says.
const EARLY_WARNING: u64 = CAPACITY - CAPACITY / 16 * 5;

#[derive(Debug, Clone)]
enum Step {
    Write {
        seed: u64,
        length: usize,
    },
    Filemarks(u32),
    Read {
        length: u32,
        flags: u8,
    },
    SpaceBlocks(i32),
    SpaceFilemarks(i32),
    SpaceEnd,
    LocateObject(u64),
    LocateFile(u64),
    Rewind,
    Erase,
    Format,
    /// The program ends and another opens the drive.
    Reopen,
    /// The same, and the index is lost in between.
    LoseIndex,
    /// Out of the drive and in again.
    Remount,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u64>(), prop_oneof![1usize..300, Just(512), 1usize..200_000])
            .prop_map(|(seed, length)| Step::Write { seed, length }),
        4 => (0u32..4).prop_map(Step::Filemarks),
        6 => (prop_oneof![0u32..400, Just(512), Just(200_000)], prop_oneof![Just(0u8), Just(2)])
            .prop_map(|(length, flags)| Step::Read { length, flags }),
        3 => (-12i32..12).prop_map(Step::SpaceBlocks),
        3 => (-4i32..4).prop_map(Step::SpaceFilemarks),
        2 => Just(Step::SpaceEnd),
        2 => (0u64..20).prop_map(Step::LocateObject),
        2 => (0u64..6).prop_map(Step::LocateFile),
        1 => Just(Step::Rewind),
        1 => Just(Step::Erase),
        1 => Just(Step::Format),
        1 => Just(Step::Reopen),
        1 => Just(Step::LoseIndex),
        1 => Just(Step::Remount),
    ]
}

/// `None` is a filemark.
#[derive(Default)]
struct Model {
    objects: Vec<Option<Vec<u8>>>,
    position: usize,
}

impl Model {
    fn file(&self) -> u64 {
        self.objects[..self.position].iter().filter(|object| object.is_none()).count() as u64
    }

    fn bytes(&self) -> u64 {
        let before = &self.objects[..self.position];
        before.iter().flatten().map(|data| data.len() as u64).sum()
    }

    fn write(&mut self, data: Vec<u8>) -> Told {
        let length = data.len() as u64;
        if self.bytes() + length > CAPACITY {
            return Some((FULL, length as i64));
        }
        self.objects.truncate(self.position);
        self.objects.push(Some(data));
        self.position += 1;
        (self.bytes() >= EARLY_WARNING).then_some((WARNING, 0))
    }

    fn filemarks(&mut self, count: u32) -> Told {
        if count == 0 {
            return None;
        }
        self.objects.truncate(self.position);
        for _ in 0..count {
            self.objects.push(None);
            self.position += 1;
        }
        (self.bytes() >= EARLY_WARNING).then_some((WARNING, 0))
    }

    fn read(&mut self, length: u32, flags: u8) -> (Vec<u8>, Told) {
        if length == 0 {
            return (vec![], None);
        }
        let requested = i64::from(length);
        let Some(object) = self.objects.get(self.position) else {
            return (vec![], Some((END, requested)));
        };
        self.position += 1;
        let Some(data) = object else { return (vec![], Some((MARK, requested))) };
        let residual = requested - data.len() as i64;
        let told = (residual != 0 && flags & 2 == 0).then_some(((0, 0, 0), residual));
        (data[..data.len().min(length as usize)].to_vec(), told)
    }

    /// One object at a time, as slow as it can be.
    fn space(&mut self, marks: bool, count: i32) -> Told {
        let mut left = i64::from(count.unsigned_abs());
        while left > 0 {
            if count > 0 {
                let Some(object) = self.objects.get(self.position) else {
                    return Some((END, left));
                };
                let is_mark = object.is_none();
                self.position += 1;
                match (marks, is_mark) {
                    (true, true) | (false, false) => left -= 1,
                    (false, true) => return Some((MARK, left)),
                    (true, false) => {}
                }
            } else {
                let Some(previous) = self.position.checked_sub(1) else {
                    return Some((BEGIN, left));
                };
                let is_mark = self.objects[previous].is_none();
                self.position = previous;
                match (marks, is_mark) {
                    (true, true) | (false, false) => left -= 1,
                    (false, true) => return Some((MARK, left)),
                    (true, false) => {}
                }
            }
        }
        None
    }

    fn land(&mut self, found: Option<usize>) -> Told {
        self.position = found.unwrap_or(self.objects.len());
        found.is_none().then_some((END, 0))
    }

    fn locate_file(&mut self, file: u64) -> Told {
        let found = (0..=self.objects.len()).find(|position| {
            let marks = self.objects[..*position].iter().filter(|object| object.is_none()).count();
            marks as u64 == file
        });
        self.land(found)
    }
}

fn told(sense: Option<scsi::Sense>) -> Told {
    sense.map(|sense| (code(&sense), sense.information.unwrap_or(0)))
}

fn run(steps: Vec<Step>) {
    let rig = rig(CAPACITY);
    let mut drive = rig.loaded();
    let mut model = Model::default();
    for step in steps {
        match step.clone() {
            Step::Write { seed, length } => {
                let data = pattern(seed, length);
                assert_eq!(told(drive.write(&data)), model.write(data), "{step:?}");
            }
            Step::Filemarks(count) => {
                assert_eq!(told(drive.filemarks(count)), model.filemarks(count), "{step:?}");
            }
            Step::Read { length, flags } => {
                let (data, sense) = drive.read(flags, length, length as usize);
                let expected = model.read(length, flags);
                assert!(data == expected.0, "{step:?}: other data");
                assert_eq!(told(sense), expected.1, "{step:?}");
            }
            Step::SpaceBlocks(count) => {
                assert_eq!(told(drive.space(0, count)), model.space(false, count), "{step:?}");
            }
            Step::SpaceFilemarks(count) => {
                assert_eq!(told(drive.space(1, count)), model.space(true, count), "{step:?}");
            }
            Step::SpaceEnd => {
                assert_eq!(drive.space(3, 0), None);
                model.position = model.objects.len();
            }
            Step::LocateObject(object) => {
                let found = (object <= model.objects.len() as u64).then_some(object as usize);
                assert_eq!(told(drive.locate(0, object)), model.land(found), "{step:?}");
            }
            Step::LocateFile(file) => {
                assert_eq!(told(drive.locate(1, file)), model.locate_file(file), "{step:?}");
            }
            Step::Rewind => {
                drive.rewind();
                model.position = 0;
            }
            Step::Erase => {
                drive.good(&[0x19, 0, 0, 0, 0, 0]);
                model.objects.truncate(model.position);
            }
            Step::Format => {
                if model.position == 0 {
                    drive.good(&[0x04, 0, 0, 0, 0, 0]);
                    model.objects.clear();
                } else {
                    drive.fails(&[0x04, 0, 0, 0, 0, 0], (5, 0x3b, 0x0c));
                }
            }
            Step::Reopen => {
                drop(drive);
                drive = rig.drive(0);
            }
            Step::LoseIndex => {
                drop(drive);
                let index = rig.dir.path().join("cartridges/CAP001L8/partition0.index");
                std::fs::remove_file(index).unwrap();
                drive = rig.drive(0);
            }
            Step::Remount => {
                let mut changer = rig.changer();
                changer.good(&move_medium(256, 1024));
                changer.good(&move_medium(1024, 256));
                drive.fails(&[0; 6], (6, 0x28, 0));
                model.position = 0;
            }
        }
        assert_eq!(drive.position(), (model.position as u64, model.file()), "after {step:?}");
    }
    // All of it once more, from the beginning.
    drive.rewind();
    for object in &model.objects {
        let (data, sense) = drive.read_block(200_000);
        assert!(&data == object.as_ref().unwrap_or(&vec![]));
        assert_eq!(sense.is_some(), object.is_none());
    }
    assert_eq!(drive.read_block(1).1.map(|sense| code(&sense)), Some(END));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_drive_is_a_list_of_objects(steps in prop::collection::vec(step(), 1..60)) {
        run(steps);
    }

    /// No CDB makes a unit panic, whatever is in it.
    #[test]
    fn any_command_is_answered(cdbs in prop::collection::vec(
        (any::<[u8; 16]>(), any::<bool>(), 0usize..3), 1..60,
    )) {
        let rig = rig(MIB);
        let mut drive = rig.loaded();
        let mut changer = rig.changer();
        let mut buffer = vec![0u8; 70_000];
        for (cdb, to_changer, data) in cdbs {
            let length = match cdb[0] >> 5 { 0 => 6, 1 | 2 => 10, 4 => 16, _ => 12 };
            let data = match data {
                0 => scsi::Data::None,
                1 => scsi::Data::In(&mut buffer),
                _ => scsi::Data::Out(&buffer),
            };
            let host = if to_changer { &mut changer } else { &mut drive };
            // Many filemarks are legal, and slow to write.
            if cdb[0] == 0x10 && cdb[2] > 0 {
                continue;
            }
            host.send(&cdb[..length], data);
        }
    }
}
