//! Asking a library for all its elements.
//!
//! Libraries deviate from SMC in what they send and in how much they take to be asked at once; how single
//! replies are read in spite of that is told in [`scsi::command::element`]. Here is how the questions are put so
//! that every library answers them:
//!
//! * one type of element at a time, because some mix up types when asked for all;
//! * at most 1000 elements and 65535 bytes at a time, going on behind the last address that came: some
//!   refuse more, and a reply cut to the allocation length loses elements silently;
//! * bar codes and drive identifiers in separate questions, because some cannot give both, and a
//!   failure to give identifiers is no failure;
//! * a library that refuses to be asked like that is asked in other ways ([`Manner`]), each of which some
//!   library needs, and the one that worked is remembered.
//!
//! No element is lost on the way: a list ends only where the library says that there is nothing behind it, or with a
//! whole reply of less than was asked for. Whoever calls compares the numbers with the library's own
//! (page 1Dh) besides.

use scsi::command::element::{
    DriveIdentifier, Element, ElementType, Oddity, StatusReply, StatusRequest,
};
use scsi::command::mode::{ElementAddresses, ElementRange};
use scsi::{Transport, transport};

/// All elements of a library by type, each in the order in which the library reports them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elements {
    /// Robot arms.
    pub transports: Vec<Element>,
    /// Slots.
    pub storage: Vec<Element>,
    /// Slots that an operator can reach.
    pub import_export: Vec<Element>,
    /// Drives, with the identifiers that the library tells.
    pub drives: Vec<Element>,
    /// How many of the import/export elements were reported as slots too; they are no longer among those.
    pub shared: usize,
    /// What is odd about the answers and may matter, for people.
    pub warnings: Vec<String>,
    /// What is odd about the answers and does no harm, for people who know SMC.
    pub notes: Vec<String>,
}

/// How a library wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Elements asked for at once.
    count: u16,
    /// Allocation length.
    allocation: u32,
    /// Bar codes are asked for.
    tags: bool,
    /// Drives' identifiers are asked for.
    identifiers: bool,
    /// One type at a time; otherwise all types, and what was not asked for is thrown away.
    by_type: bool,
    /// From address 0 on; otherwise from the first address that page 1Dh gives the type.
    from_zero: bool,
}

impl Manner {
    const USUAL: Manner = Manner {
        count: 1000,
        allocation: StatusRequest::ALLOCATION_MAX,
        tags: true,
        identifiers: true,
        by_type: true,
        from_zero: true,
    };

    /// In this order, until one is not refused.
    const ALL: [Manner; 7] = [
        Manner::USUAL,
        // Element counts of one byte.
        Manner { count: 255, ..Manner::USUAL },
        // Small buffers.
        Manner { count: 64, allocation: 0x1000, ..Manner::USUAL },
        // Only existing elements.
        Manner { count: 64, allocation: 0x1000, from_zero: false, ..Manner::USUAL },
        // No bar-code reader.
        Manner { tags: false, ..Manner::USUAL },
        // Only all types at once.
        Manner { by_type: false, ..Manner::USUAL },
        Manner { by_type: false, tags: false, ..Manner::USUAL },
    ];
}

impl Default for Manner {
    fn default() -> Manner {
        Manner::USUAL
    }
}

/// Asks one library.
pub(crate) struct Questions<'a> {
    transport: &'a mut dyn Transport,
    manner: &'a mut Manner,
    addresses: Option<ElementAddresses>,
    elements: Elements,
}

impl<'a> Questions<'a> {
    /// `addresses` is page 1Dh, for libraries that want to be asked for existing elements only.
    pub(crate) fn new(
        transport: &'a mut dyn Transport,
        manner: &'a mut Manner,
        addresses: Option<ElementAddresses>,
    ) -> Questions<'a> {
        Questions { transport, manner, addresses, elements: Elements::default() }
    }

    /// Asks for everything, storage first: the question that callers repeat while the library is not ready is
    /// asked by [`Questions::storage`], whose answer is `storage`.
    pub(crate) fn others(
        mut self,
        (storage, found): (Vec<Element>, Elements),
    ) -> Result<Elements, transport::Error> {
        self.elements = found;
        self.elements.storage = storage;
        self.elements.import_export = self.optional(ElementType::ImportExport)?;
        self.elements.drives = self.read(ElementType::Drive, self.manner.tags, false)?;
        self.identify_drives();
        self.elements.transports = self.optional(ElementType::Transport)?;
        self.tell_duplicates();
        Ok(self.elements)
    }

    /// Asks for the storage elements, in the manner that the library is known to want, or in every manner there is.
    pub(crate) fn storage(mut self) -> Result<(Vec<Element>, Elements), transport::Error> {
        let known = *self.manner;
        let mut refusal = None;
        let ahead = Manner::ALL.into_iter().filter(|manner| *manner != known);
        for manner in std::iter::once(known).chain(ahead) {
            if !(manner.from_zero || self.addresses.is_some()) {
                continue;
            }
            let changes_form = !manner.by_type || !manner.tags;
            if changes_form && refusal.as_ref().is_some_and(|error| !is_refused(error)) {
                // What is garbled in one form is not trusted in another; only less of it is asked for.
                continue;
            }
            *self.manner = manner;
            match self.read(ElementType::Storage, manner.tags, false) {
                Ok(storage) => return Ok((storage, self.elements)),
                Err(error) if is_refused(&error) || is_malformed(&error) => {
                    refusal.get_or_insert(error);
                }
                Err(error) => {
                    *self.manner = known;
                    return Err(error);
                }
            }
        }
        *self.manner = known;
        match refusal {
            // No slot at whatever address, asked in whatever manner.
            Some(error) if is_no_element(&error) => Ok((Vec::new(), self.elements)),
            Some(error) => Err(error),
            None => Ok((Vec::new(), self.elements)),
        }
    }

    /// Elements of a type that a library need not have. Without any, some refuse the question.
    fn optional(&mut self, kind: ElementType) -> Result<Vec<Element>, transport::Error> {
        let is_expected = self.range(kind).is_some_and(|range| range.count > 0);
        match self.read(kind, self.manner.tags, false) {
            Err(error) if is_refused(&error) && !is_expected => Ok(Vec::new()),
            read => read,
        }
    }

    /// Takes over what the library tells of its drives. Not all libraries know DVCID; without it the drives
    /// are just nameless.
    fn identify_drives(&mut self) {
        if !self.manner.identifiers {
            return;
        }
        let mut identified = self.read(ElementType::Drive, false, true);
        if identified.as_ref().is_err_and(is_unit_attention) {
            identified = self.read(ElementType::Drive, false, true);
        }
        let identified = match identified {
            Ok(identified) => identified,
            Err(error) if is_refused(&error) => {
                self.manner.identifiers = false;
                self.note("does not tell the drives' serial numbers (DVCID refused)".to_string());
                return;
            }
            Err(error) => {
                let text = format!("does not tell the drives' serial numbers: {error}");
                self.elements.warnings.push(text);
                return;
            }
        };
        for drive in &mut self.elements.drives {
            let same = identified.iter().find(|one| one.address == drive.address);
            if let Some(identifier) = same.and_then(|one| one.identifier.clone()) {
                let known = drive.identifier.take().unwrap_or_default();
                drive.identifier = Some(DriveIdentifier {
                    vendor: identifier.vendor.or(known.vendor),
                    model: identifier.model.or(known.model),
                    serial: identifier.serial.or(known.serial),
                });
            }
        }
    }

    fn range(&self, kind: ElementType) -> Option<ElementRange> {
        let addresses = self.addresses.as_ref()?;
        Some(match kind {
            ElementType::Transport => addresses.transport,
            ElementType::Storage => addresses.storage,
            ElementType::ImportExport => addresses.import_export,
            ElementType::Drive => addresses.drives,
        })
    }

    /// All elements of one type.
    fn read(
        &mut self,
        kind: ElementType,
        tags: bool,
        identifiers: bool,
    ) -> Result<Vec<Element>, transport::Error> {
        let manner = *self.manner;
        let range = self.range(kind);
        let mut all: Vec<Element> = Vec::new();
        let mut request = StatusRequest {
            kind: manner.by_type.then_some(kind),
            tags,
            identifiers,
            current: false,
            first: 0,
            count: manner.count,
            allocation: manner.allocation,
        };
        // With all types in one reply the addresses of one type do not tell how far it has come, so only its own
        // addresses are asked for.
        let is_bounded = !(manner.from_zero && manner.by_type);
        let bounds = range.filter(|_| is_bounded);
        let mut left = bounds.map_or(u16::MAX, |range| range.count);
        request.first = bounds.map_or(0, |range| range.first);
        while left > 0 {
            request.count = manner.count.min(left);
            let reply = match request.request(self.transport) {
                Ok(reply) => reply,
                // Behind the last element.
                Err(error) if !all.is_empty() && is_refused(&error) => break,
                Err(error) => return Err(error),
            };
            self.tell_oddities(kind, &reply);
            let (is_cut, had_any) = (reply.is_cut, !reply.pages.is_empty());
            let before = all.len();
            let of_kind = reply.pages.into_iter().filter(|page| page.kind == kind);
            all.extend(of_kind.flat_map(|page| page.elements));
            let new = all.get(before..).unwrap_or(&[]);
            let Some(last) = new.iter().map(|element| element.address).max() else {
                if is_cut && had_any {
                    return Err(cut_short(kind, &request));
                }
                break;
            };
            if !manner.by_type && range.is_none() && is_cut {
                return Err(cut_short(kind, &request));
            }
            let is_complete = !is_cut && new.len() < usize::from(request.count);
            let taken = last.saturating_sub(request.first).saturating_add(1);
            left = if bounds.is_some() { left.saturating_sub(taken) } else { left };
            // Addresses below `first` were refused, so the loop gets on with each round.
            match last.checked_add(1) {
                Some(next) if !is_complete => request.first = next,
                _ => break,
            }
        }
        self.drop_duplicates(kind, &mut all);
        Ok(all)
    }

    /// An address that is reported twice is one place. What was said first stays.
    fn drop_duplicates(&mut self, kind: ElementType, elements: &mut Vec<Element>) {
        let mut seen = std::collections::BTreeSet::new();
        let before = elements.len();
        elements.retain(|element| seen.insert(element.address));
        let twice = before - elements.len();
        if twice > 0 {
            let text = format!("reports {twice} of its {kind} elements twice");
            if !self.elements.warnings.contains(&text) {
                self.elements.warnings.push(text);
            }
        }
    }

    /// Import/export elements that are reported as slots too would be there twice, with two numbers.
    fn tell_duplicates(&mut self) {
        let elements = &mut self.elements;
        let station: Vec<u16> = elements.import_export.iter().map(|one| one.address).collect();
        let before = elements.storage.len();
        elements.storage.retain(|element| !station.contains(&element.address));
        let both = before - elements.storage.len();
        elements.shared = both;
        if both > 0 {
            let text = format!("reports {both} of its import/export elements as slots too");
            elements.warnings.push(text);
        }
        let slots = elements.storage.iter().chain(&elements.import_export);
        let slots: std::collections::BTreeSet<u16> = slots.map(|one| one.address).collect();
        if let Some(drive) = elements.drives.iter().find(|one| slots.contains(&one.address)) {
            elements.warnings.push(format!(
                "gives a drive and a slot the same address {}; check its configuration",
                drive.address
            ));
        }
    }

    fn tell_oddities(&mut self, kind: ElementType, reply: &StatusReply) {
        for oddity in &reply.oddities {
            let text = format!("answers oddly when asked for {kind} elements: {oddity}");
            if oddity.is_harmless() || self.is_expected(kind, oddity) {
                self.note(text);
            } else if !self.elements.warnings.contains(&text) {
                self.elements.warnings.push(text);
            }
        }
    }

    /// A number of elements that only the reply's header disagrees with.
    fn is_expected(&self, kind: ElementType, oddity: &Oddity) -> bool {
        match oddity {
            Oddity::ElementCount { sent, .. } => {
                self.range(kind).is_some_and(|range| usize::from(range.count) == *sent)
            }
            _ => false,
        }
    }

    fn note(&mut self, text: String) {
        if !self.elements.notes.contains(&text) {
            self.elements.notes.push(text);
        }
    }
}

/// Elements are missing, and there is no way to ask for them.
fn cut_short(kind: ElementType, request: &StatusRequest) -> transport::Error {
    transport::Error::Malformed {
        opcode: scsi::command::opcode::READ_ELEMENT_STATUS,
        reason: format!(
            "the reply is cut to {} bytes and elements of type {kind} are missing",
            request.allocation
        ),
    }
}

/// The library does not answer a question of this form, or there are no such elements.
fn is_refused(error: &transport::Error) -> bool {
    error.sense().is_some_and(|sense| sense.is_unsupported() || sense.is_invalid_element())
}

fn is_malformed(error: &transport::Error) -> bool {
    matches!(error, transport::Error::Malformed { .. })
}

fn is_no_element(error: &transport::Error) -> bool {
    error.sense().is_some_and(scsi::Sense::is_invalid_element)
}

fn is_unit_attention(error: &transport::Error) -> bool {
    error.sense().is_some_and(scsi::Sense::is_unit_attention)
}

#[cfg(test)]
mod tests;
