//! A library's content as text: Capstan's own, and that of `mtx` for the scripts that read it.
//!
//! `mtx`'s text has a grammar that programs rely on (`Status::to_mtx_text`):
//!
//! ```text
//!   Storage Changer NAME:D Drives, S Slots ( I Import/Export )
//! Data Transfer Element 0:Empty
//! Data Transfer Element 1:Full (Storage Element 3 Loaded):VolumeTag = CAP001L8
//! Data Transfer Element 2:Full (Unknown Storage Element Loaded)
//!       Storage Element 1:Empty
//!       Storage Element 2:Full :VolumeTag=CAP002L8
//!       Storage Element 3 IMPORT/EXPORT:Full
//! ```
//!
//! Drives count from 0, slots from 1, in one row with the import/export slots; S counts those too. A bar code
//! has its field's 32 characters, filled up with blanks as robots send it; a line is always ended behind it.

use std::fmt::Write as _;

use crate::status::{ElementStatus, Exception, Status};

impl Status {
    /// For people: one line an element, with its number, content and what is odd about it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (number, arm) in (0u64..).zip(&self.transports) {
            let content = content(&arm.status);
            let _ = write!(text, "Transport Element {number:>5}: {content}");
            end(&mut text, arm.loaded_slot, None, arm.exception.as_ref(), false);
        }
        for (number, drive) in self.numbered_drives() {
            let content = content(&drive.status);
            let _ = write!(text, "Data Transfer Element (Drive) {number:>3}: {content}");
            let serial = drive.drive_serial_number.as_deref();
            end(&mut text, drive.loaded_slot, serial, drive.exception.as_ref(), drive.disabled);
        }
        for import_export in [false, true] {
            let slots = self.numbered_slots().filter(|(_, one)| one.import_export == import_export);
            for (number, slot) in slots {
                let name = if import_export { "Import/Export  " } else { "Storage Element" };
                let content = content(&slot.status);
                let _ = write!(text, "  {name} {number:>4}: {content}");
                end(&mut text, None, None, slot.exception.as_ref(), slot.disabled);
            }
        }
        text
    }

    /// As `mtx status` prints it; `name` is the changer's.
    pub fn to_mtx_text(&self, name: &str) -> String {
        let name = one_line(name);
        let import_export = self.slots.iter().filter(|slot| slot.import_export).count();
        let mut text = format!(
            "  Storage Changer {name}:{} Drives, {} Slots ( {import_export} Import/Export )\n",
            self.drives.len(),
            self.slots.len()
        );
        for (number, drive) in self.numbered_drives() {
            let _ = write!(text, "Data Transfer Element {number}:");
            let _ = match (&drive.status, drive.loaded_slot) {
                (ElementStatus::Empty, _) => write!(text, "Empty"),
                (_, Some(slot)) => write!(text, "Full (Storage Element {slot} Loaded)"),
                (_, None) => write!(text, "Full (Unknown Storage Element Loaded)"),
            };
            if let Some(label) = drive.status.label() {
                let _ = write!(text, ":VolumeTag = {:<32}", one_line(label));
            }
            text.push('\n');
        }
        for (number, slot) in self.numbered_slots() {
            let kind = if slot.import_export { " IMPORT/EXPORT" } else { "" };
            let content = if slot.status.is_empty() { "Empty" } else { "Full " };
            let _ = write!(text, "      Storage Element {number}{kind}:{content}");
            if let Some(label) = slot.status.label() {
                let _ = write!(text, ":VolumeTag={:<32}", one_line(label));
            }
            text.push('\n');
        }
        text
    }
}

fn content(status: &ElementStatus) -> String {
    match status {
        ElementStatus::Empty => "empty".to_string(),
        ElementStatus::Full => "full, without readable bar code".to_string(),
        ElementStatus::VolumeTag(tag) => one_line(tag),
    }
}

fn end(
    text: &mut String,
    source: Option<u64>,
    serial: Option<&str>,
    exception: Option<&Exception>,
    disabled: bool,
) {
    if let Some(slot) = source {
        let _ = write!(text, ", from slot {slot}");
    }
    if let Some(serial) = serial {
        let _ = write!(text, ", serial number {}", one_line(serial));
    }
    if let Some(exception) = exception {
        let _ = write!(text, ", {}", one_line(&exception.text));
    }
    if disabled {
        text.push_str(", switched off");
    }
    text.push('\n');
}

/// Text of a library cannot begin a line of its own.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::status;

    #[test]
    fn for_people() {
        let mut status = status();
        status.slots[0].exception =
            Some(Exception { asc: 0x83, ascq: 0, text: "bar code questionable (83/00)".into() });
        status.slots[1].disabled = true;
        assert_eq!(
            status.to_text(),
            "\
Transport Element     0: empty
Data Transfer Element (Drive)   0: CAP001L8, from slot 2, serial number 1013000042
Data Transfer Element (Drive)   1: empty
  Storage Element    1: CAP002L8, bar code questionable (83/00)
  Storage Element    2: empty, switched off
  Storage Element    3: full, without readable bar code
  Storage Element    4: CLN001L8
  Import/Export      5: CAP003L8
  Import/Export      6: empty
  Import/Export      7: CAP004L8
  Import/Export      8: empty
"
        );
    }

    #[test]
    fn as_mtx_prints_it() {
        let mut status = status();
        status.drives[1].status = ElementStatus::Full;
        assert_eq!(
            status.to_mtx_text("/dev/sg3"),
            "  Storage Changer /dev/sg3:2 Drives, 8 Slots ( 4 Import/Export )\n\
             Data Transfer Element 0:Full (Storage Element 2 Loaded):VolumeTag = CAP001L8                        \n\
             Data Transfer Element 1:Full (Unknown Storage Element Loaded)\n      \
             Storage Element 1:Full :VolumeTag=CAP002L8                        \n      \
             Storage Element 2:Empty\n      \
             Storage Element 3:Full \n      \
             Storage Element 4:Full :VolumeTag=CLN001L8                        \n      \
             Storage Element 5 IMPORT/EXPORT:Full :VolumeTag=CAP003L8                        \n      \
             Storage Element 6 IMPORT/EXPORT:Empty\n      \
             Storage Element 7 IMPORT/EXPORT:Full :VolumeTag=CAP004L8                        \n      \
             Storage Element 8 IMPORT/EXPORT:Empty\n"
        );
    }
}
