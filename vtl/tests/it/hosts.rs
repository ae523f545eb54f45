//! Several hosts at one library: what one does, the others are told; what one sets for itself goes
//! with its session.

use scsi::Data;
use vtl::{HostSession, Unit};

use super::host::{Host, MIB, Rig, move_medium, rig};

const ATTENTION_POWER_ON: (u8, u8, u8) = (6, 0x29, 0);
const ATTENTION_RESET: (u8, u8, u8) = (6, 0x29, 3);
const ATTENTION_MEDIUM: (u8, u8, u8) = (6, 0x28, 0);
const ATTENTION_STATION: (u8, u8, u8) = (6, 0x28, 1);
const ATTENTION_MODE: (u8, u8, u8) = (6, 0x2a, 1);
const REMOVAL_PREVENTED: (u8, u8, u8) = (5, 0x53, 2);
const READY: [u8; 6] = [0; 6];
const PREVENT: [u8; 6] = [0x1e, 0, 0, 0, 1, 0];
const ALLOW: [u8; 6] = [0x1e, 0, 0, 0, 0, 0];
const UNLOAD: [u8; 6] = [0x1b, 0, 0, 0, 0, 0];

fn session(rig: &Rig, name: &str) -> HostSession {
    rig.library.host_session(&format!("iqn.2026-01.test:{name},i,0x1")).unwrap()
}

fn drive(session: &HostSession) -> Host {
    Host(Box::new(session.drive(0).unwrap()))
}

fn changer(session: &HostSession) -> Host {
    Host(Box::new(session.changer()))
}

/// MODE SELECT(6): block length.
fn set_block_length(host: &mut Host, length: u16) {
    let [high, low] = length.to_be_bytes();
    let list = [0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, high, low];
    host.data_out(&[0x15, 0x10, 0, 0, 12, 0], &list);
}

#[test]
fn each_session_begins_with_its_own_power_on() {
    let rig = rig(64 * MIB);
    let (a, b) = (session(&rig, "a"), session(&rig, "b"));
    let mut changer_a = changer(&a);
    changer_a.fails(&READY, ATTENTION_POWER_ON);
    changer_a.good(&READY);
    changer(&b).fails(&READY, ATTENTION_POWER_ON);
    let mut local = rig.changer();
    local.settle();
    // A second handle of the same session is the same host.
    changer(&a).good(&READY);
    // The same port with a new session knows nothing again.
    drop((changer_a, a));
    let a = session(&rig, "a");
    changer(&a).fails(&READY, ATTENTION_POWER_ON);
    local.good(&READY);
}

#[test]
fn a_port_has_one_session_at_a_time() {
    let rig = rig(64 * MIB);
    let first = session(&rig, "a");
    let handle = first.changer();
    let again = || rig.library.host_session("iqn.2026-01.test:a,i,0x1");
    assert!(again().err().unwrap().is_retryable());
    drop(first);
    assert!(again().is_err(), "a handle keeps the session");
    drop(handle);
    again().unwrap();
}

#[test]
fn a_new_cartridge_is_told_to_every_host() {
    let rig = rig(64 * MIB);
    let (a, b) = (session(&rig, "a"), session(&rig, "b"));
    let (mut drive_a, mut drive_b, mut local) = (drive(&a), drive(&b), rig.drive(0));
    for host in [&mut drive_a, &mut drive_b, &mut local] {
        host.settle();
    }
    let mut robot = changer(&a);
    robot.settle();
    robot.good(&move_medium(1024, 256));
    for host in [&mut drive_b, &mut local, &mut drive_a] {
        host.fails(&READY, ATTENTION_MEDIUM);
        host.good(&READY);
    }
}

#[test]
fn changed_mode_parameters_are_told_to_the_others_only() {
    let rig = rig(64 * MIB);
    let (a, b) = (session(&rig, "a"), session(&rig, "b"));
    let (mut drive_a, mut drive_b, mut local) = (drive(&a), drive(&b), rig.drive(0));
    for host in [&mut drive_a, &mut drive_b, &mut local] {
        host.settle();
    }
    set_block_length(&mut drive_a, 512);
    drive_a.good(&[0x1a, 0, 0, 0, 12, 0]);
    for host in [&mut drive_b, &mut local] {
        host.fails(&[0x1a, 0, 0, 0, 12, 0], ATTENTION_MODE);
        assert_eq!(host.data_in(&[0x1a, 0, 0, 0, 12, 0], 12)[10..], [2, 0]);
    }
}

#[test]
fn an_operators_doings_are_told_to_every_host_once() {
    let rig = rig(64 * MIB);
    let (a, b) = (session(&rig, "a"), session(&rig, "b"));
    let (mut robot_a, mut robot_b, mut local) = (changer(&a), changer(&b), rig.changer());
    for host in [&mut robot_a, &mut robot_b, &mut local] {
        host.settle();
    }
    rig.library.insert_cartridge("CAP100L8", None).unwrap();
    for host in [&mut robot_b, &mut local, &mut robot_a] {
        host.fails(&READY, ATTENTION_STATION);
        host.good(&READY);
    }
    rig.library.add_cartridge("CAP101L8", None).unwrap();
    // This machine does not ask; a session that comes now is not told of the past.
    let c = session(&rig, "c");
    let mut robot_c = changer(&c);
    robot_c.fails(&READY, ATTENTION_POWER_ON);
    robot_c.good(&READY);
    for host in [&mut robot_a, &mut robot_b] {
        host.fails(&READY, ATTENTION_MEDIUM);
        host.good(&READY);
        host.good(&READY);
    }
    local.fails(&READY, ATTENTION_MEDIUM);
    local.good(&READY);
}

#[test]
fn the_cartridge_stays_as_long_as_one_host_wants_it() {
    let rig = rig(64 * MIB);
    let (a, b) = (session(&rig, "a"), session(&rig, "b"));
    let mut robot = changer(&a);
    robot.settle();
    robot.good(&move_medium(1024, 256));
    let (mut drive_a, mut drive_b, mut local) = (drive(&a), drive(&b), rig.drive(0));
    for host in [&mut drive_a, &mut drive_b, &mut local] {
        host.settle();
    }
    drive_a.good(&PREVENT);
    drive_b.good(&PREVENT);
    drive_a.good(&ALLOW);
    drive_a.fails(&UNLOAD, REMOVAL_PREVENTED);
    robot.fails(&move_medium(256, 1024), REMOVAL_PREVENTED);
    // The session that wanted it ends without saying so.
    drop((drive_b, b));
    local.good(&PREVENT);
    robot.fails(&move_medium(256, 1024), REMOVAL_PREVENTED);
    local.good(&ALLOW);
    robot.good(&move_medium(256, 1024));
}

#[test]
fn a_station_locked_by_a_session_is_free_when_the_session_ends() {
    let rig = rig(64 * MIB);
    let (a, b) = (session(&rig, "a"), session(&rig, "b"));
    let (mut robot_a, mut robot_b) = (changer(&a), changer(&b));
    robot_a.settle();
    robot_b.settle();
    robot_a.good(&PREVENT);
    robot_b.good(&PREVENT);
    robot_a.good(&ALLOW);
    let refused = rig.library.insert_cartridge("CAP100L8", None).err().unwrap();
    assert!(refused.to_string().contains("locked"), "{refused}");
    drop((robot_b, b));
    rig.library.insert_cartridge("CAP100L8", None).unwrap();
}

#[test]
fn a_reset_is_told_to_all_and_sets_settings_back() {
    let rig = rig(64 * MIB);
    let (a, b) = (session(&rig, "a"), session(&rig, "b"));
    let mut robot = changer(&a);
    robot.settle();
    robot.good(&move_medium(1024, 256));
    let (mut drive_a, mut drive_b) = (drive(&a), drive(&b));
    drive_a.settle();
    drive_b.settle();
    drive_a.good(&PREVENT);
    set_block_length(&mut drive_a, 512);
    assert_eq!(drive_a.send(&[0x0a, 1, 0, 0, 1, 0], Data::Out(&[7; 512])).sense, None);
    b.reset(Unit::Drive(0)).unwrap();
    for host in [&mut drive_a, &mut drive_b] {
        host.fails(&READY, ATTENTION_RESET);
    }
    // Host b had not been told of the block length either.
    drive_b.fails(&READY, ATTENTION_MODE);
    for host in [&mut drive_a, &mut drive_b] {
        host.good(&READY);
    }
    assert_eq!(drive_a.data_in(&[0x1a, 0, 0, 0, 12, 0], 12)[10..], [0, 0]);
    assert_eq!(drive_a.position(), (1, 0));
    robot.good(&move_medium(256, 1024));
    a.reset(Unit::Changer).unwrap();
    robot.fails(&READY, ATTENTION_RESET);
    robot.good(&READY);
}
