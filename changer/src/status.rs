//! What is where in a library, as an operator counts it: slots from 1, storage slots first and then
//! import/export slots; drives from 0.
//!
//! Two JSON shapes exist. [`Status`] itself serialises to that of the low-level tool (and of caches),
//! [`Status::entries`] to the list of the API.

use scsi::command::element::Element;
use scsi::sense::ElementException;
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

/// Why an element is in an abnormal state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
    /// The same in words.
    pub text: String,
}

impl Exception {
    fn of(element: &Element) -> Option<Exception> {
        let (asc, ascq) = element.exception?;
        Some(Exception { asc, ascq, text: ElementException { asc, ascq }.to_string() })
    }
}

/// True for what is left out of the JSON: other tools do not know it.
fn is_false(value: &bool) -> bool {
    !*value
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
    /// Abnormal state, if the library tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    /// Switched off.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
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
    /// Abnormal state, if the library tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    /// Switched off.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
}

impl SlotStatus {
    /// A cartridge can be put here.
    pub fn is_free(&self) -> bool {
        self.status.is_empty() && self.exception.is_none() && !self.disabled
    }
}

/// A robot arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportStatus {
    /// What the arm holds.
    pub status: ElementStatus,
    /// Element address.
    pub element_address: u16,
    /// Slot that the cartridge in it came from, if the library remembers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded_slot: Option<u64>,
    /// Abnormal state, if the library tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
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
    /// What is odd about the library or its answers and may matter, for people.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// What is odd about its answers and does no harm, for people who know SMC.
    #[serde(skip)]
    pub notes: Vec<String>,
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
        let told = |texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| format!("changer {changer} {text}")).collect()
        };
        let (mut warnings, mut notes) = (told(&elements.warnings), told(&elements.notes));
        let mut look_at = |place: String, element: &Element| {
            if let Some((asc, ascq)) = element.exception {
                let exception = ElementException { asc, ascq };
                // It can be used by its slot, and operators know their unlabelled cartridges.
                let list = if exception.is_bar_code_unread() { &mut notes } else { &mut warnings };
                list.push(format!(
                    "changer {changer}: {place} is in an abnormal state: {exception}"
                ));
            }
            if element.disabled {
                warnings.push(format!("changer {changer}: {place} is switched off"));
            }
        };
        let storage = elements.storage.iter().map(|one| (false, one));
        let import_export = elements.import_export.iter().map(|one| (true, one));
        let mut slots = Vec::new();
        for (number, (import_export, element)) in (1u64..).zip(storage.chain(import_export)) {
            look_at(format!("slot {number}"), element);
            slots.push(SlotStatus {
                import_export: import_export || export_slots.contains(&number),
                status: ElementStatus::of(element),
                element_address: element.address,
                exception: Exception::of(element),
                disabled: element.disabled,
            });
        }
        if slots.is_empty() {
            return unconfigured("slots");
        }
        // A source that outlives its cartridge says nothing.
        let source_slot = |element: &Element| {
            let address = element.source.filter(|_| element.full)?;
            (1u64..).zip(&slots).find(|(_, slot)| slot.element_address == address).map(|(n, _)| n)
        };
        let mut drives = Vec::new();
        for (number, element) in (0u64..).zip(&elements.drives) {
            look_at(format!("drive {number}"), element);
            let identifier = element.identifier.clone().unwrap_or_default();
            drives.push(DriveStatus {
                loaded_slot: source_slot(element),
                status: ElementStatus::of(element),
                drive_serial_number: identifier.serial,
                vendor: identifier.vendor,
                model: identifier.model,
                element_address: element.address,
                exception: Exception::of(element),
                disabled: element.disabled,
            });
        }
        if drives.is_empty() {
            return unconfigured("drives");
        }
        let transports: Vec<_> = elements
            .transports
            .iter()
            .map(|element| TransportStatus {
                status: ElementStatus::of(element),
                element_address: element.address,
                loaded_slot: source_slot(element),
                exception: Exception::of(element),
            })
            .collect();
        for (arm, number) in transports.iter().zip(0u64..) {
            if let Some(exception) = &arm.exception {
                let text = &exception.text;
                warnings.push(format!(
                    "changer {changer}: arm {number} is in an abnormal state: {text}"
                ));
            }
            if !arm.status.is_empty() {
                let label = arm.status.label().unwrap_or("without readable bar code");
                warnings.push(format!(
                    "changer {changer}: cartridge {label} is in the robot's arm; have it put back into a slot"
                ));
            }
        }
        let mut status = Status { drives, slots, transports, warnings, notes };
        status.look_for_bar_codes(changer);
        Ok(status)
    }

    /// Without a bar-code reader nothing can be found by its label.
    fn look_for_bar_codes(&mut self, changer: &str) {
        let places = || {
            let drives = self.drives.iter().map(|one| &one.status);
            drives.chain(self.slots.iter().map(|one| &one.status))
        };
        let full = places().filter(|status| !status.is_empty()).count();
        if full > 0 && places().all(|status| status.label().is_none()) {
            self.warnings.push(format!(
                "changer {changer} tells no bar code of its {full} cartridges; without a bar-code reader they can be \
                 used by slot number only"
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        let labels = places().filter_map(ElementStatus::label);
        let twice: Vec<&str> = labels.filter(|label| !seen.insert(*label)).collect();
        if !twice.is_empty() {
            let text = format!(
                "changer {changer}: bar code {} is there more than once; which cartridge is meant cannot be known",
                twice.join(", ")
            );
            self.warnings.push(text);
        }
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

    /// First empty slot of the kind that can be used, by number. A place that is switched off or in an abnormal
    /// state (magazine taken out) cannot.
    pub fn first_free_slot(&self, import_export: bool) -> Option<u64> {
        self.numbered_slots()
            .find(|(_, one)| one.import_export == import_export && one.is_free())
            .map(|(number, _)| number)
    }

    /// Where to put the cartridge of a drive: the slot it came from if that is known and empty, else
    /// the first empty storage slot.
    pub fn slot_to_unload(&self, drive: u64) -> Option<u64> {
        let home = self.drive(drive).and_then(|one| one.loaded_slot);
        home.filter(|slot| self.slot(*slot).is_some_and(SlotStatus::is_free))
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
pub(crate) mod tests {
    use scsi::command::element::DriveIdentifier;

    use super::*;

    fn full(address: u16, tag: Option<&str>) -> Element {
        Element { full: true, tag: tag.map(str::to_string), ..Element::empty(address) }
    }

    pub(crate) fn elements() -> Elements {
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
            ..Elements::default()
        }
    }

    pub(crate) fn status() -> Status {
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
        // A place that is not there is not free.
        let mut odd = elements();
        odd.storage[1].exception = Some((0x3b, 0x12));
        odd.storage[5].disabled = true;
        let status = Status::number("lib", &odd, &[]).unwrap();
        assert_eq!(status.first_free_slot(false), None);
        assert!(status.warnings[1].contains("slot 6 is switched off"), "{:?}", status.warnings);
    }

    #[test]
    fn cartridges_that_cannot_be_told_apart() {
        let mut blind = elements();
        let all = blind.storage.iter_mut().chain(&mut blind.drives).chain(&mut blind.import_export);
        all.for_each(|element| element.tag = None);
        blind.storage[0].exception = Some((0x83, 0x09));
        let status = Status::number("lib", &blind, &[]).unwrap();
        assert_eq!(status.warnings.len(), 1, "{:?}", status.warnings);
        assert!(status.warnings[0].contains("by slot number only"));
        assert!(status.notes[0].contains("no bar code on the cartridge"), "{:?}", status.notes);
        assert!(status.online_labels().is_empty());

        let mut twins = elements();
        twins.storage[0].tag = Some("CAP001L8".into());
        let status = Status::number("lib", &twins, &[]).unwrap();
        assert!(status.warnings[0].contains("CAP001L8 is there more than once"));
    }

    #[test]
    fn a_cartridge_in_the_arm_is_told() {
        let mut holding = elements();
        holding.transports[0] = Element { source: Some(1025), ..full(0, Some("CAP007L8")) };
        let status = Status::number("lib", &holding, &[]).unwrap();
        assert_eq!(status.transports[0].loaded_slot, Some(2));
        assert!(status.warnings[0].contains("CAP007L8 is in the robot's arm"));
    }
}
