//! A media set: tapes that are written one after the other and are whole only together.

use uuid::Uuid;

use crate::error::{Error, Result};

/// Highest sequence number that is believed: a set of more tapes than were ever in one library.
const SEQ_NR_MAX: u64 = 1 << 20;

/// The members of a set by sequence number. A hole is a tape that the inventory does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSet {
    uuid: Uuid,
    members: Vec<Option<Uuid>>,
}

impl MediaSet {
    /// A set without members.
    pub fn new(uuid: Uuid) -> MediaSet {
        MediaSet { uuid, members: Vec::new() }
    }

    /// Its UUID.
    pub fn uuid(&self) -> &Uuid {
        &self.uuid
    }

    /// Members by sequence number.
    pub fn members(&self) -> &[Option<Uuid>] {
        &self.members
    }

    /// True without any member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// True if no member is unknown.
    pub fn is_complete(&self) -> bool {
        self.members.iter().all(Option::is_some)
    }

    /// The known member with the highest sequence number.
    pub fn last(&self) -> Option<Uuid> {
        self.members.last().copied().flatten()
    }

    /// The place of a tape.
    pub fn position(&self, media: &Uuid) -> Option<usize> {
        self.members.iter().position(|member| member.as_ref() == Some(media))
    }

    /// Adds a tape. Two tapes at one place are an error.
    pub fn insert(&mut self, seq_nr: u64, media: Uuid) -> Result<()> {
        let inconsistent = |reason| Error::MediaSetInconsistent { set: self.uuid, reason };
        if seq_nr > SEQ_NR_MAX {
            return Err(inconsistent(format!("tape {media} has sequence number {seq_nr}")));
        }
        let place = seq_nr as usize;
        if self.members.len() <= place {
            self.members.resize(place + 1, None);
        }
        match self.members.get_mut(place) {
            Some(Some(other)) if *other != media => Err(Error::MediaSetInconsistent {
                set: self.uuid,
                reason: format!("tapes {other} and {media} both have sequence number {seq_nr}"),
            }),
            Some(member) => {
                *member = Some(media);
                Ok(())
            }
            // The vector was made long enough above.
            None => Ok(()),
        }
    }

    /// All members, or an error that names what is missing.
    pub fn require_complete(&self) -> Result<Vec<Uuid>> {
        if self.members.is_empty() {
            return Err(Error::UnknownMediaSet { set: self.uuid });
        }
        self.members
            .iter()
            .enumerate()
            .map(|(seq_nr, member)| {
                member.ok_or_else(|| Error::MediaSetInconsistent {
                    set: self.uuid,
                    reason: format!(
                        "the tape with sequence number {seq_nr} is not in the inventory"
                    ),
                })
            })
            .collect()
    }
}
