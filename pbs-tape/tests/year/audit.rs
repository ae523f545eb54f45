//! Whether the inventory and the catalogs say what is truly on the cartridges, and where those are.

use std::collections::BTreeSet;

use pbs_tape::media::listing::MediaFilter;
use pbs_tape::media::{Inventory, InventoryEntry, Location, MediaCatalog, MediaStatus};
use uuid::Uuid;
use vtl::ElementKind;

use crate::house::{CHANGER, House};
use crate::ledger::Ledger;
use crate::operator::{Operator, VAULT};
use crate::truth::{RawFile, RawTape, Truth};

/// What may differ from the rules because of what happened, by bar code.
#[derive(Debug, Default)]
pub struct Excused {
    /// Tapes that a job gave up as damaged.
    pub damaged: BTreeSet<String>,
    /// Tapes that end too early, and that the operator uses no more.
    pub retired: BTreeSet<String>,
    /// Tapes that a job was on when it ended early, with their set: the end of what it wrote is in no catalog.
    pub cut_off: BTreeSet<(String, Uuid)>,
}

/// Compares everything. The library was asked just before.
pub fn audit(
    house: &House,
    operator: &Operator,
    ledger: &Ledger,
    truth: &Truth,
    excused: &Excused,
) {
    let inventory = Inventory::load(&house.state).unwrap();
    let now = house.now();
    let listed = operator.media(house, MediaFilter::default(), now);
    let in_slots = house.in_places(ElementKind::Slot);
    let in_drives = house.in_places(ElementKind::Drive);
    let labelled = truth.tapes.values().filter(|tape| tape.label.is_some()).count();
    assert_eq!(inventory.entries().count(), labelled, "tapes in the inventory, and on the shelves");
    for (barcode, tape) in &truth.tapes {
        let Some(label) = &tape.label else {
            assert!(operator.unlabelled.contains(barcode), "{barcode} has lost its label");
            continue;
        };
        let entry = inventory.get(&label.uuid).unwrap_or_else(|| panic!("{barcode} is not known"));
        same_labels(barcode, entry, tape, excused);
        let place = if in_slots.contains(barcode) || in_drives.contains(barcode) {
            Location::Online(CHANGER.into())
        } else if operator.in_vault.contains(barcode) {
            Location::Vault(VAULT.into())
        } else {
            Location::Offline
        };
        assert_eq!(entry.location(), place, "{barcode}");
        let shown = listed.iter().find(|media| media.uuid == label.uuid).unwrap();
        let (status, is_expired) = (shown.status, shown.expired);
        check_status(barcode, tape, ledger, truth, excused, (status, is_expired), now);
        if tape.set.is_some() && !excused.damaged.contains(barcode) {
            check_catalog(house, barcode, entry, tape, excused);
        }
    }
}

fn same_labels(barcode: &str, entry: &InventoryEntry, tape: &RawTape, excused: &Excused) {
    let known = &entry.id.label;
    let label = tape.label.as_ref().unwrap();
    assert_eq!(
        (known.label_text.as_str(), known.label_text.as_str(), &known.pool, known.ctime),
        (barcode, label.text.as_str(), &label.pool, label.ctime)
    );
    if excused.damaged.contains(barcode) {
        return;
    }
    let known = entry.id.media_set_label.as_ref();
    let known = known.map(|set| (set.uuid, set.pool.as_str(), set.seq_nr, set.ctime));
    let truly = tape.set.as_ref().map(|set| (set.uuid, set.pool.as_str(), set.seq_nr, set.ctime));
    assert_eq!(known, truly, "{barcode}: its set as it is known, and on it");
}

fn check_status(
    barcode: &str,
    tape: &RawTape,
    ledger: &Ledger,
    truth: &Truth,
    excused: &Excused,
    shown: (MediaStatus, bool),
    now: i64,
) {
    if excused.retired.contains(barcode) {
        assert_eq!(shown, (MediaStatus::Retired, false), "{barcode}");
        return;
    }
    if excused.damaged.contains(barcode) {
        assert_eq!(shown, (MediaStatus::Damaged, false), "{barcode}");
        return;
    }
    let Some(set) = &tape.set else {
        assert_eq!(shown, (MediaStatus::Writable, false), "{barcode}");
        return;
    };
    // A job at this moment may begin a new set, and then no tape of the newest one is written any more.
    let is_current = ledger.newest(&set.pool) == Some(set.uuid) && !ledger.is_over(&set.pool, now);
    let is_last = truth.members(&set.uuid).len() as u64 == set.seq_nr + 1;
    // The set of a tape that was overwritten in part has no start any more; it is over in any case.
    let is_expired = ledger.until(&set.uuid) <= now;
    match shown {
        (MediaStatus::Writable, false) => assert!(is_current && is_last, "{barcode}: {set:?}"),
        (MediaStatus::Full, expired) => assert_eq!(expired, is_expired, "{barcode}: {set:?}"),
        other => panic!("{barcode} is {other:?}: {set:?}"),
    }
}

fn check_catalog(
    house: &House,
    barcode: &str,
    entry: &InventoryEntry,
    tape: &RawTape,
    excused: &Excused,
) {
    let catalog = MediaCatalog::load(&house.state, &entry.id).unwrap();
    let file = |number: u64| tape.files.get(number as usize);
    let mut known = BTreeSet::new();
    for (store, content) in catalog.content().stores() {
        for (name, number) in &content.snapshots {
            let truly = RawFile::Snapshot { store: store.clone(), name: name.clone() };
            assert_eq!(file(*number), Some(&truly), "{barcode} file {number}");
            known.insert(*number);
        }
        let check = &mut |digest: &datastore::Digest, number| {
            match file(number) {
                Some(RawFile::Chunks { store: truly, digests }) if truly == store => {
                    assert!(digests.contains(digest), "{barcode} file {number}: {digest}");
                }
                other => panic!("{barcode} file {number} is {other:?}, and no chunks of {store}"),
            }
            known.insert(number);
        };
        catalog.each_chunk(store, check).unwrap();
    }
    let set = tape.set.as_ref().unwrap().uuid;
    if excused.cut_off.contains(&(barcode.to_owned(), set)) {
        return;
    }
    for (number, file) in (0u64..).zip(&tape.files) {
        let is_known = match file {
            RawFile::Label => number == 0,
            RawFile::SetLabel => number == 1,
            // All its chunks may have come again in a later file.
            RawFile::Chunks { .. } | RawFile::Catalog | RawFile::Broken => true,
            RawFile::Snapshot { .. } => known.contains(&number),
        };
        assert!(is_known, "{barcode} file {number} is not in the catalog: {file:?}");
    }
}
