//! Random inventories against a plain model of the rules, written from their text alone
//! (`docs/media.md`) and as simple as it can be: no index, no sharing of code with the pool.

use proptest::prelude::*;

use super::*;
use crate::media::policy::Allocation;

/// One tape as the model sees it.
#[derive(Debug, Clone)]
struct Tape {
    uuid: u128,
    text: String,
    ctime: i64,
    pool: Option<String>,
    set: Option<Set>,
    status: Option<MediaStatus>,
    location: Location,
}

#[derive(Debug, Clone)]
struct Set {
    uuid: u128,
    pool: String,
    seq_nr: u64,
    ctime: i64,
    key: Option<String>,
}

#[derive(Debug, Clone)]
struct Case {
    /// In the order of their UUIDs.
    tapes: Vec<Tape>,
    allocation: &'static str,
    retention: &'static str,
    key: Option<String>,
    changer: Option<&'static str>,
    now: i64,
    force: bool,
}

/// The current set: its UUID (none: a fresh one) and its members by sequence number.
type Current = (Option<u128>, Vec<Option<u128>>);

#[derive(Debug, PartialEq, Eq)]
enum Usable {
    On(u128),
    NeedsTape,
    No,
}

impl Case {
    fn tape(&self, uuid: u128) -> Option<&Tape> {
        self.tapes.iter().find(|tape| tape.uuid == uuid)
    }

    fn pool_of(tape: &Tape) -> Option<&str> {
        match &tape.set {
            Some(set) => Some(&set.pool),
            None => tape.pool.as_deref(),
        }
    }

    /// Sets of the pool with the greatest time of a label; contested if another has one as great.
    fn latest(&self) -> Option<u128> {
        let mut best: Option<&Set> = None;
        for set in self.tapes.iter().filter_map(|tape| tape.set.as_ref()) {
            if set.uuid != 0 && set.pool == "p1" && best.is_none_or(|best| set.ctime > best.ctime) {
                best = Some(set);
            }
        }
        let best = best?;
        for set in self.tapes.iter().filter_map(|tape| tape.set.as_ref()) {
            if set.uuid != 0 && set.pool == "p1" && set.uuid != best.uuid && set.ctime >= best.ctime
            {
                return None;
            }
        }
        Some(best.uuid)
    }

    /// `Err`: two tapes at one place.
    fn members(&self, set: u128) -> Result<Vec<Option<u128>>, ()> {
        let mut members: Vec<Option<u128>> = Vec::new();
        for tape in &self.tapes {
            if let Some(label) = &tape.set
                && label.uuid == set
            {
                let place = label.seq_nr as usize;
                while members.len() <= place {
                    members.push(None);
                }
                if members[place].is_some() {
                    return Err(());
                }
                members[place] = Some(tape.uuid);
            }
        }
        Ok(members)
    }

    fn status(&self, tape: &Tape, current: &Current) -> MediaStatus {
        if let Some(status @ (MediaStatus::Full | MediaStatus::Damaged | MediaStatus::Retired)) =
            tape.status
        {
            return status;
        }
        let Some(set) = &tape.set else { return MediaStatus::Writable };
        if set.pool != "p1" {
            return MediaStatus::Unknown;
        }
        if set.uuid == 0 {
            return MediaStatus::Writable;
        }
        if Some(set.uuid) != current.0 {
            return MediaStatus::Full;
        }
        match current.1.last() == Some(&Some(tape.uuid)) {
            true => MediaStatus::Writable,
            false => MediaStatus::Full,
        }
    }

    fn is_available(&self, tape: &Tape) -> bool {
        match (&tape.location, self.changer) {
            (Location::Online(holder), Some(changer)) => holder == changer,
            (Location::Offline, None) => true,
            _ => false,
        }
    }

    fn usable(&self, current: &Current) -> Usable {
        let mut last = None;
        for (place, member) in current.1.iter().enumerate() {
            let Some(member) = member else { return Usable::No };
            let tape = self.tape(*member).unwrap();
            if Case::pool_of(tape) != Some("p1") {
                return Usable::No;
            }
            let set = tape.set.as_ref().unwrap();
            if set.key != self.key {
                return Usable::No;
            }
            let status = self.status(tape, current);
            let is_last = place == current.1.len() - 1;
            if !(status == MediaStatus::Full || status == MediaStatus::Writable && is_last) {
                return Usable::No;
            }
            last = Some((tape, status));
        }
        match last {
            Some((tape, MediaStatus::Writable)) if self.is_available(tape) => Usable::On(tape.uuid),
            Some((tape, MediaStatus::Writable)) if matches!(tape.location, Location::Vault(_)) => {
                Usable::No
            }
            _ => Usable::NeedsTape,
        }
    }

    fn set_start(&self, set: u128) -> Option<i64> {
        let labels = self.tapes.iter().filter_map(|tape| tape.set.as_ref());
        labels
            .filter(|label| label.uuid == set && label.seq_nr == 0)
            .map(|label| label.ctime)
            .next()
    }

    /// The model knows no calendar: the event of the cases is every full minute.
    fn event_after(&self, start: i64) -> Option<i64> {
        (self.allocation == "minutely UTC").then(|| (start / 60 + 1) * 60)
    }

    /// The set that the session writes on; `Err`: nobody can tell.
    fn session(&self) -> Result<Current, ()> {
        let fresh = (None, Vec::new());
        let current = match self.latest() {
            Some(set) => (Some(set), self.members(set)?),
            None => fresh.clone(),
        };
        let event = current.0.and_then(|set| self.event_after(self.set_start(set)?));
        if self.force
            || self.usable(&current) == Usable::No
            || self.allocation == "always"
            || event.is_some_and(|event| event <= self.now)
        {
            return Ok(fresh);
        }
        Ok(current)
    }

    fn is_expired(&self, tape: &Tape, current: &Current) -> bool {
        if self.status(tape, current) != MediaStatus::Full || self.retention == "keep" {
            return false;
        }
        let Some(set) = tape.set.as_ref().filter(|set| set.uuid != 0) else { return false };
        if set.pool != "p1" {
            return false;
        }
        let start = self.set_start(set.uuid).unwrap_or(set.ctime);
        let of_pool = || {
            self.tapes
                .iter()
                .filter_map(|tape| tape.set.as_ref())
                .filter(|other| other.pool == "p1")
        };
        let set_ctime = of_pool().find(|other| other.uuid == set.uuid).unwrap().ctime;
        let next = of_pool()
            .filter(|other| other.uuid != set.uuid && other.ctime > set_ctime)
            .map(|other| other.ctime)
            .min();
        let last_use = if self.allocation == "always" {
            Some(start)
        } else {
            next.or(self.event_after(start))
        };
        let span = if self.retention == "30s" { 30 } else { 0 };
        last_use.is_some_and(|last_use| self.now >= last_use + span)
    }

    fn next_tape(&self, current: &Current) -> Option<(u128, TapeOrigin)> {
        match self.usable(current) {
            Usable::On(tape) => return Some((tape, TapeOrigin::Current)),
            Usable::No => return None,
            Usable::NeedsTape => {}
        }
        let unused = |pool: Option<&str>| {
            let mut fitting: Vec<&Tape> = self
                .tapes
                .iter()
                .filter(|tape| Case::pool_of(tape) == pool && self.is_available(tape))
                .filter(|tape| tape.set.as_ref().is_none_or(|set| set.uuid == 0))
                .filter(|tape| self.status(tape, current) == MediaStatus::Writable)
                .collect();
            fitting.sort_by(|a, b| (a.ctime, &a.text).cmp(&(b.ctime, &b.text)));
            fitting.first().map(|tape| tape.uuid)
        };
        if let Some(tape) = unused(Some("p1")) {
            return Some((tape, TapeOrigin::Empty));
        }
        let mut expired: Vec<(i64, &str, u128)> = Vec::new();
        for tape in &self.tapes {
            if let Some(set) = &tape.set
                && set.pool == "p1"
                && Some(set.uuid) != current.0
                && self.is_available(tape)
                && self.is_expired(tape, current)
            {
                expired.push((set.ctime, &tape.text, tape.uuid));
            }
        }
        expired.sort();
        if let Some((_, _, tape)) = expired.first() {
            return Some((*tape, TapeOrigin::Expired));
        }
        unused(None).map(|tape| (tape, TapeOrigin::Free))
    }

    /// Writes the inventory of this case.
    fn lay_out(&self, state: &StateDir) {
        let entries: Vec<InventoryEntry> = self
            .tapes
            .iter()
            .map(|tape| InventoryEntry {
                bytes_used: None,
                id: MediaId {
                    label: MediaLabel {
                        ctime: tape.ctime,
                        label_text: tape.text.clone(),
                        pool: tape.pool.clone(),
                        uuid: Uuid::from_u128(tape.uuid),
                    },
                    media_set_label: tape.set.as_ref().map(|set| MediaSetLabel {
                        ctime: set.ctime,
                        encryption_key_fingerprint: set.key.clone(),
                        pool: set.pool.clone(),
                        seq_nr: set.seq_nr,
                        uuid: Uuid::from_u128(set.uuid),
                    }),
                },
                location: Some(tape.location.clone()),
                status: tape.status,
            })
            .collect();
        std::fs::write(state.inventory_file(), serde_json::to_vec(&entries).unwrap()).unwrap();
    }
}

fn key() -> impl Strategy<Value = Option<String>> {
    prop_oneof![6 => Just(None), 1 => Just(Some("aa".to_string()))]
}

fn set() -> impl Strategy<Value = Set> {
    let uuid = prop_oneof![1 => Just(0u128), 8 => 1001u128..1005];
    let pool = prop_oneof![7 => Just("p1".to_string()), 1 => Just("p2".to_string())];
    (uuid, pool, 0u64..4, 0i64..200, key()).prop_map(|(uuid, pool, seq_nr, ctime, key)| Set {
        uuid,
        pool,
        seq_nr,
        ctime,
        key,
    })
}

fn tape() -> impl Strategy<Value = Tape> {
    let pool = prop_oneof![3 => Just(Some("p1")), 2 => Just(None), 1 => Just(Some("p2"))];
    let status = prop_oneof![
        6 => Just(None),
        2 => Just(Some(MediaStatus::Full)),
        1 => Just(Some(MediaStatus::Damaged)),
        1 => Just(Some(MediaStatus::Retired)),
        1 => Just(Some(MediaStatus::Writable)),
        1 => Just(Some(MediaStatus::Unknown)),
    ];
    let location = prop_oneof![
        4 => Just(Location::Offline),
        4 => Just(Location::Online("c1".into())),
        1 => Just(Location::Online("c2".into())),
        1 => Just(Location::Vault("v".into())),
    ];
    let text = prop_oneof![Just("TA"), Just("TB"), Just("TC")];
    (text, 0i64..4, pool, prop::option::weighted(0.7, set()), status, location).prop_map(
        |(text, ctime, pool, set, status, location)| Tape {
            uuid: 0,
            text: text.into(),
            ctime,
            pool: pool.map(str::to_string),
            set,
            status,
            location,
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let allocation = prop_oneof![Just("continue"), Just("always"), Just("minutely UTC")];
    let retention = prop_oneof![Just("keep"), Just("overwrite"), Just("30s")];
    let changer = prop_oneof![Just(None), Just(Some("c1"))];
    let force = prop::bool::weighted(0.1);
    (prop::collection::vec(tape(), 0..9), allocation, retention, key(), changer, 0i64..300, force)
        .prop_map(|(mut tapes, allocation, retention, key, changer, now, force)| {
            for (number, tape) in tapes.iter_mut().enumerate() {
                tape.uuid = number as u128 + 1;
            }
            Case { tapes, allocation, retention, key, changer, now, force }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(700))]

    /// Status and expiry of every tape, the forecast, and what allocation then really does.
    #[test]
    fn pools_do_what_the_plain_model_says(case in case()) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        case.lay_out(&state);
        let mut config = PoolConfig::new("p1");
        config.allocation = case.allocation.parse().unwrap();
        config.retention = case.retention.parse().unwrap();
        config.encrypt.clone_from(&case.key);
        prop_assert_eq!(matches!(config.allocation, Allocation::Event(_)), case.allocation.contains("UTC"));
        let reach = case.changer.map_or(Reach::StandAlone, |name| Reach::Changer(name.into()));

        let opened = MediaPool::open_for_writing(&state, config.clone(), reach.clone());
        let Ok(current) = case.session() else {
            let inconsistent = matches!(opened, Err(Error::MediaSetInconsistent { .. }));
            prop_assert!(inconsistent);
            return Ok(());
        };
        let mut pool = opened.unwrap();
        pool.start_write_session(case.now, case.force).unwrap();
        let found: Vec<Option<u128>> =
            pool.current_set().members().iter().map(|m| m.map(|m| m.as_u128())).collect();
        prop_assert_eq!(&found, &current.1);

        let times = SetTimes::of(pool.inventory());
        for tape in &case.tapes {
            let entry = pool.inventory().get(&Uuid::from_u128(tape.uuid)).unwrap();
            prop_assert_eq!(pool.status(entry), case.status(tape, &current), "{:?}", tape);
            let expired = pool.expiry(entry, &times).is_some_and(|expiry| expiry.is_over(case.now));
            prop_assert_eq!(expired, case.is_expired(tape, &current), "{:?}", tape);
        }

        let wanted = case.next_tape(&current).map(|(tape, o)| (Uuid::from_u128(tape), o));
        prop_assert_eq!(pool.guess_next(case.now), wanted);
        if !case.force {
            let inventory = Inventory::load(&state).unwrap();
            let (preview, _) = MediaPool::preview(inventory, config, reach, case.now).unwrap();
            prop_assert_eq!(preview.guess_next(case.now), wanted);
        }
        let before = Inventory::load(&state).unwrap();
        let taken = pool.allocate(case.now);
        prop_assert_eq!(taken.as_ref().ok().copied(), wanted);
        let Some((tape, origin)) = wanted else { return Ok(()) };
        let after = Inventory::load(&state).unwrap();
        let entry = after.get(&tape).unwrap();
        let label = entry.id.assigned_set().unwrap();
        prop_assert_eq!(&label.uuid, pool.current_set().uuid());
        if origin != TapeOrigin::Current {
            prop_assert_eq!((label.seq_nr, entry.status), (current.1.len() as u64, None));
            prop_assert_eq!(&label.encryption_key_fingerprint, &case.key);
            prop_assert!(label.ctime >= case.now);
            prop_assert_eq!(after.latest_set("p1"), Some(label.uuid), "nobody contests it");
        }
        // No other tape was touched.
        for old in before.entries().filter(|old| old.id.label.uuid != tape) {
            prop_assert_eq!(after.get(&old.id.label.uuid), Some(old));
        }
    }
}
