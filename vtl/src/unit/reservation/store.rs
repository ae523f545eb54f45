//! Registrations on disk: a JSON file that is replaced with each change.
//!
//! Hosts are kept by the names of their ports, because numbers of nexuses mean nothing in another
//! process. A file of an earlier start of the machine counts only if a host asked for that (APTPL), as
//! after a loss of power. A damaged file is an error: forgetting a reservation in silence would let a
//! second host write.

use std::path::Path;

use scsi::command::reservation::Kind;
use serde::{Deserialize, Serialize};

use super::{Hold, State};
use crate::durable;
use crate::error::{Error, Result};
use crate::home::boot_id;
use crate::unit::Nexus;

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Boot id of the machine, as text.
    boot: String,
    survives_power_loss: bool,
    generation: u32,
    registrations: Vec<StoredRegistration>,
    /// Type of the reservation.
    kind: Option<u8>,
}

#[derive(Serialize, Deserialize)]
struct StoredRegistration {
    /// `None` for the programs of this machine.
    port: Option<String>,
    /// Hexadecimal: JSON numbers lose bits in some readers.
    key: String,
    holds: bool,
}

/// What is written at `path`, as far as it still holds; nothing if there is no file.
pub(super) fn read(path: &Path) -> Result<State> {
    let stored: Stored = match durable::read_json(path) {
        Ok(stored) => stored,
        Err(error) if error.is_missing() => return Ok(State::default()),
        Err(error) => return Err(error),
    };
    let same_start = stored.boot == boot();
    if !same_start && !stored.survives_power_loss {
        return Ok(State::default());
    }
    let malformed = |reason: &str| Error::Malformed { path: path.into(), reason: reason.into() };
    let mut state = State {
        generation: if same_start { stored.generation } else { 0 },
        survives_power_loss: stored.survives_power_loss,
        ..State::default()
    };
    let mut holder = None;
    for registration in stored.registrations {
        let nexus = registration.port.as_deref().map_or(Nexus::LOCAL, Nexus::of_port);
        let key = u64::from_str_radix(&registration.key, 16)
            .map_err(|_| malformed("a reservation key is not hexadecimal"))?;
        state.keys.insert(nexus, key);
        if registration.holds {
            holder = Some(nexus);
        }
    }
    if let Some(by) = holder {
        let kind = stored.kind.and_then(Kind::from_byte);
        let kind = kind.ok_or_else(|| malformed("the reservation's type is not known"))?;
        state.hold = Some(Hold { by, kind });
    }
    Ok(state)
}

/// Replaces the file.
pub(super) fn write(path: &Path, state: &State) -> Result<()> {
    let registrations = state
        .keys
        .iter()
        .map(|(nexus, key)| StoredRegistration {
            port: nexus.port_name(),
            key: format!("{key:016x}"),
            holds: state.hold.is_some_and(|hold| hold.by == *nexus),
        })
        .collect();
    let stored = Stored {
        boot: boot(),
        survives_power_loss: state.survives_power_loss,
        generation: state.generation,
        registrations,
        kind: state.hold.map(|hold| hold.kind as u8),
    };
    durable::replace_json(path, &stored)
}

fn boot() -> String {
    format!("{:016x}", boot_id())
}
