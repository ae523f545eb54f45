//! Reservations between this machine and hosts with sessions, at drives and at the changer.

use scsi::command::reservation::{self, Kind, OutAction, OutParameters};
use scsi::{Data, Status};

use crate::host::*;

const LOCAL_KEY: u64 = 0xabc;
const OTHER_KEY: u64 = 0xdef;

fn out(host: &mut Host, action: OutAction, kind: Option<Kind>, keys: (u64, u64)) -> Status {
    let parameters = OutParameters { key: keys.0, action_key: keys.1, ..OutParameters::default() };
    let cdb = reservation::out_cdb(action, kind);
    host.send(&cdb, Data::Out(&parameters.build())).status
}

fn register(host: &mut Host, key: u64) {
    assert_eq!(out(host, OutAction::Register, None, (0, key)), Status::Good);
}

#[track_caller]
fn conflicts(host: &mut Host, cdb: &[u8], data: Data<'_>) {
    let reply = host.send(cdb, data);
    assert_eq!((reply.status, reply.sense), (Status::ReservationConflict, None), "{cdb:02x?}");
    assert_eq!(reply.transferred, 0);
}

/// This machine and another host, both past their unit attentions at drive 0 with a tape.
fn two_hosts(rig: &Rig) -> (Host, Host, vtl::HostSession) {
    let local = rig.loaded();
    let session = rig.library.host_session("iqn.test:other,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    (local, other, session)
}

#[test]
fn reserve_keeps_others_out_until_release_or_the_end_of_the_session() {
    let rig = rig(64 * MIB);
    let (mut local, mut other, session) = two_hosts(&rig);
    for (reserve, release) in [
        (&[0x16, 0, 0, 0, 0, 0][..], &[0x17, 0, 0, 0, 0, 0][..]),
        (&[0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        local.good(reserve);
        local.good(reserve);
        conflicts(&mut other, reserve, Data::None);
        conflicts(&mut other, &[0; 6], Data::None);
        conflicts(&mut other, &[0x0a, 0, 0, 0, 4, 0], Data::Out(b"data"));
        conflicts(&mut other, &[0x1a, 0, 0, 0, 12, 0], Data::In(&mut [0; 12]));
        conflicts(&mut other, &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0], Data::In(&mut [0; 8]));
        // These say who is there, and a release that is not the sender's does nothing.
        other.data_in(&[0x12, 0, 0, 0, 36, 0], 36);
        other.data_in(&[0x03, 0, 0, 0, 18, 0], 18);
        other.data_in(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], 16);
        other.good(&[0x1e, 0, 0, 0, 0, 0]);
        other.good(release);
        conflicts(&mut other, &[0; 6], Data::None);
        local.good(&[0; 6]);
        local.good(release);
        other.good(&[0; 6]);
    }
    // For a third party, for extents: obsolete.
    local.fails(&[0x16, 0x01, 0, 0, 0, 0], (5, 0x24, 0));
    // The end of the session is the end of its reservation.
    other.good(&[0x16, 0, 0, 0, 0, 0]);
    conflicts(&mut local, &[0; 6], Data::None);
    drop((other, session));
    local.good(&[0; 6]);
}

#[test]
fn a_persistent_reservation_keeps_out_who_is_not_registered() {
    let rig = rig(64 * MIB);
    let (mut local, mut other, session) = two_hosts(&rig);
    register(&mut local, LOCAL_KEY);
    let kind = Kind::WriteExclusiveRegistrantsOnly;
    assert_eq!(out(&mut local, OutAction::Reserve, Some(kind), (LOCAL_KEY, 0)), Status::Good);
    conflicts(&mut other, &[0x0a, 0, 0, 0, 4, 0], Data::Out(b"data"));
    conflicts(&mut other, &[0x16, 0, 0, 0, 0, 0], Data::None);
    other.good(&[0; 6]);
    // Reading the cartridge memory writes nothing.
    other.data_in(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0], 1024);
    // Registered, it may write; a key that is not its own opens nothing.
    assert_eq!(
        out(&mut other, OutAction::Register, None, (LOCAL_KEY, OTHER_KEY)),
        Status::ReservationConflict
    );
    register(&mut other, OTHER_KEY);
    assert_eq!(other.write(b"data"), None);
    let transport = other.0.as_mut();
    assert_eq!(reservation::request_keys(transport).unwrap(), (2, vec![LOCAL_KEY, OTHER_KEY]));
    let (_, held) = reservation::request_reservation(transport).unwrap();
    assert_eq!(held, Some(reservation::Held { key: LOCAL_KEY, kind: kind as u8 }));
    let full = other.data_in(&[0x5e, 3, 0, 0, 0, 0, 0, 1, 0, 0], 256);
    let (_, full) = reservation::parse_full_status(&full).unwrap();
    assert_eq!(full[0].holds, Some(kind as u8));
    assert_eq!(full[1].holds, None);
    assert_eq!(full[1].transport_id, reservation::iscsi_transport_id("iqn.test:other,i,0x1"));
    // With a registration RESERVE is empty words; without one it conflicts.
    other.good(&[0x16, 0, 0, 0, 0, 0]);
    local.good(&[0; 6]);

    // The session ends, the registration stays for the port that comes back.
    drop((other, session));
    let session = rig.library.host_session("iqn.test:other,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    assert_eq!(other.write(b"more"), None);

    // Preempted, the others are told once.
    let exclusive = Some(Kind::ExclusiveAccess);
    let keys = (OTHER_KEY, LOCAL_KEY);
    assert_eq!(out(&mut other, OutAction::Preempt, exclusive, keys), Status::Good);
    local.fails(&[0; 6], (6, 0x2a, 5));
    local.good(&[0; 6]);
    conflicts(&mut local, &[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0], Data::In(&mut [0; 20]));
    let memory = [0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
    conflicts(&mut local, &memory, Data::In(&mut [0; 1024]));
    assert_eq!(out(&mut other, OutAction::Clear, None, (OTHER_KEY, 0)), Status::Good);
    assert_eq!(local.write(b"again"), None);
}

#[test]
fn capabilities_and_refusals_to_the_byte() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let capabilities = [0x5e, 2, 0, 0, 0, 0, 0, 0, 8, 0];
    assert_eq!(drive.data_in(&capabilities, 8), [0, 8, 0x11, 0x80, 0xea, 1, 0, 0]);
    let refusals: [(&[u8], &[u8], (u8, u8, u8)); 5] = [
        (&[0x5f, 7, 0, 0, 0, 0, 0, 0, 24, 0], &[0; 24], (5, 0x24, 0)),
        (&[0x5f, 0, 0x10, 0, 0, 0, 0, 0, 24, 0], &[0; 24], (5, 0x24, 0)),
        (&[0x5f, 0, 0, 0, 0, 0, 0, 0, 23, 0], &[0; 23], (5, 0x1a, 0)),
        (&[0x5f, 0, 0, 0, 0, 0, 0, 0, 28, 0], &[0; 28], (5, 0x1a, 0)),
        (
            &[0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 8, 0, 0, 0],
            (5, 0x26, 0),
        ),
    ];
    for (cdb, data, expected) in refusals {
        let sense = drive.send(cdb, Data::Out(data)).sense;
        assert_eq!(sense.map(|s| code(&s)), Some(expected), "{cdb:02x?}");
    }
    drive.fails(&[0x5e, 4, 0, 0, 0, 0, 0, 0, 8, 0], (5, 0x24, 0));
    // Nothing of it registered anything; allocation lengths only cut.
    assert_eq!(drive.data_in(&[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0], 8), [0; 8]);
    register(&mut drive, LOCAL_KEY);
    let cut = drive.data_in(&[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0], 64);
    assert_eq!(cut, [0, 0, 0, 1, 0, 0, 0, 8]);
    assert!(drive.data_in(&[0x5e, 0, 0, 0, 0, 0, 0, 0, 0, 0], 64).is_empty());
}

#[test]
fn registrations_outlive_the_program_that_served_them() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    register(&mut drive, LOCAL_KEY);
    let kind = Some(Kind::ExclusiveAccess);
    assert_eq!(out(&mut drive, OutAction::Reserve, kind, (LOCAL_KEY, 0)), Status::Good);
    // The last handle closes the drive.
    drop(drive);
    let mut drive = rig.drive(0);
    let (generation, keys) = reservation::request_keys(drive.0.as_mut()).unwrap();
    assert_eq!((generation, keys), (1, vec![LOCAL_KEY]));
    let session = rig.library.host_session("iqn.test:late,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    conflicts(&mut other, &[0x01, 0, 0, 0, 0, 0], Data::None);
    // A reset ends what RESERVE did, and no registration.
    session.reset(vtl::Unit::Drive(0)).unwrap();
    other.settle();
    conflicts(&mut other, &[0x01, 0, 0, 0, 0, 0], Data::None);
}

#[test]
fn the_changer_is_reserved_like_a_drive() {
    let rig = rig(64 * MIB);
    let mut local = rig.changer();
    local.settle();
    let session = rig.library.host_session("iqn.test:robot,i,0x1").unwrap();
    let mut other = Host(Box::new(session.changer()));
    other.settle();
    register(&mut other, OTHER_KEY);
    let kind = Some(Kind::ExclusiveAccess);
    assert_eq!(out(&mut other, OutAction::Reserve, kind, (OTHER_KEY, 0)), Status::Good);
    conflicts(&mut local, &move_medium(1024, 256), Data::None);
    conflicts(&mut local, &[0x07, 0, 0, 0, 0, 0], Data::None);
    let status = [0xb8, 0x10, 0, 0, 0xff, 0xff, 0, 0, 0x10, 0, 0, 0];
    conflicts(&mut local, &status, Data::In(&mut [0; 4096]));
    // Asking for what is known, without motion.
    let mut current = status;
    current[6] = 1;
    assert!(local.data_in(&current, 4096).len() > 8);
    assert_eq!(out(&mut other, OutAction::Release, kind, (OTHER_KEY, 0)), Status::Good);
    local.good(&move_medium(1024, 256));
    // Drive and changer are two units: what was reserved of one says nothing of the other.
    let mut drive = rig.drive(0);
    drive.settle();
    register(&mut drive, LOCAL_KEY);
    let (_, keys) = reservation::request_keys(local.0.as_mut()).unwrap();
    assert_eq!(keys, [OTHER_KEY]);
}
