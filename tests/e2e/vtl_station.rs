//! The operator's hands at an emulated library, while programs use it and while it is served.

use serde_json::json;

use crate::vtl_serve::serve;
use crate::world::World;

#[test]
fn a_cartridge_goes_offsite_and_comes_back_through_the_station() {
    let world = World::new();
    let dir = world.create_library("lib", 2);
    let station = |arguments| [args!["vtl", "station"], arguments].concat();
    world.run(world.tape(args!["load-media", "CAP001L8"]));
    world.run(world.tape(args!["label", "--label-text", "CAP001L8"]));
    let remove = station(args!["remove", dir, "CAP001L8"]);
    world.fails(remove.clone(), &["CAP001L8", "eject it first"]);
    world.run(world.tape(args!["unload"]));
    let export = |label: &str| args!["tape", "changer", "export", "lib", "--label-text", label];
    world.run(export("CAP001L8"));

    world.run(station(args!["open", dir]));
    world.fails(export("CAP002L8"), &["station"]);
    world.run(remove);
    world.run(station(args!["close", dir]));
    let listed = world.json(args!["vtl", "list", dir]);
    assert_eq!((&listed["shelf"], &listed["station_open"]), (&json!(["CAP001L8"]), &json!(false)));
    world.run(args!["vtl", "list", dir]).says_on_stdout(&["shelf", "CAP001L8"]);
    world.fails(world.tape(args!["load-media", "CAP001L8"]), &["CAP001L8"]);

    world.run(station(args!["insert", dir, "CAP001L8"])).says(&["import/export slot 1"]);
    world.fails(station(args!["insert", dir, "CAP001L8"]), &["bar code already"]);
    world.run(args!["tape", "changer", "import", "lib"]);
    world.run(world.tape(args!["load-media", "CAP001L8"]));
    let label = world.json(world.tape(args!["read-label"]));
    assert_eq!(label["label-text"], json!("CAP001L8"));
    // By hand into a drive, as people with a single drive do.
    world.run(world.tape(args!["unload"]));
    world.run(station(args!["remove", dir, "CAP001L8"]));
    world.run(station(args!["insert", dir, "CAP001L8", "--drive", "0"])).says(&["drive 0"]);
    assert_eq!(world.json(world.tape(args!["read-label"])), label);
    let twice = station(args!["insert", dir, "NEW001L8", "--drive", "0", "--slot", "4"]);
    assert_eq!(world.attempt(twice).code(), Some(2));
    world.fails(
        station(args!["insert", dir, "NEW001L8", "--slot", "2"]),
        &["slot 2 holds CAP002L8"],
    );
}

#[test]
fn hands_work_while_the_library_is_served() {
    let world = World::new();
    let dir = world.create_library("lib", 2);
    let server = serve(&world, &dir, Vec::new());
    let status = || world.json(args!["mtx", "-f", server.address(0), "status"]).to_string();
    assert!(!status().contains("NEW001L8"));
    world.run(args!["vtl", "station", "open", dir]);
    world.run(args!["vtl", "station", "insert", dir, "NEW001L8"]);
    world.run(args!["vtl", "station", "close", dir]);
    assert!(status().contains("NEW001L8"));
    world.run(args!["vtl", "station", "insert", dir, "NEW002L8", "--drive", "0"]);
    let tell = || world.json(args!["mt", "-f", server.address(1), "tell"]);
    assert_eq!(tell()["block-number"], json!(0));
    world.run(args!["mt", "-f", server.address(1), "eject"]);
    world.run(args!["vtl", "station", "remove", dir, "NEW002L8"]);
    world.fails(args!["mt", "-f", server.address(1), "tell"], &["no tape loaded"]);
    server.end();
}
