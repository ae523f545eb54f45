//! Pools with a key: what is on their cartridges is read by whoever has the passphrase, and by nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::tape_world::{Rig, media_set};
use crate::tree::write;
use crate::world::{field_of_all, read_text, text};

const KEYS: [&str; 2] = ["tape-encryption-keys.json", "tape-encryption-key-config.json"];

#[test]
fn cartridges_of_a_pool_with_a_key_come_back_with_its_passphrase_alone() {
    let mut rig = Rig::new();
    let (right, wrong) = (rig.world.disk("right"), rig.world.disk("wrong"));
    write(&right, "tape secret\n");
    write(&wrong, "no secret\n");
    let world = &rig.world;
    world.fails(
        args!["tape", "key", "create", "--kdf", "pbkdf2"],
        &["CAPSTAN_TAPE_KEY_PASSWORD", "terminal"],
    );
    let mut create = args!["tape", "key", "create", "--kdf", "pbkdf2", "--hint", "in the safe"];
    create.extend(args!["--password-file", right]);
    world.run(create).says(&["tape key", "--encrypt"]);
    for file in KEYS {
        let mode = fs::metadata(world.config.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let keys = world.json(args!["tape", "key", "list"]);
    let key = text(&keys[0]["fingerprint"]);
    assert_eq!((&keys[0]["hint"], &keys[0]["usable"]), (&json!("in the safe"), &json!(true)));
    world.fails(
        args!["tape", "pool", "update", "pool", "--encrypt", "0123456789"],
        &["there is no tape key 0123456789", "tape key list"],
    );
    world.run(args!["tape", "pool", "update", "pool", "--encrypt", key[..11]]);
    assert_eq!(world.json(args!["tape", "pool", "show", "pool"])["encrypt"], json!(key));

    let set = media_set(&rig.to_tape());
    rig.world.json(rig.world.tape(args!["verify", set]));
    rig.change_and_back_up();
    assert_eq!(media_set(&rig.to_tape()), set);
    let world = &rig.world;
    let label = world.json(world.tape(args!["read-label"]));
    assert_eq!(label["encryption-key-fingerprint"], json!(key));

    // Which cartridges were taken is chance.
    let used = world.json(args!["tape", "key", "show", key])["media"].clone();
    let used: Vec<String> = used.as_array().unwrap().iter().map(text).collect();
    let unused = (1..=8).map(|n| format!("CAP00{n}L8")).find(|one| !used.contains(one)).unwrap();
    let by = format!("is needed by pool pool and cartridges {}", used.join(", "));
    world.fails(args!["tape", "key", "remove", key], &[&*by, "--force"]);
    let copy = world.disk("copy.json");
    world.run(args!["tape", "key", "export", key, copy]);
    world.run(args!["tape", "key", "paperkey", key]).says_on_stdout(&["BEGIN PROXMOX BACKUP KEY"]);
    world.fails(
        args!["tape", "key", "import", copy, "--password-file", right],
        &["is here already", "--force"],
    );
    let mut change = args!["tape", "key", "change-passphrase", key[..11], "--kdf", "pbkdf2"];
    change.extend(args!["--password-file", right, "--new-password-file", wrong]);
    world.run(change).says(&["new passphrase", "keep the old one"]);
    assert_eq!(world.json(args!["tape", "key", "show", key]).get("hint"), None);

    // Another machine: cartridges, and what somebody remembers.
    rig.throw_source_away();
    rig.world.forget_state();
    let world = &rig.world;
    for file in KEYS {
        fs::remove_file(world.config.join(file)).unwrap();
    }
    world.attempt(world.tape(args!["inventory", "--read-labels"]));
    world.create_store("second");
    let restore = world.tape(args!["restore", set, "second"]);
    let missing = [&*key, "hint: in the safe", "tape key restore --drive lib-0"];
    world.fails(restore.clone(), &missing);
    world.fails(world.tape(args!["verify", set]), &missing);
    let take = |file| world.tape(args!["key", "restore", "--password-file", file]);
    world.run(world.tape(args!["load-media", used[0]]));
    world.fails(take(&wrong), &["wrong passphrase", "in the safe"]);
    assert_eq!(world.json(args!["tape", "key", "list"]), json!([]));
    let taken = world.json(take(&right));
    assert_eq!((&taken["fingerprint"], &taken["outcome"]), (&json!(key), &json!("restored")));
    world.run(world.tape(args!["inventory", "--catalog"]));
    let report = world.json(restore);
    assert_eq!(report["snapshots-restored"].as_array().map(Vec::len), Some(5), "{report}");
    rig.check_restored("second");

    // A cartridge without key says so, and so does a copy.
    let world = &rig.world;
    world.run(args!["tape", "key", "remove", key, "--force"]);
    world.run(args!["tape", "key", "import", copy, "--password-file", right]);
    assert_eq!(field_of_all(&world.json(args!["tape", "key", "list"]), "fingerprint"), [&*key]);
    world.run(world.tape(args!["load-media", unused]));
    world.fails(take(&right), &[&*format!("{unused} carries no key"), "not encrypted"]);
    let told = read_text(world.config.join("tape.toml"));
    assert!(told.contains(&key) && !told.contains("secret"), "{told}");
}
