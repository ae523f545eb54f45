//! The target as a whole: it listens, gives each connection a thread, and ends them all.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};
use scsi::iscsi::chap::{Credentials, TargetChap};
use scsi::iscsi::frame::Reader;
use scsi::iscsi::name::Name;
use scsi::iscsi::parameters::{DigestWish, LOGIN_DATA_BYTES_MAX, Wishes};
use scsi::iscsi::pdu::{LoginStatus, LogoutResult};

use super::discovery::Directory;
use super::event::{Event, Observer};
use super::lanes::Lanes;
use super::limits::{LOGIN_TIME, SEGMENT_BYTES_MAX};
use super::login::{LoggedIn, Refusal, Terms, login};
use super::reader::{Conversation, End, answer_to};
use super::registry::{Claim, Port, Registry};
use super::session::Session;
use super::stream::{self, Incoming};
use super::units::{LUN_CHANGER, Units};
use super::worker::{Nexus, Worker};
use crate::changer;
use crate::drive;
use crate::error::{Error, Result};
use crate::identity::library_serial;
use crate::library::{DriveUnit, Library};
use crate::unit::name::Unit;

/// How a target is to be reached.
#[derive(Debug, Clone)]
pub struct TargetOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The target's name, by default one made of the library's serial number.
    pub name: Option<String>,
    /// Name and secret that an initiator must know (CHAP).
    pub chap: Option<Credentials>,
    /// Name and secret that the target shows to initiators that ask for it. Only with `chap`.
    pub mutual_chap: Option<Credentials>,
    /// Digests of headers and data.
    pub digests: DigestWish,
}

impl Default for TargetOptions {
    fn default() -> TargetOptions {
        TargetOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], scsi::address::ISCSI_PORT)),
            name: None,
            chap: None,
            mutual_chap: None,
            digests: DigestWish::Allowed,
        }
    }
}

/// A logical unit of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUnit {
    /// Logical unit number.
    pub lun: u64,
    /// Which unit of the library.
    pub unit: Unit,
    /// Vendor text.
    pub vendor: String,
    /// Product text.
    pub product: String,
    /// Serial number.
    pub serial: String,
}

/// What connections share.
struct Shared {
    library: Library,
    terms: Terms,
    registry: Arc<Registry>,
    observer: Observer,
    is_stopping: AtomicBool,
}

/// A running target. Dropping it ends it as [`Target::stop`] does.
pub struct Target {
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Arc<TcpListener>,
    accepting: Option<JoinHandle<()>>,
    /// Other processes can't take a drive between two sessions.
    drives: Vec<DriveUnit>,
}

impl Target {
    /// Opens all drives of a library and listens.
    ///
    /// # Errors
    ///
    /// [`Error::UnitBusy`] if another process has a drive open, [`Error::Listen`], and
    /// [`Error::Options`] for a name that is none or secrets that can't be used.
    pub fn start(library: &Library, options: TargetOptions, observer: Observer) -> Result<Target> {
        let terms = terms(library, &options)?;
        let drives = (0..library.drives()).map(|number| library.drive(number));
        let drives = drives.collect::<Result<Vec<_>>>()?;
        let listen = |source| Error::Listen { address: options.listen, source };
        let listener = Arc::new(TcpListener::bind(options.listen).map_err(listen)?);
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared {
            library: library.clone(),
            terms,
            registry: Arc::default(),
            observer,
            is_stopping: AtomicBool::new(false),
        });
        let accepting = {
            let (shared, listener) = (Arc::clone(&shared), Arc::clone(&listener));
            let accept = move || accept(&shared, &listener);
            Builder::new().name("iscsi".into()).spawn(accept).map_err(listen)?
        };
        Ok(Target { shared, address, listener, accepting: Some(accepting), drives })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The target's name.
    pub fn name(&self) -> &str {
        self.shared.terms.name.as_str()
    }

    /// Its logical units.
    pub fn units(&self) -> Vec<TargetUnit> {
        let config = self.shared.library.config();
        let numbers = 0..config.drives;
        let units = [(LUN_CHANGER, Unit::Changer)].into_iter();
        units
            .chain(numbers.map(|number| (u64::from(number) + 1, Unit::Drive(number))))
            .map(|(lun, unit)| {
                let identity = match unit {
                    Unit::Changer => changer::identity(config),
                    Unit::Drive(number) => drive::identity(config, number),
                };
                TargetUnit {
                    lun,
                    unit,
                    vendor: identity.vendor.into(),
                    product: identity.product,
                    serial: identity.serial,
                }
            })
            .collect()
    }

    /// Ends the target: commands that are being carried out end and are answered, sessions end, what
    /// was written is durable and the drives are closed.
    pub fn stop(mut self) -> Result<()> {
        self.end();
        let drives = std::mem::take(&mut self.drives);
        let numbers = 0..self.shared.library.drives();
        let flushed = numbers.map(|number| self.shared.library.flush_drive(number));
        let flushed = flushed.collect::<Vec<_>>();
        drop(drives);
        flushed.into_iter().collect()
    }

    fn end(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        // Ends the call that waits for a connection. It fails only if that has ended already.
        let _ = shutdown(std::os::fd::AsRawFd::as_raw_fd(&*self.listener), Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            // A panic of that thread was reported where it happened.
            let _ = accepting.join();
        }
        self.shared.registry.stop();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.end();
    }
}

fn terms(library: &Library, options: &TargetOptions) -> Result<Terms> {
    let refuse = |reason: String| Error::Options { reason };
    let name = match &options.name {
        Some(name) => name.clone(),
        // Not a registered domain, so that it is nobody else's name.
        None => format!(
            "iqn.2026-01.vtl.capstan:{}",
            library_serial(library.config()).to_ascii_lowercase()
        ),
    };
    let name = name.parse::<Name>().map_err(|error| refuse(error.to_string()))?;
    let chap = match (&options.chap, &options.mutual_chap) {
        (Some(theirs), ours) => {
            TargetChap::new(theirs.clone(), ours.clone())
                .map_err(|error| refuse(error.to_string()))?;
            Some((theirs.clone(), ours.clone()))
        }
        (None, Some(_)) => {
            let reason = "a secret of the target needs one of the initiator: mutual CHAP is both";
            return Err(refuse(reason.into()));
        }
        (None, None) => None,
    };
    let wishes = Wishes {
        header_digest: options.digests,
        data_digest: options.digests,
        recv_data_bytes_max: SEGMENT_BYTES_MAX,
        outstanding_r2t_max: 1,
        ..Wishes::default()
    };
    Ok(Terms { name, chap, wishes })
}

/// Waits for connections until the target ends.
fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    while !shared.is_stopping.load(Ordering::Acquire) {
        let Ok((socket, peer)) = listener.accept() else {
            // Too many open files, or a connection that was gone at once.
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let connection = Arc::clone(shared);
        let serve = move || serve(&connection, &Arc::new(socket), peer);
        if let Err(error) = Builder::new().name("session".into()).spawn(serve) {
            let reason = format!("no thread for the connection: {error}");
            (shared.observer)(Event::LoginRefused { peer: peer.to_string(), reason });
        }
    }
}

/// A connection from its begin to its end.
fn serve(shared: &Shared, socket: &Arc<TcpStream>, peer: SocketAddr) {
    let Some(_connection) = shared.registry.connect(socket) else { return };
    if let Err(refusal) = converse(shared, socket, peer) {
        let peer = peer.to_string();
        (shared.observer)(Event::LoginRefused { peer, reason: refusal.reason });
    }
    stream::close(socket);
}

fn converse(
    shared: &Shared,
    socket: &Arc<TcpStream>,
    peer: SocketAddr,
) -> std::result::Result<(), Refusal> {
    let system = |error: std::io::Error| Refusal { status: None, reason: error.to_string() };
    stream::prepare(socket).map_err(system)?;
    let incoming = Incoming::new(Arc::clone(socket), Instant::now() + LOGIN_TIME);
    let mut reader = Reader::new(incoming, LOGIN_DATA_BYTES_MAX);
    let address = socket.local_addr().map_err(system)?;
    let directory = Directory { name: shared.terms.name.clone(), address };
    let LoggedIn { port, agreed, outbox, cmd_sn, admission } =
        login(&shared.terms, &mut reader, socket, |port, tsih| admit(shared, socket, port, tsih))?;
    reader.stream_mut().remove_deadline().map_err(system)?;
    reader.set_limits(agreed.digests, SEGMENT_BYTES_MAX as usize);
    // One lane more than units, for numbers without a unit.
    let lanes = admission.as_ref().map_or(0, |(_, nexus)| nexus.units.count() + 1);
    let session = Arc::new(Session {
        lanes: Lanes::new(lanes, cmd_sn),
        outbox,
        agreed,
        socket: Arc::clone(socket),
        host: admission.as_ref().map(|(_, nexus)| nexus.host.reference()),
    });
    session.lanes.announce(&session.outbox);
    let is_normal = admission.is_some();
    if let Some((claim, _)) = &admission {
        claim.begin(&session);
        let (port, peer) = (port.to_string(), peer.to_string());
        (shared.observer)(Event::SessionBegan { port, peer });
    }
    let end = thread::scope(|scope| {
        let worker = admission.as_ref().map(|(_, nexus)| Worker {
            session: &session,
            nexus,
            registry: &shared.registry,
        });
        let mut conversation = Conversation::new(&session, worker, &directory, reader);
        let end = conversation.run(scope);
        session.lanes.close();
        end
    });
    // The nexus goes before the port is free for its next session.
    if let Some((claim, nexus)) = admission {
        drop(nexus);
        drop(claim);
    }
    let reason = match end {
        End::Logout(request) => {
            session.outbox.send(answer_to(&request, LogoutResult::Closed), &[]);
            "it logged out".into()
        }
        End::Lost(reason) => reason,
    };
    if is_normal {
        (shared.observer)(Event::SessionEnded { port: port.to_string(), reason });
    }
    Ok(())
}

/// Makes a session for a port, in the place of its old one.
fn admit(
    shared: &Shared,
    socket: &Arc<TcpStream>,
    port: &Port,
    tsih: u16,
) -> std::result::Result<((Claim, Nexus), u16), LoginStatus> {
    if tsih != 0 {
        // One connection a session: there is none to add.
        return Err(match shared.registry.has_session(port, tsih) {
            true => LoginStatus::TOO_MANY_CONNECTIONS,
            false => LoginStatus::NO_SESSION,
        });
    }
    let claim = shared.registry.claim(port, socket)?;
    let host = shared.library.host_session(&port.to_string());
    let host = host.map_err(|_| LoginStatus::SERVICE_UNAVAILABLE)?;
    let observer = Arc::clone(&shared.observer);
    let units = Units::open(&host, shared.library.drives(), observer);
    let units = units.map_err(|_| LoginStatus::SERVICE_UNAVAILABLE)?;
    let tsih = claim.tsih;
    Ok(((claim, Nexus { host, units }), tsih))
}
