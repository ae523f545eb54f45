//! Hosts as logical units see them.
//!
//! A nexus stands for an initiator port (SAM-5 §4.5.3). The programs of this machine are one, as they
//! are behind a host adapter. A port that logs in again, even after its session was lost, is the
//! same nexus again, so what outlives a session (persistent reservations) finds its owner.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock};

use crate::home::unpoisoned;

/// How many ports are remembered. A peer may invent names without end; who comes back after so many
/// others is a new nexus, which costs it reservations that it left behind and nothing else.
const PORTS_MAX: usize = 4096;

/// A host as a logical unit sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Nexus(pub u32);

impl Nexus {
    /// The programs of this machine.
    pub const LOCAL: Nexus = Nexus(0);

    /// The nexus of the initiator port with this name (for iSCSI `NAME,i,0xISID`, RFC 7143
    /// §4.2.7.2).
    pub fn of_port(name: &str) -> Nexus {
        let mut ports = unpoisoned(ports().lock());
        ports.find(name)
    }

    /// The name of its port. `None` for this machine, and for a port that was forgotten because so many
    /// others came after it.
    pub fn port_name(self) -> Option<String> {
        let ports = unpoisoned(ports().lock());
        ports.known.iter().find(|(nexus, _)| *nexus == self).map(|(_, name)| name.clone())
    }
}

#[derive(Default)]
struct Ports {
    last: u32,
    /// The one used last is at the end.
    known: VecDeque<(Nexus, String)>,
}

impl Ports {
    fn find(&mut self, name: &str) -> Nexus {
        let place = self.known.iter().position(|(_, known)| known == name);
        let port = match place.and_then(|place| self.known.remove(place)) {
            Some(port) => port,
            None => {
                // A number is used again only after four billion ports.
                self.last = self.last.wrapping_add(1).max(1);
                (Nexus(self.last), name.to_owned())
            }
        };
        let nexus = port.0;
        if self.known.len() >= PORTS_MAX {
            self.known.pop_front();
        }
        self.known.push_back(port);
        nexus
    }
}

fn ports() -> &'static Mutex<Ports> {
    static PORTS: OnceLock<Mutex<Ports>> = OnceLock::new();
    PORTS.get_or_init(Mutex::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_comes_back_is_the_same_nexus() {
        let mut ports = Ports::default();
        let first = ports.find("iqn.a,i,0x1");
        let second = ports.find("iqn.b,i,0x1");
        assert_ne!(first, second);
        assert_ne!(first, Nexus::LOCAL);
        assert_eq!(ports.find("iqn.a,i,0x1"), first);
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let mut ports = Ports::default();
        let first = ports.find("first");
        let kept = ports.find("kept");
        for number in 0..2 * PORTS_MAX {
            ports.find(&format!("port {number}"));
            assert_eq!(ports.find("kept"), kept);
        }
        assert_eq!(ports.known.len(), PORTS_MAX);
        assert_ne!(ports.find("first"), first);
    }
}
