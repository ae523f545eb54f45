//! Tapes come in whatever order they can be had.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::device::TapeDevice;
use crate::media::Reach;

/// A drive without a robot, and somebody who puts the next tape into it whenever it is found empty or with a tape that does not help.
struct Shelf {
    tapes: ModelLibrary,
    next: VecDeque<String>,
    /// Every tape that was opened.
    opened: Vec<String>,
}

impl Shelf {
    fn of(set: &mut Set, next: &[&str]) -> Shelf {
        let tapes = std::mem::replace(&mut set.library, library(0, 1, 1));
        let next = next.iter().map(ToString::to_string).collect();
        Shelf { tapes, next, opened: Vec::new() }
    }
}

impl MediaLoader for Shelf {
    fn drive_name(&self) -> &str {
        "hand"
    }

    fn reach(&self) -> Reach {
        Reach::StandAlone
    }

    fn load(&mut self, _text: &str, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        self.open(progress)
    }

    fn open(&mut self, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        let Some(next) = self.next.pop_front() else {
            return Err(Error::Unsupported("the drive is empty".into()));
        };
        self.opened.push(next.clone());
        self.tapes.loaded = Some(next);
        self.tapes.open(progress)
    }

    fn unload(&mut self, device: Option<Box<dyn TapeDevice>>) -> Result<()> {
        self.tapes.unload(device)
    }

    fn online_label_texts(&mut self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    fn export(&mut self, label_text: &str) -> Result<bool> {
        self.tapes.export(label_text)
    }
}

/// What was said, and an end when nothing goes on any more.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Said {
    fn has(&self, parts: &[&str]) -> bool {
        let said = self.0.lock().unwrap();
        said.iter().any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

impl Progress for Said {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.into());
    }

    fn warn(&self, text: &str) {
        self.note(text);
    }
}

const PATIENT: MediaWait = MediaWait {
    retry_every: Duration::from_millis(1),
    give_up_after: Some(Duration::from_secs(60)),
};

fn permutations(of: &[String]) -> Vec<Vec<String>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in of.iter().enumerate() {
        let mut rest = of.to_vec();
        rest.remove(at);
        for mut one in permutations(&rest) {
            one.insert(0, first.clone());
            all.push(one);
        }
    }
    all
}

/// Whoever loads any needed tape by hand is served: the set comes back from any order, and each tape is read once.
#[test]
fn a_whole_set_comes_back_from_tapes_in_any_order() {
    let orders = permutations(&written().tapes);
    assert!(orders.len() >= 6);
    for order in orders {
        let mut set = written();
        let target = set.target();
        let texts: Vec<&str> = order.iter().map(String::as_str).collect();
        let mut shelf = Shelf::of(&mut set, &texts);
        let options = RestoreOptions { wait: PATIENT, ..set.options(&target, &[]) };
        let report = run_restore(&set.world.state, &mut shelf, &options, &Silent).unwrap();
        assert_eq!(report.tapes, order);
        assert_eq!(shelf.opened, order);
        report.into_result().unwrap();
        set.assert_restored(&target, &[0, 1, 2]);
        assert!(!target.base().join(".tmp").join(set.uuid.to_string()).exists());
    }
}

/// The same for chosen snapshots; a tape may be wanted a second time then, but only after another told why.
#[test]
fn chosen_snapshots_come_back_from_tapes_in_any_order() {
    for order in permutations(&written().tapes) {
        let mut set = written();
        let target = set.target();
        // Whoever brings them goes round.
        let round: Vec<&str> = order.iter().chain(&order).map(String::as_str).collect();
        let mut shelf = Shelf::of(&mut set, &round);
        let options = RestoreOptions { wait: PATIENT, ..set.options(&target, &[0, 1, 2]) };
        let report = run_restore(&set.world.state, &mut shelf, &options, &Silent).unwrap();
        let mut read = report.tapes.clone();
        report.into_result().unwrap();
        set.assert_restored(&target, &[0, 1, 2]);
        read.sort();
        read.dedup();
        assert_eq!(read, set.tapes);
    }
}

/// From the last tape of the set to the first: what is known to be needed of a tape is complete when it comes.
#[test]
fn a_robot_loads_each_tape_once_for_chosen_snapshots() {
    for chosen in [&[0][..], &[1], &[2], &[0, 1], &[0, 1, 2]] {
        let mut set = written();
        let target = set.target();
        let mut read = set.restore(&target, chosen).tapes;
        set.assert_restored(&target, chosen);
        let loads = read.len();
        read.sort();
        read.dedup();
        assert_eq!(loads, read.len(), "{chosen:?}");
    }
}

/// A tape that is in the drive is read before a robot moves anything.
#[test]
fn the_tape_in_the_drive_comes_first() {
    let tapes = written().tapes;
    for first in &tapes {
        let mut set = written();
        let target = set.target();
        set.library.loaded = Some(first.clone());
        set.library.reads_bar_codes = true;
        let report = set.restore(&target, &[]);
        assert_eq!(report.tapes.first(), Some(first));
        assert_eq!(report.tapes.len(), tapes.len());
        set.assert_restored(&target, &[0, 1, 2]);
    }
}

/// A robot, and somebody who brings a tape as soon as he is asked to.
struct Brings {
    library: ModelLibrary,
    asked: Arc<Said>,
    loads: Vec<String>,
}

impl MediaLoader for Brings {
    fn drive_name(&self) -> &str {
        self.library.drive_name()
    }

    fn reach(&self) -> Reach {
        self.library.reach()
    }

    fn load(&mut self, text: &str, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        self.loads.push(text.to_string());
        self.library.load(text, progress)
    }

    fn open(&mut self, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        self.library.open(progress)
    }

    fn unload(&mut self, device: Option<Box<dyn TapeDevice>>) -> Result<()> {
        self.library.unload(device)
    }

    fn online_label_texts(&mut self) -> Result<Option<Vec<String>>> {
        if self.asked.has(&["please insert"]) {
            self.library.exported.clear();
        }
        self.library.online_label_texts()
    }

    fn export(&mut self, label_text: &str) -> Result<bool> {
        self.library.export(label_text)
    }
}

/// What the robot has is read before anybody is asked for what it has not, and a tape that is not there is not tried to be loaded.
#[test]
fn a_person_is_asked_last_and_told_all_that_is_needed() {
    for chosen in [&[][..], &[0, 1, 2]] {
        let mut set = written();
        let target = set.target();
        let mut tapes = std::mem::replace(&mut set.library, library(0, 1, 1));
        let away: Vec<String> = set.tapes[..2].to_vec();
        tapes.exported.extend(away.clone());
        let mut inventory = crate::media::Inventory::load(&set.world.state).unwrap();
        let media = inventory.find_by_label_text(&away[0]).unwrap().unwrap().id.label.uuid;
        inventory.set_location(&media, "vault-bank".parse().unwrap()).unwrap();
        let said = Arc::new(Said::default());
        let mut robot = Brings { library: tapes, asked: Arc::clone(&said), loads: Vec::new() };
        let wait = MediaWait { retry_every: Duration::ZERO, ..MediaWait::FOREVER };
        let options = RestoreOptions { wait, ..set.options(&target, chosen) };
        let report = run_restore(&set.world.state, &mut robot, &options, &*said).unwrap();
        assert_eq!(robot.loads, report.tapes, "{chosen:?}: nothing was tried in vain");
        assert!(!away.contains(&report.tapes[0]), "{:?}", report.tapes);
        assert!(said.has(&[
            "please insert any of",
            "changer lib",
            &away[0],
            &away[1],
            "vault-bank"
        ]));
        report.into_result().unwrap();
        set.assert_restored(&target, &[0, 1, 2]);
    }
}

/// A tape of another set, or none of ours, is told and not taken; the next one is.
#[test]
fn a_tape_that_is_not_needed_is_told_and_waited_for_another() {
    let mut set = written();
    let target = set.target();
    let unused = (1..=6)
        .map(|n| format!("T{n:02}"))
        .find(|text| !set.tapes.contains(text))
        .expect("a tape is left");
    let mut order: Vec<&str> = vec![&unused];
    let tapes = set.tapes.clone();
    order.extend(tapes.iter().map(String::as_str));
    let mut shelf = Shelf::of(&mut set, &order);
    let said = Said::default();
    let options = RestoreOptions { wait: PATIENT, ..set.options(&target, &[]) };
    let report = run_restore(&set.world.state, &mut shelf, &options, &said).unwrap();
    assert_eq!(report.tapes, tapes);
    assert!(said.has(&["wrong tape in drive hand", &unused]));
    assert!(said.has(&["please insert any of", "drive hand", &tapes[0], &tapes[2]]));
    set.assert_restored(&target, &[0, 1, 2]);
}

/// Nobody comes: what could be read is there, the rest is told tape by tape, and nothing of it shows.
#[test]
fn tapes_that_nobody_brings_are_told_and_cost_what_is_on_them() {
    let mut set = written();
    let target = set.target();
    let last = set.tapes.last().unwrap().clone();
    let mut shelf = Shelf::of(&mut set, &[&last]);
    let options = set.options(&target, &[]);
    let report = run_restore(&set.world.state, &mut shelf, &options, &Silent).unwrap();
    assert_eq!(report.tapes, [last]);
    for text in &set.tapes[..set.tapes.len() - 1] {
        assert!(report.damage.iter().any(|told| told.contains(text)), "{:?}", report.damage);
    }
    let restored = report.snapshots_restored.len();
    let which: Vec<usize> = (0..3)
        .filter(|n| report.snapshots_restored.contains(&format!("main:{}", set.names[*n])))
        .collect();
    assert_eq!(restored, which.len());
    set.assert_restored(&target, &which);
    assert!(report.into_result().is_err());
}
