//! The sessions and connections of a target.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use scsi::iscsi::name::Name;
use scsi::iscsi::pdu::{Isid, LoginStatus};

use super::limits::{CONNECTIONS_MAX, REINSTATEMENT_TIME, SESSIONS_MAX};
use super::session::Session;
use super::stream;
use crate::home::unpoisoned;

/// An initiator port: name and ISID (RFC 7143 §4.2.7.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    pub name: Name,
    pub isid: Isid,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},i,0x", self.name)?;
        self.isid.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Place {
    tsih: u16,
    socket: Arc<TcpStream>,
    session: Option<Arc<Session>>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<Port, Place>,
    connections: HashMap<u64, Arc<TcpStream>>,
    last_connection: u64,
    last_tsih: u16,
    is_stopping: bool,
}

/// Who is connected.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
    changed: Condvar,
}

/// A port's session, from before it begins until after its end.
pub struct Claim {
    registry: Arc<Registry>,
    port: Port,
    /// The target's handle of it.
    pub tsih: u16,
}

/// A connection that is counted.
pub struct Connection {
    registry: Arc<Registry>,
    number: u64,
}

impl Registry {
    /// Counts a connection; `None` if there are too many, or the target stops.
    pub fn connect(self: &Arc<Self>, socket: &Arc<TcpStream>) -> Option<Connection> {
        let mut state = unpoisoned(self.state.lock());
        if state.is_stopping || state.connections.len() >= CONNECTIONS_MAX {
            return None;
        }
        state.last_connection += 1;
        let number = state.last_connection;
        state.connections.insert(number, Arc::clone(socket));
        Some(Connection { registry: Arc::clone(self), number })
    }

    /// Makes room for a session of a port. Its old session is ended first, and waited for.
    pub fn claim(
        self: &Arc<Self>,
        port: &Port,
        socket: &Arc<TcpStream>,
    ) -> Result<Claim, LoginStatus> {
        let deadline = Instant::now() + REINSTATEMENT_TIME;
        let mut state = unpoisoned(self.state.lock());
        while let Some(old) = state.sessions.get(port) {
            stream::close(&old.socket);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LoginStatus::OUT_OF_RESOURCES);
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        if state.is_stopping {
            return Err(LoginStatus::SERVICE_UNAVAILABLE);
        }
        if state.sessions.len() >= SESSIONS_MAX {
            return Err(LoginStatus::OUT_OF_RESOURCES);
        }
        // There are far fewer sessions than numbers.
        let mut tsih = state.last_tsih;
        loop {
            tsih = tsih.wrapping_add(1).max(1);
            if state.sessions.values().all(|place| place.tsih != tsih) {
                break;
            }
        }
        state.last_tsih = tsih;
        let place = Place { tsih, socket: Arc::clone(socket), session: None };
        state.sessions.insert(port.clone(), place);
        Ok(Claim { registry: Arc::clone(self), port: port.clone(), tsih })
    }

    /// True if this port has the session with this handle.
    pub fn has_session(&self, port: &Port, tsih: u16) -> bool {
        let state = unpoisoned(self.state.lock());
        state.sessions.get(port).is_some_and(|place| place.tsih == tsih)
    }

    /// All sessions that have begun.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        let state = unpoisoned(self.state.lock());
        state.sessions.values().filter_map(|place| place.session.clone()).collect()
    }

    /// Ends all connections once what their sessions are carrying out is answered, refuses new ones,
    /// and waits for the last to go.
    pub fn stop(&self) {
        let mut state = unpoisoned(self.state.lock());
        state.is_stopping = true;
        for socket in state.connections.values() {
            stream::close_reading(socket);
        }
        while !state.connections.is_empty() {
            state = unpoisoned(self.changed.wait(state));
        }
    }
}

impl Claim {
    /// The session has begun.
    pub fn begin(&self, session: &Arc<Session>) {
        let mut state = unpoisoned(self.registry.state.lock());
        if let Some(place) = state.sessions.get_mut(&self.port) {
            place.session = Some(Arc::clone(session));
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        unpoisoned(self.registry.state.lock()).sessions.remove(&self.port);
        self.registry.changed.notify_all();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        unpoisoned(self.registry.state.lock()).connections.remove(&self.number);
        self.registry.changed.notify_all();
    }
}
