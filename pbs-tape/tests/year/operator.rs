//! The operator: empties mail slots, keeps a shelf and a vault, brings what is wanted, labels new cartridges.
//!
//! Everything that is known here comes from what an operator can ask: pool status, the list of media, and a look at the
//! library. Every cartridge goes in and out through the mail slots.

use std::collections::{BTreeMap, BTreeSet};

use datastore::progress::Silent;
use pbs_tape::loader::MediaLoader;
use pbs_tape::media::listing::{MediaFilter, MediaListEntry, media_list};
use pbs_tape::media::pool_status::pool_status;
use pbs_tape::media::{MediaStatus, PoolConfig, Reach};
use pbs_tape::operations::export::{export_set, import_all};
use pbs_tape::operations::inventory::{InventoryOptions, inventory};
use pbs_tape::operations::label::barcode_label;
use pbs_tape::operations::media::move_set;
use uuid::Uuid;
use vtl::{ByHand, ElementKind};

use crate::house::{CAPACITY_BYTES, CHANGER, DRIVES, House, MAIL_SLOTS, SLOTS};

pub const VAULT: &str = "bank";

pub struct Operator {
    pub pools: Vec<PoolConfig>,
    /// Bar codes of cartridges that were brought to the vault.
    pub in_vault: BTreeSet<String>,
    /// Cartridges that were bought.
    bought: u32,
    /// What new cartridges hold that are bought for a pool, where it is not what others do.
    special: BTreeMap<&'static str, u64>,
    capacities: BTreeMap<String, u64>,
    /// Put in by mistake and without a label so far.
    pub unlabelled: BTreeSet<String>,
}

impl Operator {
    pub fn new(pools: Vec<PoolConfig>, special: BTreeMap<&'static str, u64>) -> Operator {
        Operator {
            pools,
            in_vault: BTreeSet::new(),
            bought: 0,
            special,
            capacities: BTreeMap::new(),
            unlabelled: BTreeSet::new(),
        }
    }

    pub fn pool(&self, name: &str) -> &PoolConfig {
        self.pools.iter().find(|pool| pool.name == name).unwrap()
    }

    /// Takes the tapes out of drives that nobody uses.
    pub fn empty_drives(&self, house: &House) {
        for drive in 0..DRIVES {
            house.station(drive, None).unload(None).unwrap();
        }
    }

    /// Takes everything out of the mail slots and puts it on the shelf.
    pub fn empty_mail_slots(&self, house: &House) {
        for barcode in house.in_places(ElementKind::ImportExport) {
            house.library.take_out(&barcode).unwrap();
        }
    }

    /// Puts cartridges from the shelf, or new ones, through the mail slots into slots.
    fn put_in(&mut self, house: &House, barcodes: &[String]) {
        self.empty_mail_slots(house);
        for round in barcodes.chunks(MAIL_SLOTS.into()) {
            for barcode in round {
                house
                    .library
                    .put_in(barcode, ByHand::Station, self.capacities.get(barcode).copied())
                    .unwrap();
                self.in_vault.remove(barcode);
            }
            let imported =
                house.with_robot(|robot| import_all(&house.state, robot, &Silent)).unwrap();
            assert!(imported.iter().all(|one| one.slot.is_some()), "{imported:?}");
        }
    }

    /// Sends cartridges through the mail slots to the shelf.
    fn send_away(&self, house: &House, barcodes: &[String]) {
        self.empty_mail_slots(house);
        for round in barcodes.chunks(MAIL_SLOTS.into()) {
            house.with_robot(|robot| {
                for barcode in round {
                    assert!(robot.changer.export(barcode, None).unwrap().is_some(), "{barcode}");
                }
            });
            self.empty_mail_slots(house);
        }
    }

    /// The list of media, as a job at `at` would see them.
    pub fn media(&self, house: &House, filter: MediaFilter, at: i64) -> Vec<MediaListEntry> {
        let (list, odd) = media_list(&house.state, &self.pools, &filter, at).unwrap();
        assert!(odd.is_empty(), "{odd:?}");
        list
    }

    /// Asks the library what it holds, so that the inventory knows.
    pub fn look(&self, house: &House) {
        let options = InventoryOptions::default();
        inventory(&house.state, &mut house.station(0, None), &options, &Silent).unwrap();
    }

    /// Has so many slots free, without sending away what is in `needed`.
    fn make_room(&self, house: &House, slots: usize, needed: &BTreeSet<String>, at: i64) {
        let in_slots = house.in_places(ElementKind::Slot);
        // The tapes in the drives want a slot, too.
        let taken = in_slots.len() + house.in_places(ElementKind::Drive).len();
        let free = usize::from(SLOTS).saturating_sub(taken);
        let Some(lacking) = slots.checked_sub(free).filter(|lacking| *lacking > 0) else { return };
        let mut away = self.media(house, MediaFilter::default(), at);
        away.retain(|media| {
            in_slots.contains(&media.label_text) && !needed.contains(&media.label_text)
        });
        // What is full and kept is wanted last, what a job may write on first.
        away.sort_by_key(|media| (media.status != MediaStatus::Full, media.expired));
        assert!(away.len() >= lacking, "{lacking} slots cannot be made free beside {needed:?}");
        let texts: Vec<String> =
            away.into_iter().take(lacking).map(|media| media.label_text).collect();
        self.send_away(house, &texts);
    }

    /// Brings these cartridges into slots.
    pub fn bring(&mut self, house: &House, barcodes: &[String], at: i64) {
        self.empty_drives(house);
        self.empty_mail_slots(house);
        let outside = house.outside();
        let lacking: Vec<String> =
            barcodes.iter().filter(|text| outside.contains(text)).cloned().collect();
        let needed = barcodes.iter().cloned().collect();
        self.make_room(house, lacking.len(), &needed, at);
        self.put_in(house, &lacking);
        self.look(house);
    }

    /// Sees to it that a job of the pool at `at` finds cartridges to write on: so many if it begins a set, or if it goes on
    /// with one.
    pub fn prepare(
        &mut self,
        house: &House,
        pool: &str,
        (begins, goes_on): (usize, usize),
        at: i64,
    ) {
        let config = self.pool(pool).clone();
        self.look(house);
        let reach = Reach::Changer(CHANGER.into());
        let status = pool_status(&house.state, &config, reach, at).unwrap();
        let is_new = status.new_media_set.is_some() || status.media_set_uuid.is_none();
        let cartridges = if is_new { begins } else { goes_on };
        let here = format!("online-{CHANGER}");
        let is_usable = |status, expired| status == MediaStatus::Writable || expired;
        let mut ready: Vec<String> = status
            .media
            .iter()
            .filter(|media| media.location == here && is_usable(media.status, media.expired))
            .map(|media| media.label_text.clone())
            .collect();
        if ready.len() >= cartridges {
            return;
        }
        // What lies outside and may be written on: on the shelf, and in the vault what has come of age.
        let outside = house.outside();
        let filter = MediaFilter { pool: Some(pool.into()), ..MediaFilter::default() };
        let mut wanted: Vec<String> = self
            .media(house, filter, at)
            .into_iter()
            .filter(|media| outside.contains(&media.label_text))
            .filter(|media| is_usable(media.status, media.expired))
            .map(|media| media.label_text)
            .collect();
        wanted.truncate(cartridges - ready.len());
        ready.extend(wanted.iter().cloned());
        self.bring_beside(house, &wanted, &ready, at);
        let lacking = cartridges - ready.len();
        if lacking > 0 {
            self.buy(house, pool, lacking, &ready, at);
        }
    }

    fn bring_beside(&mut self, house: &House, barcodes: &[String], ready: &[String], at: i64) {
        self.empty_drives(house);
        let needed: BTreeSet<String> = ready.iter().cloned().collect();
        self.make_room(house, barcodes.len(), &needed, at);
        self.put_in(house, barcodes);
        self.look(house);
    }

    /// New cartridges: they come through the mail slots and are labelled.
    fn buy(&mut self, house: &House, pool: &str, count: usize, ready: &[String], at: i64) {
        let new: Vec<String> = (0..count).map(|_| self.new_bar_code()).collect();
        if let Some(capacity_bytes) = self.special.get(pool).copied() {
            self.capacities.extend(new.iter().map(|text| (text.clone(), capacity_bytes)));
        }
        self.bring_beside(house, &new, ready, at);
        let mut station = house.station(0, None);
        let report = barcode_label(&house.state, &mut station, Some(pool), &Silent).unwrap();
        assert!(report.failed.is_empty(), "{report:?}");
        let labelled = |text: &String| report.labelled.iter().any(|one| one.label_text == *text);
        assert!(new.iter().all(labelled), "{report:?}");
        self.unlabelled.retain(|text| !labelled(text));
        station.unload(None).unwrap();
    }

    /// True if a cartridge in the library takes less than it did when it was bought.
    pub fn is_short(&self, house: &House, barcode: &str) -> bool {
        let listing = house.library.list().unwrap();
        let of_it = |element: &vtl::ListedElement| element.barcode.as_deref() == Some(barcode);
        let capacity_bytes = listing.elements.into_iter().find(of_it).unwrap().capacity_bytes;
        capacity_bytes.unwrap() < self.capacities.get(barcode).copied().unwrap_or(CAPACITY_BYTES)
    }

    pub fn new_bar_code(&mut self) -> String {
        self.bought += 1;
        format!("Y{:05}L8", self.bought)
    }

    /// Brings a set out of the house: through the mail slots, in as many rounds as it takes, then to the vault.
    pub fn vault(&mut self, house: &House, set: &Uuid) {
        self.empty_drives(house);
        loop {
            self.empty_mail_slots(house);
            let exported = house
                .with_robot(|robot| export_set(&house.state, set, robot, false, &Silent))
                .unwrap();
            assert!(exported.unknown.is_empty(), "{exported:?}");
            let mail = house.in_places(ElementKind::ImportExport);
            if mail.is_empty() {
                break;
            }
            let of_set = |text: &String| exported.tapes.iter().any(|one| one.label_text == *text);
            assert!(mail.iter().all(of_set), "{mail:?} {exported:?}");
            self.empty_mail_slots(house);
            self.in_vault.extend(exported.tapes.into_iter().map(|one| one.label_text));
        }
        let moved = move_set(&house.state, set, Some(VAULT), false).unwrap();
        assert!(moved.unknown.is_empty(), "{moved:?}");
    }
}
