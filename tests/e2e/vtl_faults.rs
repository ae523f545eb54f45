//! Faults on demand through the command line.

use serde_json::json;

use crate::world::World;

#[test]
fn a_fault_set_from_outside_happens_once_to_whoever_comes() {
    let world = World::new();
    let dir = world.create_library("lib", 2);
    world.run(args!["vtl", "fault", "set", dir, "once changer move -> stuck"]);
    let listed = world.json(args!["vtl", "fault", "list", dir]);
    assert_eq!((&listed[0]["fired"], &listed[0]["is_used_up"]), (&json!(0), &json!(false)));
    world.fails(world.tape(args!["load-media", "CAP001L8"]), &["15/01"]);
    let listed = world.json(args!["vtl", "fault", "list", dir]);
    assert_eq!((&listed[0]["fired"], &listed[0]["is_used_up"]), (&json!(1), &json!(true)));
    world.run(world.tape(args!["load-media", "CAP001L8"]));

    let rules = world.disk("rules");
    std::fs::write(&rules, "# nothing is read\nalways drives read -> unreadable\n").unwrap();
    world.run(args!["vtl", "fault", "set", dir, "--file", rules]);
    world.fails(world.tape(args!["read-label"]), &["drive"]);
    world.run(args!["vtl", "fault", "clear", dir]);
    assert_eq!(world.json(args!["vtl", "fault", "list", dir]), json!([]));
    world.fails(world.tape(args!["read-label"]), &["no label"]);

    world.fails(args!["vtl", "fault", "set", dir], &["no rule is given"]);
    world.fails(args!["vtl", "fault", "set", dir, "once drive0 write"], &["line 2", "TIMES"]);
    world.run(args!["vtl", "fault", "set", dir, "--seed", "7"]);
    let text = std::fs::read_to_string(dir.join("faults.plan")).unwrap();
    assert!(text.starts_with("seed 7\n"), "{text}");
}
