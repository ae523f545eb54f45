//! What goes wrong in a year, and what is done about it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datastore::Progress;
use scsi::{Data, Transport};
use vtl::{ByHand, ElementKind};

use crate::dice::Dice;
use crate::house::{DRIVES, House};

/// Something that goes wrong on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// Somebody aborts the job.
    Abort,
    /// A drive dies for a night.
    DriveDies,
    /// A tape takes less than it should, and says so.
    ShortTape,
    /// A tape ends without a warning.
    TapeEnds,
    /// A block cannot be written.
    WriteError,
    /// The robot does not move.
    RobotStuck,
    /// The host loses its power, or host and drives do.
    HostPower,
    HostAndDrivePower,
    /// Somebody puts cartridges back into the wrong slots.
    WrongSlots,
    /// A cartridge without a label is put in.
    Unlabelled,
    /// A cartridge whose data is kept is brought by mistake.
    KeptCartridge,
    /// The cartridge that is being written on is taken out.
    TakenOut,
}

const ALL: [Mishap; 12] = [
    Mishap::Abort,
    Mishap::DriveDies,
    Mishap::ShortTape,
    Mishap::TapeEnds,
    Mishap::WriteError,
    Mishap::RobotStuck,
    Mishap::HostPower,
    Mishap::HostAndDrivePower,
    Mishap::WrongSlots,
    Mishap::Unlabelled,
    Mishap::KeptCartridge,
    Mishap::TakenOut,
];
/// Days from one to the next.
const EVERY: u64 = 3;

impl Mishap {
    /// That of a day: in an order that the seed decides, each of them before one comes again.
    pub fn of_day(dice: &Dice, day: u64) -> Option<Mishap> {
        if day % EVERY != EVERY - 1 {
            return None;
        }
        let count = ALL.len() as u64;
        let (round, place) = ((day / EVERY) / count, (day / EVERY) % count);
        let mut order = ALL;
        order.sort_by_key(|mishap| dice.roll(round << 32 | 0xfeed << 16 | *mishap as u64));
        Some(order[place as usize])
    }

    /// What happens to devices while the jobs run.
    pub fn strike(self, house: &House, dice: &Dice, day: u64) {
        let after = |limit| dice.below(day << 8 | 1, limit);
        let rule = match self {
            Mishap::DriveDies => {
                let drive = after(DRIVES.into());
                let commands = dice.below(day << 8 | 2, 90);
                format!("once drive{drive} any after={commands} -> power-loss down=1000000")
            }
            Mishap::ShortTape => format!("once drives write after={} -> early-warning", after(8)),
            Mishap::TapeEnds => format!("once drives write after={} -> end-of-tape", after(8)),
            Mishap::WriteError => format!("once drives write after={} -> write-error", after(8)),
            Mishap::RobotStuck => format!("always changer move after={} -> stuck", after(2)),
            Mishap::HostPower | Mishap::HostAndDrivePower => {
                house.power.cut_after(after(150));
                return;
            }
            _ => return,
        };
        house.library.set_faults(Some(rule.parse().unwrap()));
    }
}

/// Ends a job when it has asked so often whether it should end.
pub struct Aborting(AtomicU64);

impl Aborting {
    pub fn after(times: u64) -> Aborting {
        Aborting(AtomicU64::new(times))
    }
}

impl Progress for Aborting {
    fn is_aborted(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_err()
    }
}

/// The morning after: power is back, what is broken is mended, alerts are read, tapes are out of the drives.
pub fn mend(house: &House, mishap: Mishap) {
    house.power.restore(house.state.path());
    if mishap == Mishap::HostAndDrivePower {
        house.library.set_faults(Some("once drives any -> power-loss down=0".parse().unwrap()));
        for drive in 0..DRIVES {
            // No answer is what is wanted.
            let _ = house.library.drive(drive).unwrap().execute(&[0; 6], Data::None, MINUTE);
        }
    }
    house.library.set_faults(None);
    let mut robot = house.library.changer().unwrap();
    settle(&mut robot);
    // INITIALIZE ELEMENT STATUS empties the gripper.
    robot.execute(&[0x07, 0, 0, 0, 0, 0], Data::None, MINUTE).unwrap();
    for number in 0..DRIVES {
        let mut drive = house.library.drive(number).unwrap();
        settle(&mut drive);
        // LOG SENSE of the alerts forgets them.
        let alerts = [0x4d, 0, 0x2e, 0, 0, 0, 0, 4, 0, 0];
        drive.execute(&alerts, Data::In(&mut [0; 1024]), MINUTE).unwrap();
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn settle(unit: &mut dyn Transport) {
    for _ in 0..8 {
        let reply = unit.execute(&[0; 6], Data::None, MINUTE);
        if reply.is_ok_and(|reply| !reply.sense.is_some_and(|sense| sense.is_unit_attention())) {
            return;
        }
    }
}

/// Two cartridges change places, by hand.
pub fn mix_up(house: &House, dice: &Dice, day: u64) {
    let listing = house.library.list().unwrap();
    let of_slots = listing.elements.iter().filter(|element| element.kind == ElementKind::Slot);
    let full: Vec<(String, u16)> =
        of_slots.filter_map(|slot| slot.barcode.clone().map(|text| (text, slot.number))).collect();
    if full.len() < 2 {
        return;
    }
    let first = dice.below(day << 8 | 1, full.len() as u64) as usize;
    let second =
        (first + 1 + dice.below(day << 8 | 2, full.len() as u64 - 1) as usize) % full.len();
    for (text, _) in [&full[first], &full[second]] {
        house.library.take_out(text).unwrap();
    }
    house.library.put_in(&full[first].0, ByHand::Slot(full[second].1), None).unwrap();
    house.library.put_in(&full[second].0, ByHand::Slot(full[first].1), None).unwrap();
}
