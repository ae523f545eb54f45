//! An LTO drive as a SCSI device server (SSC-5).
//!
//! [`Drive`] is the state of one drive: which cartridge is in it, where the tape stands, what hosts
//! set. Handlers are grouped by what they do: `commands` has the table, `transfer` reads and writes,
//! `motion` positions, `medium` loads and unloads, `blank` erases and formats; pages and tables have a file
//! each. The drive knows its robot only through `robot.json`.

mod access_order;
mod attributes;
mod blank;
mod blocks;
mod capacity;
mod cipher;
mod cleaning;
mod commands;
mod density;
mod device_statistics;
mod echo;
mod encryption;
mod errors;
mod faults;
mod hosts;
mod layout;
mod log_pages;
mod medium;
mod mode_pages;
mod motion;
mod record;
mod security;
pub(crate) mod slots;
mod streaming;
mod timestamp;
mod transfer;
mod usage;
mod verify;
mod volume_statistics;
mod work;
mod write_protection;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blocks::Staging;
use cleaning::Cleaner;
use device_statistics::{Event, Lifetime};
use encryption::Encryption;
use hosts::Hosts;
use nix::fcntl::Flock;
use scsi::Sense;
use scsi::command::access_order::Segment;
use scsi::command::protection::{self, Method};

use crate::abort::Abort;
use crate::barcode;
use crate::cartridge::{Cartridge, CartridgeState, Fault, Purpose};
use crate::config::LibraryConfig;
use crate::durable;
use crate::error::{Error, Result};
use crate::generation::{Access, Generation};
use crate::home::Home;
use crate::identity::{REVISION, library_serial, world_wide_name};
use crate::robot::Robot;
use crate::streaming::Stream;
use crate::unit::inquiry::{Identity, padded};
use crate::unit::name::Unit;
use crate::unit::reservation::Reservations;
use crate::unit::{Attentions, Done, Nexus, Stop};
use work::Work;
use write_protection::Overwrite;

pub(crate) use record::{DriveRecord, RecordFile};

/// What is in the drive.
#[derive(Debug)]
enum Medium {
    /// Nothing.
    Empty,
    /// A cartridge that is not threaded.
    Unloaded,
    /// A cartridge ready for use.
    Threaded(Box<Cartridge>),
    /// A cartridge that the drive cannot use; the condition that medium commands meet.
    Refused(Sense),
}

/// One drive.
pub(crate) struct Drive {
    number: u16,
    config: LibraryConfig,
    home: Arc<Home>,
    identity: Identity,
    record: DriveRecord,
    file: RecordFile,
    lifetime: Lifetime,
    medium: Medium,
    /// The cleaning cartridge that `medium` refuses to hosts.
    cleaner: Option<Box<Cleaner>>,
    attentions: Attentions,
    hosts: Hosts,
    reservations: Reservations,
    encryption: Encryption,
    staging: Staging,
    /// Who asks for mode pages: some of them are different for each host.
    asking: Nexus,
    /// The list that a host gave to be ordered, in order.
    access_order: Vec<Segment>,
    /// What may be written over in append-only mode.
    overwrite: Overwrite,
    /// The value of the robot's change counter that the medium was last compared at.
    seen_changes: Option<u64>,
    /// The recorded data changed since the cartridge was threaded.
    wrote: bool,
    /// What the drive is busy with.
    work: Option<Work>,
    /// What its tape and its buffer do with data, on a library that keeps time.
    stream: Stream,
    /// How the present command is told to end its wait.
    abort: Arc<Abort>,
    /// Commands that the drive, without power, leaves without an answer.
    down: u32,
    _lock: Flock<File>,
}

/// TapeAlert flags that this drive raises (SSC-5 annex A).
mod alert {
    pub const HARD_ERROR: u32 = 3;
    pub const READ_FAILURE: u32 = 5;
    pub const WRITE_FAILURE: u32 = 6;
    pub const WRITE_PROTECT: u32 = 9;
    pub const NO_REMOVAL: u32 = 10;
    pub const CLEANING_MEDIA: u32 = 11;
    pub const UNSUPPORTED_FORMAT: u32 = 12;
    pub const READ_ONLY_FORMAT: u32 = 17;
    pub const CLEANING_USED_UP: u32 = 22;
    pub const CLEAN_NOW: u32 = 20;
    pub const CLEAN_PERIODIC: u32 = 21;
    pub const WORM_OVERWRITE: u32 = 60;

    /// Flags that are about the cartridge or about what was done with it, in this drive or raised on demand. They are over
    /// when another one is loaded (SSC-5 annex A); its predecessor's memory keeps them. The others are about
    /// the drive and stay until they are read, or cleaned away.
    const ABOUT_MEDIUM: [u32; 32] = [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 22, 23, 24, 33, 51, 52,
        53, 54, 55, 56, 59, 60, 61,
    ];

    /// The same as a field of flags.
    pub fn about_medium() -> u64 {
        ABOUT_MEDIUM.into_iter().fold(0, |flags, number| flags | super::flag_bit(number))
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        match fault {
            Fault::Damaged { .. } => Sense::READ_ERROR.into(),
            Fault::Host(error) => Stop::Host(error),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        match error {
            Error::Io { source, .. } => Stop::Host(source),
            Error::Damaged { .. } => Sense::READ_ERROR.into(),
            other => Stop::Host(std::io::Error::other(other)),
        }
    }
}

/// Serial number, product text and world wide name of drive `number` of a library.
pub(crate) fn identity(config: &LibraryConfig, number: u16) -> Identity {
    let texts = config.personality.drive(config.generation);
    let serial = format!("{:06X}D{number:03}", config.id & 0xff_ffff);
    let mut extra_pages = vec![
        // TSMC clear, WORM set: the drive takes WORM cartridges.
        (0xb0, vec![0x01, 0x00]),
        (0xb1, serial.as_bytes().to_vec()),
        (0xb2, supported_alerts().to_be_bytes().to_vec()),
        (0xb3, library_serial(config).into_bytes()),
    ];
    let methods = protection_methods(config.generation);
    if !methods.is_empty() {
        extra_pages.push((protection::VPD_PROTECTION, protection::build_support(methods)));
    }
    Identity {
        device_type: 0x01,
        vendor: texts.vendor,
        product: texts.product,
        revision: REVISION,
        name: world_wide_name(config.id, number + 1),
        bar_code_reader: false,
        extra_pages,
        serial,
    }
}

/// The methods of logical block protection that a drive has.
fn protection_methods(generation: Generation) -> &'static [Method] {
    match generation {
        Generation::Lto2 | Generation::Lto3 | Generation::Lto4 => &[],
        Generation::Lto5 | Generation::Lto6 => &[Method::ReedSolomon],
        _ => &[Method::ReedSolomon, Method::Crc32c],
    }
}

fn supported_alerts() -> u64 {
    [
        alert::HARD_ERROR,
        alert::READ_FAILURE,
        alert::WRITE_FAILURE,
        alert::WRITE_PROTECT,
        alert::NO_REMOVAL,
        alert::CLEANING_MEDIA,
        alert::UNSUPPORTED_FORMAT,
        alert::READ_ONLY_FORMAT,
        alert::CLEAN_NOW,
        alert::CLEAN_PERIODIC,
        alert::CLEANING_USED_UP,
        alert::WORM_OVERWRITE,
    ]
    .into_iter()
    .fold(0, |flags, number| flags | flag_bit(number))
}

/// TapeAlert flag `number` in a 64-bit field with flag 1 in the most significant bit.
fn flag_bit(number: u32) -> u64 {
    1 << (64 - number)
}

impl Drive {
    /// Switches to drive `number`, if no other process has it open.
    pub fn open(home: &Arc<Home>, number: u16) -> Result<Drive> {
        let folder = home.drive_folder(number);
        let Some(lock) = take_lock(&folder.join("lock"))? else {
            return Err(Error::UnitBusy {
                unit: format!("drive {number} of {}", home.dir().display()),
            });
        };
        let file = RecordFile::open(&folder)?;
        let record = file.stored().clone();
        let mut lifetime = Lifetime::open(&folder);
        if file.is_power_on() {
            lifetime.count(Event::PowerCycle)?;
        }
        let hosts = Hosts::new(&record);
        let mut attentions = Attentions::default();
        let waiting = [
            record.power_on_waits.then_some(Sense::POWER_ON),
            record.new_medium_waits.then_some(Sense::MEDIUM_CHANGED),
        ];
        attentions.attach(Nexus::LOCAL, waiting.into_iter().flatten());
        Ok(Drive {
            number,
            config: home.config().clone(),
            home: Arc::clone(home),
            identity: identity(home.config(), number),
            record,
            file,
            lifetime,
            medium: Medium::Empty,
            cleaner: None,
            attentions,
            hosts,
            reservations: Reservations::open(folder.join("reservations.json"))?,
            encryption: Encryption::default(),
            staging: Staging::default(),
            asking: Nexus::LOCAL,
            access_order: Vec::new(),
            overwrite: Overwrite::default(),
            seen_changes: None,
            wrote: false,
            work: None,
            stream: streaming::empty(home.config().generation),
            abort: Arc::default(),
            down: 0,
            _lock: lock,
        })
    }

    fn generation(&self) -> Generation {
        self.config.generation
    }

    /// Raises a TapeAlert flag; LOG SENSE 2Eh clears it.
    fn raise_alert(&mut self, number: u32) {
        self.record.alerts |= flag_bit(number);
        if let Medium::Threaded(cartridge) = &mut self.medium {
            // The memory keeps it for whoever loads the cartridge next.
            cartridge.state.alerts |= flag_bit(number);
        }
    }

    /// How the drive appears in a cartridge's memory: vendor, then serial number.
    fn memory_name(&self) -> String {
        memory_name(&self.identity)
    }

    /// Looks whether the robot took or brought a cartridge. Takes the robot's lock if so.
    pub fn follow_robot(&mut self) -> Done {
        let changes = self.home.robot_changes()?;
        if self.seen_changes == Some(changes) {
            return Ok(());
        }
        let robot = Robot::lock(&self.home)?;
        let occupant = robot.state.drives.get(usize::from(self.number)).and_then(Option::as_ref);
        let (load, barcode) = match occupant {
            Some(occupant) => (occupant.load, Some(occupant.barcode.clone())),
            None => (0, None),
        };
        let is_new = self.record.load != load;
        if is_new {
            // The robot closes nothing of another process: a threaded cartridge can't be gone.
            debug_assert!(!matches!(self.medium, Medium::Threaded(_)));
            self.medium = Medium::Empty;
            self.record.load = load;
            self.record.position = 0;
            self.record.partition = 0;
            self.record.layout = None;
            self.record.unloaded = false;
            self.record.protected_until_unload = false;
            self.hosts.allow_removal();
            // A new cartridge is told when it is ready, and an empty drive is not told at all.
            self.attentions.withdraw(&Sense::MEDIUM_CHANGED);
            self.work = None;
            self.cleaner = None;
            if barcode.is_some() {
                self.record.alerts &= !alert::about_medium();
            }
        }
        let changes = robot.changes();
        if let Some(barcode) = barcode
            && matches!(self.medium, Medium::Empty)
        {
            if self.record.unloaded {
                self.medium = Medium::Unloaded;
            } else {
                self.thread(&barcode)?;
                drop(robot);
                if is_new {
                    self.lifetime.count(Event::Load)?;
                }
                self.resume_load(is_new)?;
            }
        }
        self.seen_changes = Some(changes);
        Ok(())
    }

    /// Threads the cartridge that is in the drive.
    fn thread(&mut self, barcode: &str) -> Result<()> {
        self.wrote = false;
        self.medium = match self.open_medium(barcode) {
            Ok(Ok(mut cartridge)) => {
                if !cartridge.select_partition(self.record.partition) {
                    self.record.partition = 0;
                }
                // A power cut may have shortened the tape behind a position that was never stored
                // durably.
                self.record.position = self.record.position.min(cartridge.log.objects());
                Medium::Threaded(Box::new(cartridge))
            }
            Ok(Err(sense)) => {
                self.record.position = 0;
                Medium::Refused(sense)
            }
            // Its state files make no sense: the medium is there and unusable.
            Err(error) if error.is_damaged() || error.is_missing() => {
                Medium::Refused(Sense::new(scsi::SenseKey::MediumError, 0x31, 0x00))
            }
            Err(error) => return Err(error),
        };
        self.rethread_stream();
        Ok(())
    }

    fn open_medium(&mut self, barcode: &str) -> Result<std::result::Result<Cartridge, Sense>> {
        barcode::classify(barcode)?;
        let folder = self.home.cartridge_folder(barcode);
        let state = CartridgeState::read(&folder)?;
        if state.purpose == Purpose::Cleaning {
            return self.take_cleaning_cartridge(&folder, state).map(Err);
        }
        match self.generation().access(state.generation) {
            Access::ReadWrite => {}
            Access::ReadOnly => self.raise_alert(alert::READ_ONLY_FORMAT),
            Access::None => {
                self.raise_alert(alert::UNSUPPORTED_FORMAT);
                return Ok(Err(Sense::INCOMPATIBLE_MEDIUM));
            }
        }
        Cartridge::open(&folder).map(Ok)
    }

    /// What the memory of the threaded cartridge holds.
    fn cartridge_state(&self) -> Option<&CartridgeState> {
        match &self.medium {
            Medium::Threaded(cartridge) => Some(&cartridge.state),
            _ => None,
        }
    }

    /// Lets go of the cartridge's files; data and memory are durable afterwards.
    fn unthread(&mut self) -> Result<()> {
        self.record.position = 0;
        self.record.partition = 0;
        self.record.protected_until_unload = false;
        self.encryption.demounted();
        self.access_order.clear();
        self.cleaner = None;
        match std::mem::replace(&mut self.medium, Medium::Unloaded) {
            Medium::Threaded(cartridge) => cartridge.close(),
            Medium::Empty => {
                self.medium = Medium::Empty;
                Ok(())
            }
            Medium::Unloaded | Medium::Refused(_) => Ok(()),
        }
    }

    /// The robot of this process takes the cartridge: the drive unloads it by itself. The caller
    /// holds the robot's lock.
    ///
    /// Returns the time that the drive takes for it.
    pub fn release_to_robot(&mut self) -> std::result::Result<Duration, Stop> {
        if self.work.is_some() {
            return Err(Sense::REMOVAL_PREVENTED.into());
        }
        if self.hosts.prevent_removal() {
            self.raise_alert(alert::NO_REMOVAL);
            self.settle_record()?;
            return Err(Sense::REMOVAL_PREVENTED.into());
        }
        let lasts = self.halt_stream() + self.unload_time()?;
        self.unthread()?;
        self.record.unloaded = true;
        self.settle_record()?;
        // The next command looks at the robot again.
        self.seen_changes = None;
        Ok(lasts)
    }

    fn settle_record(&mut self) -> Done {
        self.settle_overwrite();
        // A reset that this machine was not told of is a power on to its next program.
        let waits = |sense| self.attentions.waits(Nexus::LOCAL, sense);
        self.record.power_on_waits = waits(&Sense::POWER_ON) || waits(&Attentions::RESET);
        self.record.new_medium_waits = self.attentions.waits(Nexus::LOCAL, &Sense::MEDIUM_CHANGED);
        self.hosts.note(&mut self.record);
        self.file.store(&self.record).map_err(Stop::Host)
    }

    fn unit(&self) -> Unit {
        Unit::Drive(self.number)
    }

    /// Makes durable what was written to the tape, and what its memory remembers.
    pub fn flush(&mut self) -> Done {
        if let Medium::Threaded(cartridge) = &mut self.medium {
            cartridge.log.checkpoint()?;
            cartridge.save()?;
        }
        Ok(())
    }

    /// The last handle of this process is gone: makes data durable, leaves tape and settings as
    /// they are.
    pub fn leave(mut self) -> Result<()> {
        // Only what is told at an operation's end could get lost here.
        let _ = self.leave_work();
        let closed = match std::mem::replace(&mut self.medium, Medium::Empty) {
            Medium::Threaded(cartridge) => cartridge.close(),
            _ => Ok(()),
        };
        // A failure to note the position costs at most a rewind; the data matters.
        let _ = self.settle_record();
        closed
    }
}

/// The drive's lock. A robot of another process holds it for the moment of a move, so a drive is
/// called busy only if it stays so.
fn take_lock(path: &Path) -> Result<Option<Flock<File>>> {
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(lock) = durable::try_lock(path)? {
            return Ok(Some(lock));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    durable::try_lock(path)
}

const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// How a drive appears in a cartridge's memory: vendor (8), then serial number (32).
pub(crate) fn memory_name(identity: &Identity) -> String {
    let bytes = [padded(identity.vendor, 8), padded(&identity.serial, 32)].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The threaded cartridge, or why there is none.
fn threaded(medium: &mut Medium) -> std::result::Result<&mut Cartridge, Stop> {
    match medium {
        Medium::Threaded(cartridge) => Ok(cartridge),
        Medium::Refused(sense) => Err((*sense).into()),
        Medium::Empty | Medium::Unloaded => Err(Sense::MEDIUM_NOT_PRESENT.into()),
    }
}
