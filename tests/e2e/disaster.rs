//! The page about disasters, done as it stands.
//!
//! Every block of commands of `docs/disaster-recovery.md` is taken from the page and given to a shell, line by line, on a
//! machine that knows nothing: no configuration, no state, no datastore. So page and program cannot part. What the page
//! leaves to its reader, the values behind the names, is filled in here; a name that the page has and this test has not, or
//! the other way round, fails the test.
//!
//! Where everything is lost there are cartridges of one media set that spans several, encrypted by the drive, with snapshots
//! in namespaces, some of them encrypted before; and one of the cartridges is damaged. `make disaster` shows the transcript.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tape_world::{ALPHA_2, Rig, SECRET, media_set};
use crate::tree::write;
use crate::world::{World, field_of_all, read_text, text};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/disaster-recovery.md");

/// The blocks of commands of the page, with what stands behind `sh`.
fn blocks() -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in read_text(PAGE).lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some((_, lines)), None) => lines.push(line.to_owned()),
            (None, Some(info)) => {
                let name =
                    info.strip_prefix("sh ").expect("a block of commands says what it is for");
                open = Some((name.to_owned(), Vec::new()));
            }
            (None, None) => {}
            (Some(_), Some(_)) => panic!("a block in a block: {line}"),
        }
    }
    assert!(open.is_none() && blocks.len() > 8, "{blocks:?}");
    blocks
}

/// A new machine, and what its user knows.
struct Machine {
    world: World,
    values: BTreeMap<String, String>,
    /// Names that the commands used.
    used: Vec<String>,
}

impl Machine {
    fn new(values: &[(&str, &Path)]) -> Machine {
        let values =
            values.iter().map(|(name, value)| ((*name).into(), value.display().to_string()));
        Machine { world: World::new(), values: values.collect(), used: Vec::new() }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.into(), value.into());
    }

    /// Runs one line as a reader would; its exit code and what it printed.
    fn line(&mut self, line: &str) -> (i32, String) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = Path::new(env!("CARGO_BIN_EXE_capstan")).parent().unwrap().to_path_buf();
        let path =
            std::env::join_paths([own].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let names = self.values.keys().filter(|name| line.contains(&format!("${name}")));
        self.used.extend(names.cloned());
        let output = Command::new("sh")
            .args(["-u", "-c", &format!("exec 2>&1; {line}")])
            .envs(self.world.command(&[]).get_envs().filter_map(|(k, v)| Some((k, v?))))
            .env_remove("CAPSTAN_TAPE_KEY_PASSWORD")
            .env("PATH", path)
            .envs(&self.values)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let code = output.status.code().unwrap_or(-1);
        eprintln!(
            "$ {line}\n{said}{}",
            if code == 0 { String::new() } else { format!("[exit code {code}]\n") }
        );
        assert!(!said.contains("panicked at"), "{line}\n{said}");
        (code, said)
    }

    /// Runs the blocks of these names in the order of the page. Each line works, or ends with what is allowed for it.
    fn follow(
        &mut self,
        names: &[&str],
        allowed: &dyn Fn(&str) -> &'static [i32],
    ) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for (name, lines) in blocks() {
            if !names.contains(&name.as_str()) {
                continue;
            }
            for line in lines {
                let (code, output) = self.line(&line);
                let allowed = allowed(&line);
                assert!(allowed.contains(&code), "{line}: exit code {code}\n{output}");
                said.push((line, output));
            }
        }
        assert!(!said.is_empty(), "the page has no {names:?}");
        said
    }
}

/// With a damaged cartridge these can't bring everything, and say so.
fn incomplete(line: &str) -> &'static [i32] {
    let brings_all = ["tape rescue $DIR", "tape restore $SET"];
    match brings_all.iter().any(|part| line.contains(part)) && !line.contains("--list") {
        true => &[3],
        false => &[0],
    }
}

/// One group is whole in spite of the damage, but the command also tells of the damage it met.
fn complete(_: &str) -> &'static [i32] {
    &[0]
}

fn damage(library: &Path, cartridge: &str) -> PathBuf {
    let log = library.join("cartridges").join(cartridge).join("partition0.log");
    flip(&log);
    log
}

/// In the middle of a block of the first chunk archive; doing it twice heals it.
fn flip(log: &Path) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(log).unwrap();
    let at = 3 * 262_144 + 100_000;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn the_page_about_disasters_is_followed_as_it_stands() {
    let mut rig = Rig::new();
    let password = rig.world.disk("password");
    write(&password, "in the safe\n");
    let world = &rig.world;
    let mut create = args!["tape", "key", "create", "--kdf", "pbkdf2", "--hint", "the red folder"];
    create.extend(args!["--password-file", password]);
    world.run(create);
    let key = text(&world.json(args!["tape", "key", "list"])[0]["fingerprint"]);
    world.run(args!["tape", "pool", "update", "pool", "--encrypt", key]);
    let paper = world.disk("paper");
    write(&paper, world.run(args!["tape", "key", "paperkey", key]).output.stdout);
    let report = rig.to_tape();
    rig.change_and_back_up();
    assert_eq!(media_set(&rig.to_tape()), media_set(&report));
    let tapes = rig.world.json(args!["tape", "key", "show", key])["media"].clone();
    assert!(tapes.as_array().unwrap().len() >= 2, "the set spans cartridges: {tapes}");
    rig.world.run(rig.world.tape(args!["unload"]));
    let first = text(&report["tapes"][0]);

    // The disaster.
    rig.throw_source_away();
    let log = damage(&rig.library, &first);
    let address = |unit: &str| PathBuf::from(format!("vtl:{}#{unit}", rig.library.display()));
    let (drive, changer) = (address("drive0"), address("changer"));
    let machine = |dir: &Path| {
        let mut machine = Machine::new(&[
            ("DRIVE", &drive),
            ("CHANGER", &changer),
            ("DIR", dir),
            ("PASSWORD_FILE", &password),
            ("PAPER_KEY", &paper),
            ("KEYFILE", rig.key()),
        ]);
        machine.set("GROUP", "host/alpha");
        machine.set("STORE", "source");
        machine
    };

    // The page names what its reader must know, and no more.
    let setup = blocks().into_iter().find(|(name, _)| name == "setup").unwrap().1;
    let named: Vec<&str> = setup.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let mut known: Vec<String> = machine(Path::new("/")).values.into_keys().collect();
    known.sort_by_key(|name| named.iter().position(|one| one == name));
    assert_eq!(named, known);

    eprintln!("== The passphrase is known: rescue\n");
    let dir = rig.world.fast("rescue");
    let mut one = machine(&dir);
    one.follow(&["look"], &complete);
    let said = one.follow(&["rescue"], &incomplete);
    let (_, listed) = &said[0];
    for word in ["site/inner", ALPHA_2, "complete", "tape 1 of its set"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let (_, rescued) = &said[2];
    let damaged = format!("cartridge {first}, file 2");
    for word in ["4 rescued", "1 incomplete", &damaged, "chunks lacking"] {
        assert!(rescued.contains(word), "{word}: {rescued}");
    }
    let said = one.follow(&["use"], &complete);
    assert!(said.iter().any(|(_, output)| output.contains("host/alpha")), "{said:?}");
    let store = dir.join("datastore/source").display().to_string();
    rig.check_tree(&store, "", ALPHA_2);

    one.follow(&["rescue-files"], &incomplete);
    assert!(dir.join("files/source").join(ALPHA_2).join("root.pxar/docs").is_dir());

    eprintln!("== The cartridge is read by another drive: the same command brings the rest\n");
    flip(&log);
    let all =
        "capstan tape rescue $DIR --drive $DRIVE --changer $CHANGER --password-file $PASSWORD_FILE";
    assert!(read_text(PAGE).lines().any(|line| line == all));
    let (code, output) = one.line(all);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("5 snapshots: 5 rescued"), "{output}");
    rig.world.run(args!["datastore", "create", "healed", store, "--reuse-datastore"]);
    rig.check_restored("healed");
    flip(&log);

    eprintln!("== The key is on paper: rescue\n");
    let mut two = machine(&rig.world.fast("paper-rescue"));
    let said = two.follow(&["paper"], &incomplete);
    assert!(said[0].1.contains("4 rescued"), "{said:?}");
    assert!(said[0].1.contains(SECRET), "{said:?}");

    let sets = |machine: &Machine| {
        field_of_all(&machine.world.json(args!["tape", "media", "sets"]), "media-set-uuid")
    };
    let mut used: Vec<String> = [one.used, two.used].concat();
    for (way, key_from) in [("from a cartridge", "key-tape"), ("from paper", "key-paper")] {
        eprintln!("== The tape side is set up again, the key {way}\n");
        let dir = rig.world.fast(key_from);
        std::fs::create_dir(&dir).unwrap();
        let mut machine = machine(&dir);
        machine.set("CARTRIDGE", &first);
        machine.set("SET", &media_set(&report));
        let said = machine.follow(&["rebuild", key_from], &incomplete);
        assert_eq!(sets(&machine), [media_set(&report)]);
        let found = said.iter().find(|(line, _)| line.contains("tape find")).unwrap();
        assert!(found.1.contains(ALPHA_2), "{}", found.1);
        let restored = said.iter().find(|(line, _)| line.contains("tape restore")).unwrap();
        assert!(restored.1.contains("4 snapshots restored"), "{}", restored.1);
        let store = dir.join("archive").display().to_string();
        rig.check_tree(&store, "", ALPHA_2);
        used.append(&mut machine.used);
    }
    // Every name that the page introduces is used by one of its commands.
    for (name, lines) in blocks() {
        for line in lines.iter().filter(|_| name == "setup" || name == "values") {
            let (name, _) = line.split_once('=').unwrap();
            assert!(used.iter().any(|one| one == name), "{name} is not used");
        }
    }
}
