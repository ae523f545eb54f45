//! The rules of SPC-4 §5.13 as tables, and that they outlive the program.

use super::*;

const A: Nexus = Nexus::LOCAL;

fn key(key: u64, action_key: u64) -> OutParameters {
    OutParameters { key, action_key, ..OutParameters::default() }
}

/// Hosts A, B and C, registered with keys 1, 2 and 3.
struct World {
    state: State,
    b: Nexus,
    c: Nexus,
}

impl World {
    fn new(name: &str) -> World {
        let b = Nexus::of_port(&format!("iqn.{name}-b,i,0x1"));
        let c = Nexus::of_port(&format!("iqn.{name}-c,i,0x1"));
        let mut world = World { state: State::default(), b, c };
        for (nexus, own) in [(A, 1), (b, 2), (c, 3)] {
            assert_eq!(world.out(nexus, OutAction::Register, None, key(0, own)), Ok(vec![]));
        }
        world
    }

    /// What is told to whom (by the last byte of the sense), or how it was refused.
    fn out(
        &mut self,
        nexus: Nexus,
        action: OutAction,
        kind: Option<Kind>,
        parameters: OutParameters,
    ) -> std::result::Result<Vec<(Nexus, u8)>, String> {
        match self.state.apply(nexus, action, kind, &parameters) {
            Ok(news) => Ok(news.into_iter().map(|(nexus, sense)| (nexus, sense.ascq)).collect()),
            Err(Stop::Conflict) => Err("conflict".into()),
            Err(Stop::Check(sense)) => Err(format!("{:?}", sense.code())),
            Err(stop @ (Stop::Status(_) | Stop::NoAnswer)) => Err(format!("{stop:?}")),
            Err(Stop::Host(error)) => Err(error.to_string()),
        }
    }

    fn held(&self) -> Option<(Nexus, Kind)> {
        self.state.hold.map(|hold| (hold.by, hold.kind))
    }
}

fn conflict<T>() -> std::result::Result<T, String> {
    Err("conflict".into())
}

#[test]
fn registering_needs_the_key_that_is_registered() {
    let mut world = World::new("register");
    assert_eq!(world.state.generation, 3);
    let (b, c) = (world.b, world.c);
    let register = OutAction::Register;
    // A wrong key, and a key where none is registered.
    assert_eq!(world.out(A, register, None, key(9, 4)), conflict());
    assert_eq!(world.out(A, register, None, key(0, 4)), conflict());
    assert_eq!(world.out(A, register, None, key(1, 4)), Ok(vec![]));
    assert_eq!(world.state.key_of(A), Some(4));
    assert_eq!(world.out(b, register, None, key(2, 0)), Ok(vec![]));
    assert_eq!(world.out(b, register, None, key(2, 5)), conflict());
    // Nothing to remove is no change.
    let generation = world.state.generation;
    assert_eq!(world.out(b, register, None, key(0, 0)), Ok(vec![]));
    assert_eq!(world.state.generation, generation);
    // Ignoring the existing key.
    let ignore = OutAction::RegisterAndIgnoreExistingKey;
    assert_eq!(world.out(c, ignore, None, key(77, 6)), Ok(vec![]));
    assert_eq!(world.state.key_of(c), Some(6));
    assert_eq!(world.out(b, ignore, None, key(77, 7)), Ok(vec![]));
    assert_eq!(world.state.key_of(b), Some(7));
}

#[test]
fn one_host_reserves_and_the_same_again_is_good() {
    for kind in Kind::ALL {
        let mut world = World::new("reserve");
        let b = world.b;
        let reserve = OutAction::Reserve;
        assert_eq!(world.out(A, reserve, Some(kind), key(9, 0)), conflict());
        assert_eq!(world.out(A, reserve, None, key(1, 0)), Err("(5, 36, 0)".into()));
        assert_eq!(world.out(A, reserve, Some(kind), key(1, 0)), Ok(vec![]));
        assert_eq!(world.out(A, reserve, Some(kind), key(1, 0)), Ok(vec![]));
        // Of all registrants every one holds it.
        let again = world.out(b, reserve, Some(kind), key(2, 0));
        let expected = if kind.is_for_all_registrants() { Ok(vec![]) } else { conflict() };
        assert_eq!(again, expected, "{kind:?}");
        let other = Kind::ALL.into_iter().find(|other| *other != kind);
        assert_eq!(world.out(A, reserve, other, key(1, 0)), conflict());
        assert_eq!(world.held(), Some((A, kind)));
        assert_eq!(world.state.generation, 3, "reserving changes no registration");
    }
}

#[test]
fn releasing_tells_registrants_where_it_concerned_them() {
    for kind in Kind::ALL {
        let mut world = World::new("release");
        let (b, c) = (world.b, world.c);
        world.out(A, OutAction::Reserve, Some(kind), key(1, 0)).unwrap();
        let other = Kind::ALL.into_iter().find(|other| *other != kind);
        assert_eq!(world.out(A, OutAction::Release, other, key(1, 0)), Err("(5, 38, 4)".into()));
        if !kind.is_for_all_registrants() {
            assert_eq!(world.out(b, OutAction::Release, Some(kind), key(2, 0)), Ok(vec![]));
        }
        assert_eq!(world.held(), Some((A, kind)));
        let expected = if kind.is_for_registrants() { vec![(b, 4), (c, 4)] } else { vec![] };
        assert_eq!(world.out(A, OutAction::Release, Some(kind), key(1, 0)), Ok(expected));
        assert_eq!(world.held(), None);
        assert_eq!(world.out(A, OutAction::Release, Some(kind), key(1, 0)), Ok(vec![]));
    }
}

#[test]
fn who_leaves_takes_its_reservation_along() {
    for kind in Kind::ALL {
        let mut world = World::new("leave");
        let (b, c) = (world.b, world.c);
        world.out(A, OutAction::Reserve, Some(kind), key(1, 0)).unwrap();
        let told = world.out(A, OutAction::Register, None, key(1, 0)).unwrap();
        if kind.is_for_all_registrants() {
            assert_eq!(told, []);
            assert!(world.state.is_holder(b) && world.state.is_holder(c), "{kind:?}");
            world.out(b, OutAction::Register, None, key(2, 0)).unwrap();
            world.out(c, OutAction::Register, None, key(3, 0)).unwrap();
        } else {
            let expected = if kind.is_for_registrants() { vec![(b, 4), (c, 4)] } else { vec![] };
            assert_eq!(told, expected, "{kind:?}");
        }
        assert_eq!(world.held(), None, "{kind:?}");
    }
}

#[test]
fn clearing_tells_everybody_else() {
    let mut world = World::new("clear");
    let (b, c) = (world.b, world.c);
    world.out(A, OutAction::Reserve, Some(Kind::ExclusiveAccess), key(1, 0)).unwrap();
    assert_eq!(world.out(b, OutAction::Clear, None, key(3, 0)), conflict());
    assert_eq!(world.out(b, OutAction::Clear, None, key(2, 0)), Ok(vec![(A, 3), (c, 3)]));
    assert_eq!((world.held(), world.state.keys.len()), (None, 0));
}

#[test]
fn preempting_the_holder_takes_over() {
    for action in [OutAction::Preempt, OutAction::PreemptAndAbort] {
        let mut world = World::new("preempt");
        let (b, c) = (world.b, world.c);
        let registrants = Kind::WriteExclusiveRegistrantsOnly;
        world.out(A, OutAction::Reserve, Some(registrants), key(1, 0)).unwrap();
        // Not registered under that key; nobody has that key; no key.
        let exclusive = Some(Kind::ExclusiveAccess);
        assert_eq!(world.out(b, action, exclusive, key(9, 1)), conflict());
        assert_eq!(world.out(b, action, exclusive, key(2, 9)), conflict());
        assert_eq!(world.out(b, action, exclusive, key(2, 0)), Err("(5, 38, 0)".into()));
        assert_eq!(world.out(b, action, None, key(2, 1)), Err("(5, 36, 0)".into()));
        assert_eq!(world.held(), Some((A, registrants)));
        // C keeps its registration and is told that its access is gone.
        assert_eq!(world.out(b, action, exclusive, key(2, 1)), Ok(vec![(A, 5), (c, 4)]));
        assert_eq!(world.held(), Some((b, Kind::ExclusiveAccess)));
        assert_eq!(world.state.key_of(A), None);
        // A bystander goes, the reservation stays.
        assert_eq!(world.out(b, action, exclusive, key(2, 3)), Ok(vec![(c, 5)]));
        assert_eq!(world.held(), Some((b, Kind::ExclusiveAccess)));
    }
}

#[test]
fn preempting_all_registrants_needs_key_zero() {
    let mut world = World::new("preempt-all");
    let (b, c) = (world.b, world.c);
    let all = Kind::WriteExclusiveAllRegistrants;
    world.out(A, OutAction::Reserve, Some(all), key(1, 0)).unwrap();
    // One key: only that registration goes, also that of the host that reserved.
    assert_eq!(world.out(b, OutAction::Preempt, Some(all), key(2, 1)), Ok(vec![(A, 5)]));
    assert!(world.held().is_some_and(|(by, kind)| kind == all && world.state.is_holder(by)));
    let new = Some(Kind::ExclusiveAccessRegistrantsOnly);
    assert_eq!(world.out(b, OutAction::Preempt, new, key(2, 0)), Ok(vec![(c, 5)]));
    assert_eq!(world.held(), Some((b, Kind::ExclusiveAccessRegistrantsOnly)));
}

#[test]
fn preempting_itself_changes_the_type() {
    let mut world = World::new("preempt-self");
    let (b, c) = (world.b, world.c);
    let old = Kind::ExclusiveAccessRegistrantsOnly;
    world.out(A, OutAction::Reserve, Some(old), key(1, 0)).unwrap();
    let told = world.out(A, OutAction::Preempt, Some(Kind::WriteExclusive), key(1, 1));
    assert_eq!(told, Ok(vec![(b, 4), (c, 4)]));
    assert_eq!(world.held(), Some((A, Kind::WriteExclusive)));
    assert_eq!(world.state.key_of(A), Some(1));
}

#[test]
fn each_type_lets_others_do_what_it_says() {
    // Reading without motion, working: from a registered and an unregistered host.
    let rows = [
        (Kind::WriteExclusive, [true, false], [true, false]),
        (Kind::ExclusiveAccess, [false, false], [false, false]),
        (Kind::WriteExclusiveRegistrantsOnly, [true, true], [true, false]),
        (Kind::ExclusiveAccessRegistrantsOnly, [true, true], [false, false]),
        (Kind::WriteExclusiveAllRegistrants, [true, true], [true, false]),
        (Kind::ExclusiveAccessAllRegistrants, [true, true], [false, false]),
    ];
    for (kind, registered, unregistered) in rows {
        let mut world = World::new("types");
        let stranger = Nexus::of_port("iqn.types-stranger,i,0x1");
        world.out(A, OutAction::Reserve, Some(kind), key(1, 0)).unwrap();
        let b = world.b;
        let reservations =
            Reservations { path: PathBuf::new(), state: world.state, exclusive: None };
        for (nexus, allowed) in [(A, [true, true]), (b, registered), (stranger, unregistered)] {
            for (access, allowed) in [Access::Reads, Access::Works].into_iter().zip(allowed) {
                assert_eq!(!reservations.conflict(nexus, access), allowed, "{kind:?} {access:?}");
            }
            assert!(!reservations.conflict(nexus, Access::Free));
            assert!(!reservations.conflict(nexus, Access::FreeUnlessReserved));
        }
    }
}

#[test]
fn commands_have_the_classes_of_the_standards() {
    let rows: [(&[u8], Access); 18] = [
        (&[0x12], Access::Free),
        (&[0x4d], Access::Free),
        (&[0x05], Access::Free),
        (&[0x1e, 0, 0, 0, 0, 0], Access::Free),
        (&[0x1e, 0, 0, 0, 1, 0], Access::Works),
        (&[0x00], Access::FreeUnlessReserved),
        (&[0x5e], Access::FreeUnlessReserved),
        (&[0x8c], Access::Reads),
        (&[0xa2], Access::Reads),
        (&[0xb8, 0, 0, 0, 0, 0, 1], Access::FreeUnlessReserved),
        (&[0xb8, 0, 0, 0, 0, 0, 0], Access::Reads),
        (&[0x1a], Access::Works),
        (&[0x15], Access::Works),
        (&[0x08], Access::Works),
        (&[0x34], Access::Works),
        (&[0xa5], Access::Works),
        (&[0xb5], Access::Works),
        (&[0xff], Access::Works),
    ];
    for (cdb, access) in rows {
        assert_eq!(Access::of(cdb), access, "{cdb:02x?}");
    }
}

#[test]
fn registrations_outlive_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reservations.json");
    let mut world = World::new("store");
    let kind = Kind::WriteExclusiveRegistrantsOnly;
    world.out(world.b, OutAction::Reserve, Some(kind), key(2, 0)).unwrap();
    store::write(&path, &world.state).unwrap();
    assert_eq!(store::read(&path).unwrap(), world.state);

    // After a restart of the machine: only if a host asked for it, and generations start anew.
    let boot_lost = |text: String| {
        let start = text.find("\"boot\": \"").unwrap() + 9;
        format!("{}{}{}", &text[..start], "0".repeat(16), &text[start + 16..])
    };
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, boot_lost(text)).unwrap();
    assert_eq!(store::read(&path).unwrap(), State::default());
    let durable = OutParameters { survives_power_loss: true, ..key(2, 2) };
    world.out(world.b, OutAction::Register, None, durable).unwrap();
    store::write(&path, &world.state).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, boot_lost(text)).unwrap();
    let back = store::read(&path).unwrap();
    assert_eq!((back.generation, back.keys, back.hold), (0, world.state.keys, world.state.hold));

    // Damage is told.
    std::fs::write(&path, "{").unwrap();
    assert!(store::read(&path).unwrap_err().to_string().contains("reservations.json"));
}
