//! In which order parts of a tape are read with the least winding.
//!
//! Data runs to and fro over the tape, so going up by object number may wind it from end to end for
//! each part. Full-height LTO-9 and LTO-10 drives know where things lie and tell an order; others refuse, and going
//! up is the best guess.
//!
//! What a drive tells is advice: whoever follows it reads the same blocks and checks them in the same way. It is
//! taken only if it names each part exactly once. Everything else, from a refusal to a reply that makes no
//! sense, means going up; only what happened to drive or tape is an error.

use scsi::command::access_order::{OrderLimits, SEGMENT_BYTES, Segment, generate, receive};
use serde::Serialize;

use super::{Drive, Result};

const ORDERING: &str = "asking for the best order to read in";

/// Blocks that are read in one go: logical object numbers, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BlockRange {
    /// First object.
    pub first: u64,
    /// Last object.
    pub last: u64,
}

impl Drive {
    /// The indices of `ranges` in the order in which to read them; each comes once.
    ///
    /// More ranges than the drive takes at once are ordered in parts, each of which lies higher on the
    /// tape than the one before.
    pub fn access_order(&mut self, ranges: &[BlockRange]) -> Result<Vec<usize>> {
        let mut ascending: Vec<usize> = (0..ranges.len()).collect();
        ascending.sort_by_key(|index| ranges.get(*index).copied());
        let Some(segments_max) = self.order_limit(ranges.len())? else { return Ok(ascending) };
        let mut order = Vec::with_capacity(ranges.len());
        let mut has_refused = false;
        for part in ascending.chunks(segments_max) {
            let ordered = if has_refused { None } else { self.order_part(part, ranges)? };
            has_refused |= ordered.is_none();
            match ordered {
                Some(ordered) => order.extend(ordered),
                None => order.extend(part),
            }
        }
        Ok(order)
    }

    /// How many ranges the drive orders at once; `None` if it does not, or if there is nothing to order.
    fn order_limit(&mut self, ranges: usize) -> Result<Option<usize>> {
        if ranges < 2 {
            return Ok(None);
        }
        let limits = match OrderLimits::request(&mut self.transport) {
            Ok(limits) => limits,
            Err(error) if is_no(&error) => return Ok(None),
            Err(error) => return Err(self.fail(ORDERING, error)),
        };
        let segments_max = usize::from(limits.segments_max);
        let fits = usize::from(limits.descriptor_bytes_max) >= SEGMENT_BYTES;
        Ok((segments_max > 1 && fits).then_some(segments_max))
    }

    /// Some of the ranges in the drive's order; `None` if it gives none.
    fn order_part(&mut self, part: &[usize], ranges: &[BlockRange]) -> Result<Option<Vec<usize>>> {
        let segments: Vec<Segment> = part
            .iter()
            .enumerate()
            .filter_map(|(place, index)| {
                let BlockRange { first, last } = *ranges.get(*index)?;
                Some(Segment { name: name_of(place)?, partition: 0, first, last })
            })
            .collect();
        let given = generate(&mut self.transport, &segments)
            .and_then(|()| receive(&mut self.transport, segments.len()));
        let received = match given {
            Ok(received) => received,
            Err(error) if is_no(&error) => return Ok(None),
            Err(error) => return Err(self.fail(ORDERING, error)),
        };
        let mut is_left = vec![true; part.len()];
        let mut order = Vec::with_capacity(part.len());
        for segment in &received {
            let place =
                place_of(&segment.name).filter(|place| segments.get(*place) == Some(segment));
            let Some(place) = place else { return Ok(None) };
            let (Some(left), Some(index)) = (is_left.get_mut(place), part.get(place)) else {
                return Ok(None);
            };
            if !std::mem::take(left) {
                return Ok(None);
            }
            order.push(*index);
        }
        Ok((order.len() == part.len()).then_some(order))
    }
}

/// A place in the list as the segment's name: ten digits.
fn name_of(place: usize) -> Option<[u8; 10]> {
    format!("{place:010}").into_bytes().try_into().ok()
}

fn place_of(name: &[u8; 10]) -> Option<usize> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// The drive does not know of it, or does not want to.
fn is_no(error: &scsi::Error) -> bool {
    error.sense().is_some_and(|sense| sense.is_refusal())
        || matches!(error, scsi::Error::Malformed { .. })
}
