//! What is where in a library, as an operator counts it: slots from 1, storage slots first and then
//! import/export slots; drives from 0.
//!
//! Two JSON shapes exist. [`Status`] itself serialises to that of the low-level tool (and of caches),
//! [`Status::entries`] to the list of the API.

use scsi::Sense;
use scsi::command::element::Element;
use serde::{Deserialize, Serialize};

use crate::element::Elements;
use crate::error::{Error, Result};

/// Label texts that begin so belong to cleaning cartridges.
pub const CLEANING_PREFIX: &str = "CLN";

/// What an element holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElementStatus {
    /// Nothing.
    Empty,
    /// A cartridge whose bar code is not known.
    Full,
    /// The cartridge with this bar code.
    VolumeTag(String),
}

impl ElementStatus {
    fn of(element: &Element) -> ElementStatus {
        match (&element.tag, element.full) {
            (_, false) => ElementStatus::Empty,
            (None, true) => ElementStatus::Full,
            (Some(tag), true) => ElementStatus::VolumeTag(tag.clone()),
        }
    }

    /// True if there is no cartridge.
    pub fn is_empty(&self) -> bool {
        *self == ElementStatus::Empty
    }

    /// The bar code, if it is known.
    pub fn label(&self) -> Option<&str> {
        match self {
            ElementStatus::VolumeTag(tag) => Some(tag),
            ElementStatus::Empty | ElementStatus::Full => None,
        }
    }

    /// True if the cartridge's label text says that it cleans.
    pub fn is_cleaning_cartridge(&self) -> bool {
        self.label().is_some_and(|label| label.starts_with(CLEANING_PREFIX))
    }

    /// Label text for lists: absent when empty, empty text when the bar code is not known.
    fn label_text(&self) -> Option<String> {
        match self {
            ElementStatus::Empty => None,
            ElementStatus::Full => Some(String::new()),
            ElementStatus::VolumeTag(tag) => Some(tag.clone()),
        }
    }
}

/// A drive as the library sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveStatus {
    /// Slot that the loaded cartridge came from, if the library remembers it.
    pub loaded_slot: Option<u64>,
    /// What the drive holds.
    pub status: ElementStatus,
    /// Serial number; some libraries tell only its first 10 characters.
    pub drive_serial_number: Option<String>,
    /// Vendor.
    pub vendor: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Element address.
    pub element_address: u16,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// An operator reaches it, or it is configured to count as such.
    pub import_export: bool,
    /// What the slot holds.
    pub status: ElementStatus,
    /// Element address.
    pub element_address: u16,
}

/// A robot arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportStatus {
    /// What the arm holds.
    pub status: ElementStatus,
    /// Element address.
    pub element_address: u16,
}

/// What is where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Drives, number 0 first.
    pub drives: Vec<DriveStatus>,
    /// Slots, number 1 first.
    pub slots: Vec<SlotStatus>,
    /// Robot arms.
    pub transports: Vec<TransportStatus>,
    /// What is odd about the library's answer, for people.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Where a cartridge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the drive of this number.
    Drive(u64),
    /// In the storage slot of this number.
    Slot(u64),
    /// In the import/export slot of this number.
    ImportExport(u64),
}

/// Kind of an [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Drive.
    Drive,
    /// Storage slot.
    Slot,
    /// Import/export slot.
    ImportExport,
}

/// One line of the operator's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Kind.
    pub entry_kind: EntryKind,
    /// Number of the drive (from 0) or slot (from 1).
    pub entry_id: u64,
    /// Bar code; absent if empty, empty if there is a cartridge without readable bar code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_text: Option<String>,
    /// Slot that a drive's cartridge came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded_slot: Option<u64>,
    /// What is going on in a drive; filled in by whoever knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl Status {
    /// Numbers the elements. `export_slots` are slot numbers that count as import/export slots although
    /// the library calls them storage.
    pub(crate) fn number(
        changer: &str,
        elements: &Elements,
        export_slots: &[u64],
    ) -> Result<Status> {
        let unconfigured = |what| Err(Error::Unconfigured { changer: changer.to_string(), what });
        let mut warnings = Vec::new();
        let mut warn = |place: String, element: &Element| {
            if let Some((asc, ascq)) = element.exception {
                let text = Sense::new(scsi::SenseKey::NoSense, asc, ascq).to_string();
                warnings.push(format!("{place} is in an abnormal state: {text}"));
            }
        };
        let storage = elements.storage.iter().map(|one| (false, one));
        let import_export = elements.import_export.iter().map(|one| (true, one));
        let mut slots = Vec::new();
        for (number, (import_export, element)) in (1u64..).zip(storage.chain(import_export)) {
            warn(format!("slot {number}"), element);
            slots.push(SlotStatus {
                import_export: import_export || export_slots.contains(&number),
                status: ElementStatus::of(element),
                element_address: element.address,
            });
        }
        if slots.is_empty() {
            return unconfigured("slots");
        }
        let slot_of = |address: u16| {
            (1u64..).zip(&slots).find(|(_, slot)| slot.element_address == address).map(|(n, _)| n)
        };
        let mut drives = Vec::new();
        for (number, element) in (0u64..).zip(&elements.drives) {
            warn(format!("drive {number}"), element);
            let status = ElementStatus::of(element);
            let identifier = element.identifier.clone().unwrap_or_default();
            drives.push(DriveStatus {
                // A source that outlives its cartridge says nothing.
                loaded_slot: element.source.filter(|_| !status.is_empty()).and_then(slot_of),
                status,
                drive_serial_number: identifier.serial,
                vendor: identifier.vendor,
                model: identifier.model,
                element_address: element.address,
            });
        }
        if drives.is_empty() {
            return unconfigured("drives");
        }
        let transports = elements
            .transports
            .iter()
            .map(|element| TransportStatus {
                status: ElementStatus::of(element),
                element_address: element.address,
            })
            .collect();
        Ok(Status { drives, slots, transports, warnings })
    }

    /// Slots with their numbers.
    pub fn numbered_slots(&self) -> impl Iterator<Item = (u64, &SlotStatus)> {
        (1u64..).zip(&self.slots)
    }

    /// Drives with their numbers.
    pub fn numbered_drives(&self) -> impl Iterator<Item = (u64, &DriveStatus)> {
        (0u64..).zip(&self.drives)
    }

    /// Slot number `slot`, from 1.
    pub fn slot(&self, slot: u64) -> Option<&SlotStatus> {
        self.slots.get(usize::try_from(slot.checked_sub(1)?).ok()?)
    }

    /// Drive number `drive`, from 0.
    pub fn drive(&self, drive: u64) -> Option<&DriveStatus> {
        self.drives.get(usize::try_from(drive).ok()?)
    }

    /// Where the cartridge with this bar code is; drives are looked at first.
    pub fn find(&self, label: &str) -> Option<Place> {
        let is_it = |status: &ElementStatus| status.label() == Some(label);
        if let Some((number, _)) = self.numbered_drives().find(|(_, one)| is_it(&one.status)) {
            return Some(Place::Drive(number));
        }
        // The same bar code twice: the one the changer may use counts.
        let found = |import_export| {
            self.numbered_slots()
                .find(|(_, one)| one.import_export == import_export && is_it(&one.status))
                .map(|(number, _)| number)
        };
        found(false).map(Place::Slot).or_else(|| found(true).map(Place::ImportExport))
    }

    /// First empty slot of the kind, by number.
    pub fn first_free_slot(&self, import_export: bool) -> Option<u64> {
        self.numbered_slots()
            .find(|(_, one)| one.import_export == import_export && one.status.is_empty())
            .map(|(number, _)| number)
    }

    /// Where to put the cartridge of a drive: the slot it came from if that is known and empty, else
    /// the first empty storage slot.
    pub fn slot_to_unload(&self, drive: u64) -> Option<u64> {
        let home = self.drive(drive).and_then(|one| one.loaded_slot);
        home.filter(|slot| self.slot(*slot).is_some_and(|one| one.status.is_empty()))
            .or_else(|| self.first_free_slot(false))
    }

    /// Bar codes that the changer can bring into a drive: those in drives and storage slots, without
    /// cleaning cartridges.
    pub fn online_labels(&self) -> Vec<&str> {
        let drives = self.drives.iter().map(|one| &one.status);
        let slots = self.slots.iter().filter(|one| !one.import_export).map(|one| &one.status);
        drives
            .chain(slots)
            .filter(|status| !status.is_cleaning_cartridge())
            .filter_map(ElementStatus::label)
            .collect()
    }

    /// The drive with this serial number, if exactly one can be meant. Libraries may know only the
    /// first 10 characters of it.
    pub fn drive_of_serial(&self, serial: &str) -> Option<u64> {
        const IDENTIFIER_CHARACTERS: usize = 10;
        let serial = serial.trim();
        let matches = |is_same: &dyn Fn(&str) -> bool| {
            let mut found = self.numbered_drives().filter(|(_, one)| {
                one.drive_serial_number.as_deref().map(str::trim).is_some_and(is_same)
            });
            let first = found.next()?;
            found.next().is_none().then_some(first.0)
        };
        if serial.is_empty() {
            return None;
        }
        matches(&|known| known == serial).or_else(|| {
            matches(&|known| known.len() == IDENTIFIER_CHARACTERS && serial.starts_with(known))
        })
    }

    /// The list as the API shows it: drives first, then slots.
    pub fn entries(&self) -> Vec<Entry> {
        let drives = self.numbered_drives().map(|(number, one)| Entry {
            entry_kind: EntryKind::Drive,
            entry_id: number,
            label_text: one.status.label_text(),
            loaded_slot: one.loaded_slot,
            state: None,
        });
        let slots = self.numbered_slots().map(|(number, one)| Entry {
            entry_kind: if one.import_export { EntryKind::ImportExport } else { EntryKind::Slot },
            entry_id: number,
            label_text: one.status.label_text(),
            loaded_slot: None,
            state: None,
        });
        drives.chain(slots).collect()
    }
}

#[cfg(test)]
mod tests {
    use scsi::command::element::DriveIdentifier;

    use super::*;

    fn full(address: u16, tag: Option<&str>) -> Element {
        Element { full: true, tag: tag.map(str::to_string), ..Element::empty(address) }
    }

    fn elements() -> Elements {
        let mut drive = full(256, Some("CAP001L8"));
        drive.source = Some(1025);
        drive.identifier = Some(DriveIdentifier {
            vendor: Some("IBM".into()),
            model: Some("ULT3580-TD8".into()),
            serial: Some("1013000042".into()),
        });
        let mut idle = Element::empty(257);
        idle.source = Some(1024);
        Elements {
            transports: vec![Element::empty(0)],
            storage: vec![
                full(1024, Some("CAP002L8")),
                Element::empty(1025),
                full(1026, None),
                full(1027, Some("CLN001L8")),
                full(1028, Some("CAP003L8")),
                Element::empty(1029),
            ],
            import_export: vec![full(768, Some("CAP004L8")), Element::empty(769)],
            drives: vec![drive, idle],
        }
    }

    fn status() -> Status {
        Status::number("lib", &elements(), &[5, 6]).unwrap()
    }

    #[test]
    fn json_of_the_tool() {
        let json = serde_json::to_value(status()).unwrap();
        assert_eq!(
            json["drives"],
            serde_json::json!([
                {"loaded_slot": 2, "status": {"VolumeTag": "CAP001L8"},
                 "drive_serial_number": "1013000042", "vendor": "IBM", "model": "ULT3580-TD8",
                 "element_address": 256},
                {"loaded_slot": null, "status": "Empty", "drive_serial_number": null,
                 "vendor": null, "model": null, "element_address": 257}
            ])
        );
        assert_eq!(
            json["slots"][2],
            serde_json::json!({"import_export": false, "status": "Full", "element_address": 1026})
        );
        assert_eq!(
            json["transports"],
            serde_json::json!([{"status": "Empty", "element_address": 0}])
        );
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status());
    }

    #[test]
    fn json_of_the_list() {
        let list = serde_json::to_value(status().entries()).unwrap();
        assert_eq!(
            list[0],
            serde_json::json!({"entry-kind": "drive", "entry-id": 0, "label-text": "CAP001L8", "loaded-slot": 2})
        );
        assert_eq!(list[1], serde_json::json!({"entry-kind": "drive", "entry-id": 1}));
        assert_eq!(
            list[4],
            serde_json::json!({"entry-kind": "slot", "entry-id": 3, "label-text": ""})
        );
        // Slot 5 is configured as export slot, slot 7 is one.
        assert_eq!(list[6]["entry-kind"], "import-export");
        assert_eq!(list[8]["entry-kind"], "import-export");
    }

    #[test]
    fn places() {
        let status = status();
        assert_eq!(status.find("CAP001L8"), Some(Place::Drive(0)));
        assert_eq!(status.find("CAP002L8"), Some(Place::Slot(1)));
        assert_eq!(status.find("CAP003L8"), Some(Place::ImportExport(5)));
        assert_eq!(status.find("CAP004L8"), Some(Place::ImportExport(7)));
        assert_eq!(status.find("CAP999L8"), None);
        assert_eq!(status.online_labels(), ["CAP001L8", "CAP002L8"]);
        assert_eq!(status.first_free_slot(true), Some(6));
        assert_eq!(status.slot_to_unload(0), Some(2));
        assert_eq!((status.slot(0), status.drive(2)), (None, None));
    }

    #[test]
    fn home_slot_taken_meanwhile() {
        let mut elements = elements();
        elements.storage[1] = full(1025, Some("CAP009L8"));
        elements.storage[2] = Element::empty(1026);
        let status = Status::number("lib", &elements, &[]).unwrap();
        assert_eq!(status.slot_to_unload(0), Some(3));
    }

    #[test]
    fn serial_numbers_cut_to_ten_characters() {
        let status = status();
        assert_eq!(status.drive_of_serial("1013000042"), Some(0));
        assert_eq!(status.drive_of_serial(" 1013000042AB "), Some(0));
        assert_eq!(status.drive_of_serial("10130000"), None);
        let mut twice = status;
        twice.drives[1].drive_serial_number = Some("1013000042".into());
        assert_eq!(twice.drive_of_serial("1013000042"), None);
        assert_eq!(twice.drive_of_serial(""), None);
    }

    #[test]
    fn libraries_without_drives_or_slots_and_odd_elements() {
        let mut none = elements();
        none.drives.clear();
        assert!(matches!(
            Status::number("lib", &none, &[]),
            Err(Error::Unconfigured { what: "drives", .. })
        ));
        let mut none = elements();
        none.storage.clear();
        none.import_export.clear();
        assert!(Status::number("lib", &none, &[]).is_err());
        let mut odd = elements();
        odd.storage[0].exception = Some((0x3b, 0x12));
        let status = Status::number("lib", &odd, &[]).unwrap();
        assert!(status.warnings[0].contains("slot 1") && status.warnings[0].contains("magazine"));
    }
}
