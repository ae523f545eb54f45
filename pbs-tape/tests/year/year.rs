//! The days, one after the other, and what is checked on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use datastore::Progress;
use datastore::progress::Silent;
use jiff::civil::Date;
use pbs_tape::Error;
use pbs_tape::loader::{MediaLoader, MediaWait};
use pbs_tape::media::listing::MediaFilter;
use pbs_tape::media::{Inventory, MediaStatus, PoolConfig};
use pbs_tape::operations::media::{find, set_status};
use pbs_tape::restore::{RestoreOptions, StoreMap, run_restore};
use pbs_tape::verify::{SnapshotState, VerifyOptions, VerifyScope, run_verify};
use pbs_tape::write::{TapeBackupOptions, TapeBackupReport, run_backup};
use uuid::Uuid;
use vtl::{ByHand, ElementKind, Lane};

use crate::audit::{Excused, audit};
use crate::common::{allow_chunk, memory_folder};
use crate::days;
use crate::days::Event;
use crate::dice::Dice;
use crate::house::{House, MONTHLY_CAPACITY_BYTES, SLOTS};
use crate::ledger::{Ledger, Policy};
use crate::mishap::{Aborting, Mishap, mend, mix_up};
use crate::operator::Operator;
use crate::source::{STORE, Source};
use crate::store::{fingerprint, open_store};
use crate::truth::Truth;

const DAILY: &str = "daily";
const MONTHLY: &str = "monthly";
/// Cartridges for a job that begins a set, and for one that goes on with it.
const DAILY_NEEDS: (usize, usize) = (9, 3);
const MONTHLY_NEEDS: (usize, usize) = (10, 3);
/// A job that fails is run again so often, before somebody looks into it.
const TRIES_MAX: usize = 5;
/// Days between two looks at everything.
const AUDIT_EVERY: u64 = 7;

type Ended = Result<TapeBackupReport, Error>;

pub struct Year {
    first: Date,
    dice: Dice,
    house: House,
    source: Source,
    ledger: Ledger,
    operator: Operator,
    truth: Truth,
    excused: Excused,
    /// Tapes that ended too early, and are to be retired when their set is over.
    too_short: BTreeSet<String>,
    /// The set may be left before its time, because of what happened to a tape of it.
    may_leave_set: bool,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    jobs: u64,
    failed: u64,
    bytes: u64,
    restored: u64,
    verified: u64,
    mishaps: BTreeMap<Mishap, (u64, u64)>,
}

fn pools() -> Vec<PoolConfig> {
    let pool = |name: &str, allocation: &str, retention: &str| {
        let mut pool = PoolConfig::new(name);
        pool.allocation = allocation.parse().unwrap();
        pool.retention = retention.parse().unwrap();
        pool
    };
    vec![pool(DAILY, "sat 12:00", "4 weeks"), pool(MONTHLY, "monthly", "120 days")]
}

impl Year {
    pub fn new(seed: u64, first: Date) -> Year {
        let policies = [
            Policy { pool: DAILY, event: Event::Saturday, keep_days: 28 },
            Policy { pool: MONTHLY, event: Event::Month, keep_days: 120 },
        ];
        Year {
            first,
            dice: Dice(seed),
            house: House::new(days::jobs_at(first) - 86_400),
            source: Source::new(seed),
            ledger: Ledger::new(policies),
            operator: Operator::new(pools(), BTreeMap::from([(MONTHLY, MONTHLY_CAPACITY_BYTES)])),
            truth: Truth::default(),
            excused: Excused::default(),
            too_short: BTreeSet::new(),
            may_leave_set: false,
            counts: Counts::default(),
        }
    }

    /// So many days, and at the end everything is held against everything.
    pub fn run(&mut self, days: u64) {
        for day in 0..days {
            let last_week = day + 7 >= days;
            let mishap = Mishap::of_day(&self.dice, day).filter(|_| !last_week);
            self.day(day, mishap);
            if day % AUDIT_EVERY == AUDIT_EVERY - 1 {
                self.audit();
                self.restore_some(day);
            }
        }
        self.audit();
        self.restore_everything();
        self.audit();
    }

    fn day(&mut self, day: u64, mishap: Option<Mishap>) {
        let date = days::date(self.first, day);
        let at = days::jobs_at(date);
        let backups_at = days::backups_at(date);
        self.house.sleep_until(backups_at - 5 * 3600);
        self.ledger.keep(self.source.day(day, backups_at));
        let is_month = date.day() == 1;
        self.operator.empty_drives(&self.house);
        self.retire_what_is_too_short();
        if is_month {
            self.operator.prepare(&self.house, MONTHLY, MONTHLY_NEEDS, at);
        }
        self.operator.prepare(&self.house, DAILY, DAILY_NEEDS, at);
        if is_month {
            self.bring_back_what_made_room(at);
        }
        let has_struck = mishap.is_some_and(|mishap| self.hands(mishap, day, at));
        assert!(self.house.now() < at, "the operator was still at work when the jobs began");
        self.house.sleep_until(at);
        let mut due = if is_month { vec![DAILY, MONTHLY] } else { vec![DAILY] };
        for attempt in 0.. {
            assert!(attempt < TRIES_MAX, "{date}: {due:?} is not done");
            let trouble = mishap.filter(|_| attempt == 0);
            let ended = self.jobs(day, attempt, &due, trouble);
            if let Some(trouble) = trouble {
                let counted = self.counts.mishaps.entry(trouble).or_default();
                counted.0 += 1;
                counted.1 += u64::from(has_struck || ended.iter().any(|(_, ended)| ended.is_err()));
            }
            due.clear();
            for (pool, ended) in ended {
                let Err(error) = ended else { continue };
                println!("{date} attempt {attempt}, {mishap:?}: {pool}: {error}");
                let is_short = self.is_of_short_tape(&error);
                let is_wanting = matches!(error.cause(), Error::NoUsableMedia { .. });
                assert!(trouble.is_some() || is_short || is_wanting, "not explained: {error}");
                due.push(pool);
            }
            if due.is_empty() {
                break;
            }
            self.operator.empty_drives(&self.house);
            let now = self.house.now();
            for pool in &due {
                let needs = if *pool == DAILY { DAILY_NEEDS } else { MONTHLY_NEEDS };
                let more = attempt + 1;
                self.operator.prepare(&self.house, pool, (needs.0 + more, needs.1 + more), now);
            }
        }
        self.may_leave_set = false;
        if is_month {
            let set = self.ledger.newest(MONTHLY).unwrap();
            self.operator.vault(&self.house, &set);
        }
    }

    /// True if a tape is to blame that takes less than it did when it was new. The operator reads its name in the error, and
    /// has had enough of it.
    fn is_of_short_tape(&mut self, error: &Error) -> bool {
        if !matches!(error.cause(), Error::TapeFull | Error::DoesNotFit { .. }) {
            return false;
        }
        let message = error.to_string();
        let is_named = |text: &&String| message.contains(*text);
        let text = self.truth.tapes.keys().find(is_named).expect("an error without its tape");
        self.too_short.insert(text.clone());
        self.operator.is_short(&self.house, text)
    }

    /// Such a tape stays as long as its set is written, or that would have to be left.
    fn retire_what_is_too_short(&mut self) {
        for text in std::mem::take(&mut self.too_short) {
            let set = self.truth.tapes[&text].set.as_ref();
            if set.is_some_and(|set| self.ledger.newest(&set.pool) == Some(set.uuid)) {
                self.too_short.insert(text);
                continue;
            }
            let media = find(&self.house.state, &text, None).unwrap();
            set_status(&self.house.state, &media, Some(MediaStatus::Retired)).unwrap();
            self.excused.retired.insert(text);
        }
    }

    /// Room for one pool's tapes may have been made of the other's.
    fn bring_back_what_made_room(&mut self, at: i64) {
        self.operator.prepare(&self.house, MONTHLY, MONTHLY_NEEDS, at);
    }

    /// What somebody's hands do on a bad day. True if they did it.
    fn hands(&mut self, mishap: Mishap, day: u64, at: i64) -> bool {
        let in_slots = self.house.in_places(ElementKind::Slot);
        match mishap {
            Mishap::WrongSlots => mix_up(&self.house, &self.dice, day),
            Mishap::Unlabelled => {
                if in_slots.len() >= SLOTS.into() {
                    return false;
                }
                let listing = self.house.library.list().unwrap();
                let mut slots = listing.elements.iter().filter(|e| e.kind == ElementKind::Slot);
                let free = slots.find(|slot| slot.barcode.is_none()).unwrap().number;
                let text = self.operator.new_bar_code();
                self.house.library.put_in(&text, ByHand::Slot(free), None).unwrap();
                self.operator.unlabelled.insert(text);
            }
            Mishap::KeptCartridge => {
                let outside = self.house.outside();
                let filter = MediaFilter {
                    pool: Some(DAILY.into()),
                    status: Some(MediaStatus::Full),
                    expired: Some(false),
                    ..MediaFilter::default()
                };
                let kept = self.operator.media(&self.house, filter, at);
                let kept = kept.into_iter().find(|media| outside.contains(&media.label_text));
                let Some(kept) = kept.filter(|_| in_slots.len() < SLOTS.into()) else {
                    return false;
                };
                self.operator.bring(&self.house, &[kept.label_text], at);
            }
            Mishap::TakenOut => {
                self.truth.look(self.house.library_dir());
                let newest = self.ledger.newest(DAILY).unwrap();
                let last = self.truth.members(&newest).pop().flatten().unwrap();
                if !in_slots.contains(&last) {
                    return false;
                }
                self.house.library.take_out(&last).unwrap();
            }
            _ => return false,
        }
        true
    }

    /// Runs jobs at once, a drive each, while something goes wrong or not. What came of them.
    fn jobs(
        &mut self,
        day: u64,
        attempt: usize,
        due: &[&'static str],
        trouble: Option<Mishap>,
    ) -> Vec<(&'static str, Ended)> {
        let began = self.house.now();
        self.truth.look(self.house.library_dir());
        let before = self.truth.clone();
        let newest: Vec<Option<Uuid>> = due.iter().map(|pool| self.ledger.newest(pool)).collect();
        if let Some(trouble) = trouble {
            trouble.strike(&self.house, &self.dice, day);
        }
        let times = self.dice.below(day << 8 | 3, 60);
        let aborting = (trouble == Some(Mishap::Abort)).then(|| Aborting::after(times));
        let progress: &dyn Progress = aborting.as_ref().map_or(&Silent, |aborting| aborting);
        // By turns, and after trouble with one the other.
        let drive = ((day + attempt as u64) % 2) as u16;
        let ended: Vec<Ended> = match due {
            [pool] => vec![self.job(pool, drive, None, progress)],
            [first, second] => {
                let lanes = (self.house.library.lane(), self.house.library.lane());
                std::thread::scope(|scope| {
                    let other =
                        scope.spawn(|| self.job(second, 1 - drive, Some(&lanes.1), progress));
                    let own = self.job(first, drive, Some(&lanes.0), progress);
                    vec![own, other.join().unwrap()]
                })
            }
            _ => Vec::new(),
        };
        if let Some(trouble) = trouble {
            mend(&self.house, trouble);
        }
        self.truth.look(self.house.library_dir());
        self.ledger.check_writes(self.house.library_dir(), &before, &self.truth);
        let over: Vec<bool> = due.iter().map(|pool| self.ledger.is_over(pool, began)).collect();
        self.ledger.learn_sets(&self.truth);
        self.note_damaged(trouble);
        for (place, ended) in ended.iter().enumerate() {
            self.counts.jobs += 1;
            match ended {
                Ok(report) => self.job_is_done(report, newest[place], over[place]),
                Err(_) => {
                    self.counts.failed += 1;
                    self.excuse_what_was_cut_off(due[place], &before);
                }
            }
        }
        due.iter().copied().zip(ended).collect()
    }

    fn job(&self, pool: &str, drive: u16, lane: Option<&Lane>, progress: &dyn Progress) -> Ended {
        let mut options = TapeBackupOptions::new(STORE);
        options.eject_media = self.dice.below(self.house.now() as u64, 2) == 0;
        let mut station = self.house.station(drive, lane);
        let (state, store) = (&self.house.state, &self.source.store);
        let pool = self.operator.pool(pool).clone();
        run_backup(state, store, pool, &mut station, &options, progress)
    }

    fn job_is_done(&mut self, report: &TapeBackupReport, newest: Option<Uuid>, is_over: bool) {
        let on_disk = self.source.on_disk.len() as u64;
        let done = report.snapshots_written.len() as u64 + report.snapshots_skipped;
        assert_eq!((done, report.snapshots_failed.len()), (on_disk, 0), "{report:?}");
        let goes_on = newest == Some(report.media_set_uuid);
        if is_over {
            assert!(!goes_on, "set {} should have been left", report.media_set_uuid);
        } else {
            assert!(goes_on || self.may_leave_set, "a new set: {report:?}, after {newest:?}");
        }
        self.ledger.promise(&report.media_set_uuid, &self.source.on_disk);
        self.counts.bytes += report.tape_bytes;
    }

    /// Tapes that a job called damaged. The operator does not trust them any more.
    fn note_damaged(&mut self, trouble: Option<Mishap>) {
        let inventory = Inventory::load(&self.house.state).unwrap();
        for entry in inventory.entries() {
            if entry.decided_status() == Some(MediaStatus::Damaged) {
                let text = entry.id.label.label_text.clone();
                if self.excused.damaged.insert(text.clone()) {
                    println!("{text} is called damaged after {trouble:?}");
                    self.may_leave_set = true;
                }
            }
        }
    }

    fn excuse_what_was_cut_off(&mut self, pool: &str, before: &Truth) {
        for (barcode, tape) in &self.truth.tapes {
            let Some(set) = tape.set.as_ref().filter(|set| set.pool == pool) else { continue };
            if before.tapes.get(barcode).is_none_or(|old| old.digest != tape.digest) {
                self.excused.cut_off.insert((barcode.clone(), set.uuid));
            }
        }
    }

    fn audit(&mut self) {
        self.operator.look(&self.house);
        self.truth.look(self.house.library_dir());
        audit(&self.house, &self.operator, &self.ledger, &self.truth, &self.excused);
    }

    /// One snapshot of a set of any age comes back, and a set is verified.
    fn restore_some(&mut self, day: u64) {
        let kept = self.ledger.kept_at(self.house.now());
        let throw =
            |number, limit: usize| self.dice.below(day << 8 | number, limit as u64) as usize;
        let (set, must) = &kept[throw(10, kept.len())];
        let name = must.iter().nth(throw(11, must.len())).unwrap().clone();
        self.comes_back(*set, &BTreeSet::from([name]), false);
    }

    /// Every set that must be on tape is verified, and comes back.
    fn restore_everything(&mut self) {
        for (set, must) in self.ledger.kept_at(self.house.now()) {
            self.comes_back(set, &must, true);
        }
    }

    fn comes_back(&mut self, set: Uuid, names: &BTreeSet<String>, is_whole: bool) {
        self.truth.look(self.house.library_dir());
        let members = self.truth.members(&set);
        let tapes: Vec<String> = members.iter().flatten().cloned().collect();
        assert_eq!(tapes.len(), members.len(), "set {set} has holes: {members:?}");
        self.operator.bring(&self.house, &tapes, self.house.now());
        let drive = self.dice.below(self.house.now() as u64, 2) as u16;
        let mut station = self.house.station(drive, None);
        let folder = memory_folder();
        let target = open_store(folder.path());
        self.ledger.each_chunk(|digest| allow_chunk(&target, digest));
        let in_one_go = is_whole && self.counts.verified.is_multiple_of(2);
        let qualified = names.iter().map(|name| format!("{STORE}:{name}"));
        let options = RestoreOptions {
            media_set: set,
            stores: StoreMap::all_to("target", target.clone()),
            // Of a whole set by one way or the other.
            snapshots: if in_one_go { Vec::new() } else { qualified.collect() },
            owner: "root@pam".into(),
            wait: MediaWait::NONE,
            writers: 2,
        };
        let report = run_restore(&self.house.state, &mut station, &options, &Silent).unwrap();
        assert!(report.snapshots_failed.is_empty(), "set {set}: {report:?}");
        for name in names {
            let print = fingerprint(&target, name).unwrap();
            assert_eq!(print, *self.ledger.print(name), "{name} of set {set}");
            self.counts.restored += 1;
        }
        if is_whole {
            let options = VerifyOptions {
                scope: VerifyScope::Set(set),
                keys: Vec::new(),
                threads: 1,
                wait: MediaWait::NONE,
            };
            let report = run_verify(&self.house.state, &mut station, &options, &Silent).unwrap();
            let sound = report.snapshots.iter().filter(|one| one.state == SnapshotState::Ok);
            let sound: BTreeSet<&str> = sound.map(|one| one.snapshot.as_str()).collect();
            for name in names {
                assert!(sound.contains(format!("{STORE}:{name}").as_str()), "{name}: {report:?}");
            }
            self.counts.verified += 1;
        }
        station.unload(None).unwrap();
        drop(station);
        if self.ledger.pool_of(&set) == MONTHLY {
            self.operator.vault(&self.house, &set);
        }
    }

    /// What happened.
    pub fn summary(&self) -> String {
        let moves = &self.house.moves;
        let kept = self.ledger.kept_at(self.house.now()).len();
        let mishaps: Vec<String> = self
            .counts
            .mishaps
            .iter()
            .map(|(mishap, (tried, struck))| format!("{mishap:?} {struck} of {tried}"))
            .collect();
        format!(
            "{} cartridges, {} moves, {} mounts; {} jobs, {} of them failed; {} media sets, {kept} of them kept; \
             {:.2} GB written; {} snapshots restored bit for bit, {} sets verified; mishaps that made a job fail, or were made by hand: {}",
            self.truth.tapes.len(),
            moves.all.load(Ordering::Relaxed),
            moves.mounts.load(Ordering::Relaxed),
            self.counts.jobs,
            self.counts.failed,
            self.ledger.sets(),
            self.counts.bytes as f64 / 1e9,
            self.counts.restored,
            self.counts.verified,
            mishaps.join(", "),
        )
    }
}
