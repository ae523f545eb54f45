//! Whatever a host sends to an emulated library, its session ends soon after the host has left, others are served as
//! before, and every cartridge is whole. Bit 0 of the first byte puts a sound login in front, so that what follows
//! reaches the units; the drive has a cartridge. Every input has a library of its own and can be run again alone.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use scsi::iscsi::initiator::{IscsiDevice, Options as InitiatorOptions, Portal};
use scsi::{Data, Status, Transport};
use vtl::iscsi_target::{Event, Target, TargetOptions};
use vtl::{ChangerUnit, Library, Options};

use crate::seeds::{ISCSI_TARGET_NAME, iscsi_login};

/// A session that outlives its host by more has a thread that hangs. Long for a busy machine.
const END: Duration = Duration::from_secs(15);
/// A host that hears nothing for so long leaves. What it has sent by then is cut short where the machine is busy.
const SILENCE: Duration = Duration::from_millis(4);
/// Element addresses of the emulated library.
const SLOTS: [u16; 3] = [1024, 1025, 1026];
const DRIVE: u16 = 256;

static LOGIN: LazyLock<Vec<u8>> = LazyLock::new(iscsi_login);

/// See the module.
pub fn run(data: &[u8]) {
    let Some((flags, stream)) = data.split_first() else { return };
    // Without Rust's own `main` the system ends a program that writes to a closed connection.
    SigSet::from_iter([Signal::SIGPIPE]).thread_block().unwrap();
    let folder = crate::memory_folder();
    let library = Library::create(folder.path(), &small()).unwrap();
    load(&library);
    // A thread that panics tells of no end.
    let open_sessions = Arc::new(AtomicI64::new(0));
    let observer = {
        let open_sessions = Arc::clone(&open_sessions);
        move |event| {
            match event {
                Event::SessionBegan { .. } => open_sessions.fetch_add(1, Ordering::SeqCst),
                Event::SessionEnded { .. } => open_sessions.fetch_sub(1, Ordering::SeqCst),
                Event::UnitFailed { lun, reason } => panic!("unit {lun} failed: {reason}"),
                _ => 0,
            };
        }
    };
    let options = TargetOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        name: Some(ISCSI_TARGET_NAME.into()),
        ..TargetOptions::default()
    };
    let target = Target::start(&library, options, Arc::new(observer)).unwrap();
    let login: &[u8] = if flags & 1 == 0 { &[] } else { &LOGIN };
    hold_a_session(target.address(), login, stream);
    for lun in 0..=1 {
        serves(target.address(), lun);
    }
    target.stop().unwrap();
    assert_eq!(open_sessions.load(Ordering::SeqCst), 0, "a session began and did not end");
    drop(library);
    let library = Library::open(folder.path()).unwrap();
    put_away(&library);
    for barcode in library.cartridges().unwrap() {
        let report = library.check_cartridge(&barcode, &()).unwrap();
        assert!(report.damaged.is_empty() && !report.log_header_damaged, "{barcode}: {report:?}");
    }
}

fn small() -> Options {
    Options {
        drives: 1,
        slots: 3,
        import_export: 1,
        cartridges: 2,
        capacity_bytes: Some(1 << 20),
        ..Options::default()
    }
}

fn load(library: &Library) {
    let mut changer = library.changer().unwrap();
    // The first command is answered with an attention.
    let replies = [(); 2].map(|()| move_medium(&mut changer, SLOTS[0], DRIVE));
    assert_eq!(replies[1], Status::Good);
}

/// Empties the drive, whatever the host did about it. One of the slots is free.
fn put_away(library: &Library) {
    let mut changer = library.changer().unwrap();
    for slot in SLOTS {
        move_medium(&mut changer, DRIVE, slot);
    }
}

/// MOVE MEDIUM (SMC-3 §6.6).
fn move_medium(changer: &mut ChangerUnit, from: u16, to: u16) -> Status {
    let ([f0, f1], [t0, t1]) = (from.to_be_bytes(), to.to_be_bytes());
    let cdb = [0xa5, 0, 0, 0, f0, f1, t0, t1, 0, 0, 0, 0];
    changer.execute(&cdb, Data::None, END).unwrap().status
}

/// Sends everything, takes the answers, leaves, and waits for the target to do so too.
fn hold_a_session(address: SocketAddr, login: &[u8], stream: &[u8]) {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    thread::scope(|scope| {
        // A target that has had enough closes the connection while it is being written to.
        let writer =
            scope.spawn(|| (&socket).write_all(login).and_then(|()| (&socket).write_all(stream)));
        while !is_over(&socket) {
            if writer.is_finished() {
                break;
            }
        }
        let _ = writer.join().unwrap();
    });
    let _ = socket.shutdown(Shutdown::Write);
    socket.set_read_timeout(Some(END)).unwrap();
    assert!(is_over(&socket), "the target holds on to a session whose host has left");
}

/// Takes what comes, until the target closes the connection (true) or is silent for the time set.
fn is_over(mut socket: &TcpStream) -> bool {
    let mut buffer = [0; 65_536];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

/// Another host logs in and is told what the unit is.
fn serves(address: SocketAddr, lun: u64) {
    let portal = Portal { host: address.ip().to_string(), port: address.port() };
    let options = InitiatorOptions::new("iqn.2026-01.test:another".parse().unwrap());
    IscsiDevice::open(&portal, ISCSI_TARGET_NAME, lun, &options).unwrap();
}
