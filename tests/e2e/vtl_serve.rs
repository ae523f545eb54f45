//! An emulated library served over iSCSI: who may reach it, how it ends, and a whole backup to tape and back
//! through addresses of its units.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::tape_world::{Rig, media_set};
use crate::world::{World, read_text};

/// A running `vtl serve`.
pub struct Server {
    child: Child,
    /// What it printed.
    served: Value,
}

/// Serves a library at a free port of the loopback.
pub fn serve(world: &World, dir: &PathBuf, more: Vec<std::ffi::OsString>) -> Server {
    let ready = world.disk("ready");
    let mut arguments = args!["vtl", "serve", dir, "--listen", "127.0.0.1:0"];
    arguments.extend(args!["--ready-file", ready, "--output-format", "json"]);
    arguments.extend(more);
    let mut child = world
        .command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let begin = Instant::now();
    while !ready.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended at once");
        assert!(begin.elapsed() < Duration::from_secs(60), "it is never ready");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let served: Value = serde_json::from_str(&line).unwrap();
    let said = format!("{} {}\n", string(&served["listen"]), string(&served["target"]));
    assert_eq!(read_text(&ready), said);
    Server { child, served }
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap()
}

impl Server {
    pub fn address(&self, lun: usize) -> &str {
        string(&self.served["units"][lun]["address"])
    }

    /// Ends it as an operator does; what it said meanwhile.
    pub fn end(self) -> String {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        stderr
    }
}

#[test]
fn backup_to_a_served_library_and_back() {
    let rig = Rig::new();
    let world = &rig.world;
    let server = serve(world, &rig.library, Vec::new());
    let use_addresses = |server: &Server| {
        for (kind, name, lun) in [("changer", "lib", 0), ("drive", "lib-0", 1)] {
            world.run(args!["tape", kind, "update", name, "--path", server.address(lun)]);
        }
    };
    use_addresses(&server);
    // Its drives are taken as long as it serves.
    let second = args!["vtl", "serve", rig.library, "--listen", "127.0.0.1:0"];
    world.fails(second, &["drive 0", "in use"]);
    let written = rig.to_tape();
    assert_eq!(written["snapshots-failed"], json!([]));
    assert!(written["tapes"].as_array().is_some_and(|tapes| tapes.len() >= 2), "{written}");
    let said = server.end();
    assert!(said.contains("logged in from 127.0.0.1"), "{said}");
    assert!(!world.disk("ready").exists());

    // What is on the tapes is there behind a new target too.
    rig.throw_source_away();
    let server = serve(world, &rig.library, Vec::new());
    use_addresses(&server);
    world.create_store("second");
    let set = media_set(&written);
    let restored = world.json(world.tape(args!["restore", set, "second"]));
    assert_eq!((&restored["snapshots-failed"], &restored["damage"]), (&json!([]), &json!([])));
    rig.check_restored("second");
    server.end();
    // And the drives are free again.
    world.run(args!["mt", "-f", format!("vtl:{}#drive0", rig.library.display()), "status"]);
}

#[test]
fn only_those_with_the_password_get_in() {
    let world = World::new();
    let dir = world.create_library("lib", 2);
    let refused = args!["vtl", "serve", dir, "--listen", "0.0.0.0:0"];
    world.fails(refused, &["other machines", "--chap-user", "--allow-remote"]);
    let empty = world.disk("empty");
    std::fs::write(&empty, "\n").unwrap();
    let chap = |file: &PathBuf| args!["--chap-user", "backup", "--chap-password-file", file];
    world.fails(
        [args!["vtl", "serve", dir, "--listen", "127.0.0.1:0"], chap(&empty)].concat(),
        &["no password"],
    );
    let password = world.disk("password");
    std::fs::write(&password, "a secret of some length\n").unwrap();
    let server = serve(&world, &dir, chap(&password));
    let failed = world.attempt(args!["mt", "-f", server.address(1), "status"]);
    assert_ne!(failed.code(), Some(0));
    let said = server.end();
    assert!(said.contains("no session for 127.0.0.1"), "{said}");
    assert!(!said.contains("a secret of some length"), "{said}");
}
