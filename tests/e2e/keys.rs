//! Keys: the default one, passphrases, copies and paper, the master key.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::round_trip::source;
use crate::tree::{bytes, write};
use crate::world::{World, external, has_program, note, read, read_text, text};

const OLD: &str = "CAPSTAN_ENCRYPTION_PASSWORD";
const NEW: &str = "CAPSTAN_NEW_ENCRYPTION_PASSWORD";
const MASTER: &str = "CAPSTAN_MASTER_KEY_PASSWORD";
const ENCRYPTED_KEY: &str = "rsa-encrypted.key.blob";

/// A world with a store and something to back up.
fn set_up() -> (World, PathBuf, PathBuf) {
    let world = World::new();
    let store = world.create_store("store");
    let image = world.disk("disk.img");
    write(&image, bytes(31, 9_000_000));
    (world, store, image)
}

fn backup(store: &Path, image: &Path, id: &str, options: Vec<OsString>) -> Vec<OsString> {
    let mut arguments = args!["backup", source("disk.img", image), "--repository", store];
    arguments.extend(args!["--backup-id", id]);
    arguments.extend(options);
    arguments
}

fn restore(store: &Path, id: &str, target: &Path, options: Vec<OsString>) -> Vec<OsString> {
    let mut arguments = args!["restore", format!("host/{id}"), "disk.img", target];
    arguments.extend(args!["--repository", store]);
    arguments.extend(options);
    arguments
}

fn files(world: &World, store: &Path, id: &str) -> Value {
    world.json(args!["snapshot", "files", format!("host/{id}"), "--repository", store])
}

/// Those of the archives; the manifest is never encrypted.
fn modes(files: &Value) -> BTreeSet<String> {
    let files = files.as_array().unwrap().iter();
    let archives = files.filter(|file| file["filename"] != "index.json.blob");
    archives.map(|file| text(&file["crypt-mode"])).collect()
}

/// Runs a program that must work; its output.
#[track_caller]
fn tool(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_default_key_is_used_where_none_is_named() {
    let (mut world, store, image) = set_up();
    let target = world.disk("restored");
    world.fails(args!["key", "show"], &["no default key", "encryption-key.json", "key create"]);
    world.run(args!["key", "create", "--kdf", "none"]).says(&["default key"]);
    world.fails(args!["key", "create", "--kdf", "none"], &["exists"]);
    let file = world.config.join("encryption-key.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let print = text(&world.json(args!["key", "show"])["fingerprint"]);

    world.run(backup(&store, &image, "default", args![])).says(&["encrypt", &print[..23]]);
    world.run(backup(&store, &image, "signed", args!["--crypt-mode", "sign-only"]));
    world.run(backup(&store, &image, "plain", args!["--crypt-mode", "none"]));
    for (id, mode, named) in
        [("default", "encrypt", true), ("signed", "sign-only", true), ("plain", "none", false)]
    {
        assert_eq!(modes(&files(&world, &store, id)), BTreeSet::from([mode.to_owned()]), "{id}");
        let listed =
            world.json(args!["snapshot", "list", format!("host/{id}"), "--repository", store]);
        assert_eq!(listed[0]["fingerprint"].as_str(), named.then_some(print.as_str()), "{id}");
        let run = world.run(restore(&store, id, Path::new("-"), args![]));
        assert!(run.output.stdout == read(&image), "{id} differs");
    }

    // Elsewhere, where the default key is another one or there is none, it is not tried.
    world.config = world.disk("elsewhere");
    world.fails(restore(&store, "default", &target, args![]), &["encrypted", "--keyfile"]);
    world.run(args!["key", "create", "--kdf", "none"]);
    world.fails(restore(&store, "default", &target, args![]), &["encrypted", "--keyfile"]);
    world.run(restore(&store, "plain", Path::new("-"), args![]));
    world.run(restore(&store, "signed", Path::new("-"), args![])).says(&["signed", "not checked"]);
    world.run(restore(&store, "default", &target, args!["--keyfile", file]));
    assert!(read(&target) == read(&image));

    // A default key that is there and cannot be used makes no plain backup.
    let default = world.config.join("encryption-key.json");
    fs::remove_file(&default).unwrap();
    symlink("nowhere", &default).unwrap();
    world.fails(backup(&store, &image, "broken", args![]), &["encryption-key.json"]);
}

/// Two chunks in each other's place: each is whole by its checksum, only the key shows the swap.
#[test]
fn verification_uses_the_default_key_that_opens_without_a_question() {
    let (mut world, store, image) = set_up();
    world.set_env(OLD, "the passphrase");
    world.run(args!["key", "create"]);
    world.run(backup(&store, &image, "elsa", args![]));
    let verify = args!["datastore", "verify", store, "--no-record"];
    let one = args!["snapshot", "verify", "host/elsa", "--repository", store, "--no-record"];
    world.run(verify.clone());
    let chunks: Vec<PathBuf> = crate::listing::list(&store.join(".chunks"))
        .into_iter()
        .filter(|entry| entry.size > 4 << 20)
        .map(|entry| store.join(".chunks").join(entry.path))
        .collect();
    assert_eq!(chunks.len(), 2, "the image has two whole chunks");
    fs::copy(&chunks[0], &chunks[1]).unwrap();

    let found: &[&str] = &["failed verification", "chunk"];
    world.fails(verify.clone(), found);
    world.fails(one.clone(), found);
    // Nobody is asked for a passphrase, and without one the checksums are what there is.
    world.unset_env(OLD);
    world.run(verify.clone()).says(&["default key", OLD, "checksums"]);
    world.run(one).says(&["default key"]);
    // A default key that cannot be used is told, and nothing is left out because of it.
    world.set_env(OLD, "another one");
    let run = world.attempt(verify.clone());
    assert_eq!(run.code(), Some(3), "{run}");
    run.says(&["wrong passphrase", "checksums"]);
    // A key that is named stands alone.
    world.run(args!["key", "create", world.disk("other.json"), "--kdf", "none"]);
    world.run([verify, args!["--keyfile", world.disk("other.json")]].concat());
}

#[test]
fn a_passphrase_changes_and_the_key_stays() {
    let (mut world, store, image) = set_up();
    let key = world.disk("key.json");
    world.set_env(OLD, "the old one");
    world.run(args!["key", "create", key, "--kdf", "pbkdf2", "--hint", "old"]);
    world.run(backup(&store, &image, "elsa", args!["--keyfile", key]));
    let before = world.json(args!["key", "show", key]);

    // What fails leaves the file as it was.
    let content = read(&key);
    let change = args!["key", "change-passphrase", key, "--kdf", "pbkdf2", "--hint", "new"];
    world.fails(change.clone(), &["CAPSTAN_NEW_ENCRYPTION_PASSWORD"]);
    world.set_env(NEW, "four");
    world.fails(change.clone(), &["at least 5"]);
    world.set_env(NEW, "the new one");
    world.set_env(OLD, "a wrong one");
    world.fails(change, &["wrong passphrase", "hint: old"]);
    assert_eq!(read(&key), content);

    // Through a link, which stays one; the passphrases stand in files.
    let link = world.disk("link.json");
    symlink(&key, &link).unwrap();
    for (variable, passphrase) in [(OLD, "the old one\n"), (NEW, "the new one\r\nmore")] {
        let file = world.disk(variable);
        write(&file, passphrase);
        world.unset_env(variable);
        world.set_env(&format!("{variable}_FILE"), file);
    }
    world.run(args!["key", "change-passphrase", link, "--kdf", "pbkdf2", "--hint", "new"]);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let after = world.json(args!["key", "show", key]);
    assert_eq!(after["fingerprint"], before["fingerprint"]);
    assert_eq!(after["created"], before["created"]);
    assert_eq!(after["hint"], "new");

    let target = world.disk("restored");
    let restore = restore(&store, "elsa", &target, args!["--keyfile", key]);
    world.fails(restore.clone(), &["wrong passphrase"]);
    world.set_env(OLD, "the new one");
    world.run(restore);
    assert!(read(&target) == read(&image));
}

#[test]
fn copies_and_paper_give_the_key_back() {
    let mut world = World::new();
    let key = world.disk("key.json");
    world.set_env(OLD, "the usual");
    world.run(args!["key", "create", key, "--kdf", "pbkdf2", "--hint", "<usual>"]);
    let content = read_text(&key);

    let copy = world.disk("copy.json");
    world.run(args!["key", "export", copy, "--keyfile", key]);
    assert_eq!(read_text(&copy), content);
    world.fails(args!["key", "export", copy, "--keyfile", key], &["exists"]);
    let run = world.run(args!["key", "export", "-", "--keyfile", key]);
    assert_eq!(run.stdout().trim_end(), content);
    let open = world.disk("open.json");
    world.run(args!["key", "export", open, "--keyfile", key, "--kdf", "none"]);
    let fingerprint = |path: &Path| world.json(args!["key", "show", path])["fingerprint"].clone();
    assert_eq!(fingerprint(&open), fingerprint(&key));

    for format in ["text", "html"] {
        let mut print = args!["key", "paperkey", key, "--output-format", format];
        print.extend(args!["--subject", "the archive"]);
        let paper = world.disk(format);
        write(&paper, world.run(print).stdout());
        assert!(read_text(&paper).contains("Subject: the archive"));
        let back = world.disk(format!("from-{format}.json"));
        world.run(args!["key", "import", paper, back]);
        assert_eq!(read_text(&back), content);
        world.fails(args!["key", "import", paper, back], &["exists"]);
    }
    // A key that does not open is not taken: a digit may have been misread.
    let at = content.find("\"data\":\"").unwrap() + 20;
    let other = if &content[at..=at] == "A" { "B" } else { "A" };
    let misread = world.disk("misread");
    write(&misread, format!("{}{other}{}", &content[..at], &content[at + 1..]));
    let target = world.disk("new.json");
    world.fails(args!["key", "import", misread, target], &["wrong passphrase"]);
    world.fails(args!["key", "import", world.disk("nothing"), target], &["nothing"]);
    assert!(!target.exists());
    // Without a name it becomes the default key.
    world.set_env(NEW, "another");
    world.run(args!["key", "import", open, "--kdf", "pbkdf2"]);
    assert_eq!(world.json(args!["key", "show"])["kdf"], "pbkdf2");
}

#[test]
fn the_master_key_opens_what_was_backed_up_with_a_lost_key() {
    let (mut world, store, image) = set_up();
    let safe = world.disk("safe");
    fs::create_dir(&safe).unwrap();
    world.set_env(MASTER, "in the safe");
    world.run(args!["key", "create-master-key", safe]);
    world.fails(args!["key", "create-master-key", safe], &["exists"]);
    let (private, public) = (safe.join("master-private.pem"), safe.join("master-public.pem"));
    assert!(read_text(&private).starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert!(read_text(&public).starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);

    // Named, for one backup; and imported, for all.
    let named = args!["--master-pubkey-file", public];
    world.fails(backup(&store, &image, "none", named.clone()), &["--keyfile"]);
    let key = world.disk("key.json");
    world.run(args!["key", "create", key, "--kdf", "none"]);
    let with_key = args!["--keyfile", key];
    world.run(backup(&store, &image, "without", with_key.clone()));
    world.run(backup(&store, &image, "named", [named, with_key.clone()].concat()));
    world.run(args!["key", "import-master-pubkey", public]);
    world.run(args!["key", "import-master-pubkey", public]);
    let shown = world.json(args!["key", "show-master-pubkey"]);
    assert_eq!(shown["bits"], 4096);
    assert_eq!(text(&shown["pem"]), read_text(&public));
    let signed = [with_key.clone(), args!["--crypt-mode", "sign-only"]].concat();
    world.run(backup(&store, &image, "encrypted", with_key)).says(&["master key"]);
    world.run(backup(&store, &image, "signed", signed));
    world.run(backup(&store, &image, "none", args![]));

    for (id, mode) in
        [("named", Some("encrypt")), ("encrypted", Some("encrypt")), ("signed", Some("sign-only"))]
            .into_iter()
            .chain([("without", None), ("none", None)])
    {
        let files = files(&world, &store, id);
        let found = files.as_array().unwrap().iter().find(|f| f["filename"] == ENCRYPTED_KEY);
        assert_eq!(found.map(|file| text(&file["crypt-mode"])).as_deref(), mode, "{id}");
        // A plain header and as many bytes as the modulus.
        assert_eq!(found.map(|file| file["size"].as_u64()), mode.map(|_| Some(12 + 512)), "{id}");
        let arguments = args!["restore", format!("host/{id}"), "rsa-encrypted.key", "-"];
        let run = world.attempt([arguments, args!["--repository", store]].concat());
        assert_eq!(run.code(), Some(if mode.is_some() { 0 } else { 1 }), "{run}");
    }
    let keys = args!["--keyfile", key];
    world.run([args!["datastore", "verify", store], keys].concat());

    // The key is lost.
    let lost = read_text(&key);
    fs::remove_file(&key).unwrap();
    let recover = |file: &Path, id: &str| {
        let mut arguments = args!["key", "recover", file, "--kdf", "none"];
        arguments.extend(args!["--master-keyfile", private, "--repository", store]);
        arguments.extend(args!["--snapshot", format!("host/{id}")]);
        arguments
    };
    for id in ["named", "encrypted", "signed"] {
        let found = world.disk(format!("recovered-{id}.json"));
        world.run(recover(&found, id));
        let target = world.disk(format!("restored-{id}"));
        world.run(restore(&store, id, &target, args!["--keyfile", found]));
        assert!(read(&target) == read(&image), "{id} differs");
        let field =
            |text: &str, name: &str| serde_json::from_str::<Value>(text).unwrap()[name].clone();
        for name in ["data", "fingerprint", "created"] {
            assert_eq!(field(&read_text(&found), name), field(&lost, name), "{name}");
        }
    }
    let none = world.disk("no-key.json");
    world.fails(recover(&none, "without"), &["master key"]);
    world.set_env(MASTER, "not in the safe");
    world.fails(recover(&none, "named"), &["wrong passphrase"]);
    assert!(!none.exists());
    world.set_env(MASTER, "in the safe");

    // The private half on paper.
    let paper = world.disk("paper");
    write(&paper, world.run(args!["key", "paperkey", private]).stdout());
    let back = world.disk("from-paper.pem");
    world.run(args!["key", "import", paper, back]);
    assert_eq!(read_text(&back), read_text(&private));

    master_keys_are_those_of_openssl(&world, &store, &image, (&private, &public), &lost);
}

/// What we make the usual tool reads, and the reverse.
fn master_keys_are_those_of_openssl(
    world: &World,
    store: &Path,
    image: &Path,
    (private, public): (&Path, &Path),
    lost: &str,
) {
    if !has_program("openssl") {
        note("openssl is not installed; our master keys are not held against it");
        return;
    }
    let password = "pass:in the safe";
    let pem = tool("openssl", &["pkey", "-in", path(private), "-passin", password, "-pubout"]);
    assert_eq!(pem, read(public));
    let encrypted = world.disk("encrypted.key");
    let arguments = args!["restore", "host/encrypted", "rsa-encrypted.key", encrypted];
    world.run([arguments, args!["--repository", store]].concat());
    let decrypt = ["pkeyutl", "-decrypt", "-passin", password, "-inkey", path(private), "-in"];
    let file = tool("openssl", &[&decrypt[..], &[path(&encrypted)]].concat());
    let file: Value = serde_json::from_slice(&file).unwrap();
    let lost: Value = serde_json::from_str(lost).unwrap();
    assert_eq!(file["data"], lost["data"]);
    assert_eq!((&file["kdf"], file.get("hint")), (&Value::Null, None));

    let (private, public) = (world.disk("their-private.pem"), world.disk("their-public.pem"));
    let generate = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-aes256"];
    let rest = ["-pass", password, "-out", path(&private)];
    tool("openssl", &[&generate[..], &rest].concat());
    let show = ["pkey", "-in", path(&private), "-passin", password, "-pubout", "-out"];
    tool("openssl", &[&show[..], &[path(&public)]].concat());
    world.fails(args!["key", "import-master-pubkey", public], &["another master key"]);
    world.run(args!["key", "import-master-pubkey", public, "--replace"]);
    let key = world.disk("second.json");
    world.run(args!["key", "create", key, "--kdf", "none"]);
    world.run(backup(store, image, "theirs", args!["--keyfile", key]));
    let found = world.disk("recovered-theirs.json");
    let mut recover = args!["key", "recover", found, "--kdf", "none", "--master-keyfile", private];
    recover.extend(args!["--snapshot", "host/theirs", "--repository", store]);
    world.run(recover);
    let print = |path: &Path| world.json(args!["key", "show", path])["fingerprint"].clone();
    assert_eq!(print(&found), print(&key));

    // From the file alone, as it lies in the store.
    let snapshots = world.json(args!["snapshot", "list", "host/theirs", "--repository", store]);
    let time = datastore::time::to_utc_text(snapshots[0]["backup-time"].as_i64().unwrap()).unwrap();
    let blob = store.join("host/theirs").join(time).join(ENCRYPTED_KEY);
    let found = world.disk("recovered-from-file.json");
    let mut recover = args!["key", "recover", found, "--kdf", "none", "--master-keyfile", private];
    recover.extend(args!["--encrypted-keyfile", blob]);
    world.run(recover);
    assert_eq!(print(&found), print(&key));
}

#[test]
fn another_key_shares_nothing_with_the_last_snapshot() {
    let (world, store, image) = set_up();
    let (first, second) = (world.disk("first.json"), world.disk("second.json"));
    for key in [&first, &second] {
        world.run(args!["key", "create", key, "--kdf", "none"]);
    }
    let back_up = |key: &Path, time: &str| {
        let run = backup(&store, &image, "elsa", args!["--keyfile", key, "--backup-time", time]);
        let report = world.json(run);
        (report["chunks-stored"].as_u64().unwrap(), report["chunks-duplicate"].as_u64().unwrap())
    };
    assert_eq!(back_up(&first, "1700000000"), (3, 0));
    assert_eq!(back_up(&first, "1700000001"), (0, 3));
    assert_eq!(back_up(&second, "1700000002"), (3, 0));
    let options = args!["--keyfile", first, "--backup-time", "1700000003"];
    world.run(backup(&store, &image, "elsa", options)).says(&["was made with key"]);

    let snapshot = |second: &str| format!("elsa/2023-11-14T22:13:{second}Z");
    for (time, right, wrong) in
        [("20", &first, &second), ("22", &second, &first), ("23", &first, &second)]
    {
        let target = world.disk(format!("restored-{time}"));
        let with = |key| restore(&store, &snapshot(time), &target, args!["--keyfile", key]);
        world.fails(with(wrong), &["was made with key"]);
        assert!(!target.exists(), "a restore with the wrong key wrote something");
        world.run(with(right));
        assert!(read(&target) == read(&image));
    }
}

#[test]
fn golden_keys_are_taken_in() {
    let Some(golden) = external("CAPSTAN_GOLDEN") else { return };
    let mut world = World::new();
    world.set_env(OLD, "golden-password");
    for name in ["enc-none", "enc-scrypt", "enc-pbkdf2"] {
        let theirs = golden.join(format!("keys/{name}.json"));
        let ours = world.disk(format!("{name}.json"));
        world.run(args!["key", "import", theirs, ours]);
        assert_eq!(read_text(&ours), read_text(&theirs).trim_end());
    }
    world.run(args!["key", "import-master-pubkey", golden.join("keys/master-public.pem")]);
    assert_eq!(world.json(args!["key", "show-master-pubkey"])["bits"], 4096);
}
