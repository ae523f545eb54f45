//! The machine room: an emulated library with two drives, a state folder, and one virtual clock for both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use changer::Changer;
use datastore::progress::Silent;
use pbs_tape::media::{Clock, StateDir};
use pbs_tape::operations::export::Library as Robot;
use pbs_tape::station::{ChangerConfig, DriveConfig, DriveStation, StationPatience};
use scsi::retry::{Backoff, Retrying};
use scsi::{Address, Connect, Data, Reply, Transport, VtlUnit};
use tempfile::TempDir;
use vtl::{ElementKind, Lane, Library, Options, Timing};

use crate::common::memory_folder;
use crate::power::{Power, Powered};

pub const DRIVES: u16 = 2;
pub const SLOTS: u16 = 24;
pub const MAIL_SLOTS: u16 = 6;
/// Name of the library in the inventory.
pub const CHANGER: &str = "lib0";
/// Of the LTO-8 cartridges for the daily jobs, so that a week takes eight of them or so.
pub const CAPACITY_BYTES: u64 = 8 << 20;
/// Of those for the monthly ones: a set is more than the mail slots take at once.
pub const MONTHLY_CAPACITY_BYTES: u64 = 6 << 20;

const MOVE_MEDIUM: u8 = 0xa5;
/// Element addresses of drives begin here, and those of slots.
const DRIVES_AT: u16 = 256;
const SLOTS_AT: u16 = 1024;

/// What the robot did.
#[derive(Debug, Default)]
pub struct Moves {
    pub all: AtomicU64,
    pub mounts: AtomicU64,
}

struct Counted<T> {
    unit: T,
    moves: Arc<Moves>,
}

impl<T: Transport> Transport for Counted<T> {
    fn execute(
        &mut self,
        cdb: &[u8],
        data: Data<'_>,
        wait: Duration,
    ) -> Result<Reply, scsi::Error> {
        let reply = self.unit.execute(cdb, data, wait)?;
        if cdb[0] == MOVE_MEDIUM && reply.sense.is_none() {
            let to = u16::from_be_bytes([cdb[6], cdb[7]]);
            self.moves.all.fetch_add(1, Ordering::Relaxed);
            let is_mount = (DRIVES_AT..SLOTS_AT).contains(&to);
            self.moves.mounts.fetch_add(is_mount.into(), Ordering::Relaxed);
        }
        Ok(reply)
    }

    fn name(&self) -> &str {
        self.unit.name()
    }
}

/// The way to the devices, for jobs in one course of time.
struct Way {
    library: Library,
    lane: Option<Lane>,
    power: Arc<Power>,
    moves: Arc<Moves>,
}

impl Connect for Way {
    fn connect(&self, address: &Address) -> Result<Box<dyn Transport>, scsi::Error> {
        let Address::Vtl { unit, .. } = address else { panic!("{address}") };
        let unit: Box<dyn Transport> = match (unit, &self.lane) {
            (VtlUnit::Drive(n), None) => Box::new(self.library.drive(*n).unwrap()),
            (VtlUnit::Drive(n), Some(lane)) => {
                Box::new(self.library.drive(*n).unwrap().in_lane(lane))
            }
            (VtlUnit::Changer, None) => Box::new(self.library.changer().unwrap()),
            (VtlUnit::Changer, Some(lane)) => {
                Box::new(self.library.changer().unwrap().in_lane(lane))
            }
        };
        let instant = Duration::from_nanos(1);
        let backoff = Backoff { first: instant, longest: instant, total: Duration::from_nanos(4) };
        let unit = Powered { unit, power: Arc::clone(&self.power) };
        let unit = Counted { unit, moves: Arc::clone(&self.moves) };
        Ok(Box::new(Retrying::with_backoff(unit, backoff)))
    }
}

pub struct House {
    _folder: TempDir,
    pub library: Library,
    pub dir: PathBuf,
    pub state: StateDir,
    pub power: Arc<Power>,
    pub moves: Arc<Moves>,
    /// When the library's clock began.
    began: i64,
}

impl House {
    /// An empty library.
    pub fn new(began: i64) -> House {
        let folder = memory_folder();
        let dir = folder.path().join("library");
        let options = Options {
            drives: DRIVES,
            slots: SLOTS,
            import_export: MAIL_SLOTS,
            cartridges: 0,
            capacity_bytes: Some(CAPACITY_BYTES),
            timing: Timing::Virtual,
            ..Options::default()
        };
        let library = Library::create(&dir, &options).unwrap();
        let clock = library.clone();
        let clock = Clock::told_by(move || began + clock.clock().now().as_secs() as i64);
        let state = StateDir::open(folder.path().join("state")).unwrap();
        let state = state.with_lock_wait(Duration::from_secs(60)).with_clock(clock);
        let power = Arc::new(Power::new(&folder));
        House { _folder: folder, library, dir, state, power, moves: Arc::default(), began }
    }

    /// What time it is.
    pub fn now(&self) -> i64 {
        self.state.now()
    }

    /// Nothing happens until then.
    pub fn sleep_until(&self, time: i64) {
        let clock = self.library.clock();
        let at = Duration::from_secs((time - self.began) as u64);
        clock.advance(at.saturating_sub(clock.now()));
    }

    /// A drive, locked. With a lane its job runs in a course of time of its own.
    pub fn station(&self, drive: u16, lane: Option<&Lane>) -> DriveStation {
        let address = |unit| Address::Vtl { dir: self.dir.clone(), unit };
        let config = DriveConfig {
            name: format!("lto{drive}"),
            address: address(VtlUnit::Drive(drive)),
            changer: Some(ChangerConfig {
                name: CHANGER.into(),
                address: address(VtlUnit::Changer),
                export_slots: Vec::new(),
                eject_before_unload: false,
            }),
            changer_drive: drive.into(),
        };
        let (often, long) = (Duration::from_micros(100), Duration::from_secs(20));
        let patience = StationPatience {
            drive: pbs_tape::drive::Patience {
                poll_interval: often,
                ready_within: long,
                calibrated_within: long,
                no_medium_within: Duration::from_millis(1),
                formatted_within: long,
                erased_within: long,
            },
            changer: changer::Patience {
                poll_interval: often,
                answer_within: Duration::from_millis(1),
                ready_within: long,
                clean_within: long,
            },
        };
        let way = Way {
            library: self.library.clone(),
            lane: lane.cloned(),
            power: Arc::clone(&self.power),
            moves: Arc::clone(&self.moves),
        };
        DriveStation::open(&self.state, config, Arc::new(way), Arc::new(Silent), Duration::ZERO)
            .unwrap()
            .with_patience(patience)
    }

    /// Works with the robot, as commands do that export and import.
    pub fn with_robot<R>(&self, work: impl FnOnce(&mut Robot<'_>) -> R) -> R {
        let mut changer: Changer = self.station(0, None).open_changer().unwrap();
        let lock_drive = |drive: u64| Ok(Some(self.station(drive as u16, None)));
        let lock_drive = &lock_drive;
        work(&mut Robot { name: CHANGER, changer: &mut changer, lock_drive })
    }

    /// Bar codes in places of a kind.
    pub fn in_places(&self, kind: ElementKind) -> Vec<String> {
        let listing = self.library.list().unwrap();
        let of_kind = listing.elements.into_iter().filter(|element| element.kind == kind);
        of_kind.filter_map(|element| element.barcode).collect()
    }

    /// Bar codes beside the library: on the shelf, and further away.
    pub fn outside(&self) -> Vec<String> {
        self.library.list().unwrap().shelf
    }

    pub fn library_dir(&self) -> &Path {
        &self.dir
    }
}
