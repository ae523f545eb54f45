//! A fresh instance of Capstan for one test, and what its commands said.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Arguments of different string types as one list.
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        vec![$(::std::ffi::OsString::from(::std::convert::AsRef::<::std::ffi::OsStr>::as_ref(&$arg))),*]
    };
}

/// Space that the fast folder must have to be used.
const FAST_BYTES_MIN: u64 = 3 << 30;

/// Folders of one test and the program that runs in them. Everything goes when it is dropped.
pub struct World {
    /// On a normal disk: trees with extended attributes live here.
    disk: TempDir,
    /// In memory where the machine has such a place: a datastore is 65536 folders, which take half
    /// a second there and many seconds on a disk.
    fast: TempDir,
    environment: Vec<(OsString, OsString)>,
    /// Folder of the configuration.
    pub config: PathBuf,
    /// Folder of the state.
    pub state: PathBuf,
}

impl World {
    /// Fresh folders with nothing in them.
    pub fn new() -> World {
        let disk = tempfile::Builder::new().prefix("capstan-e2e-").tempdir().unwrap();
        let fast = fast_dir();
        let config = fast.path().join("config");
        let state = fast.path().join("state");
        World { disk, fast, environment: Vec::new(), config, state }
    }

    /// A path on a normal disk.
    pub fn disk(&self, name: impl AsRef<Path>) -> PathBuf {
        self.disk.path().join(name)
    }

    /// A path in fast storage.
    pub fn fast(&self, name: impl AsRef<Path>) -> PathBuf {
        self.fast.path().join(name)
    }

    /// Sets a variable for all commands to come.
    pub fn set_env(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.unset_env(name);
        self.environment.push((name.into(), value.as_ref().into()));
    }

    /// Takes a variable away again.
    pub fn unset_env(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// From here on the commands find an empty state folder, as on a machine that was set up anew.
    pub fn forget_state(&mut self) {
        let mut number = 1;
        while self.fast(format!("state{number}")).exists() {
            number += 1;
        }
        self.state = self.fast(format!("state{number}"));
    }

    /// Makes a datastore with this name and returns its folder.
    pub fn create_store(&self, name: &str) -> PathBuf {
        let dir = self.fast(name);
        self.run(args!["datastore", "create", name, dir]);
        dir
    }

    /// The program with its folders, ready to be started.
    pub fn command(&self, arguments: &[OsString]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_capstan"));
        command
            .args(arguments)
            .env_remove("CAPSTAN_REPOSITORY")
            .env_remove("CAPSTAN_TAPE_DRIVE")
            .env_remove("TAPE")
            .env_remove("CAPSTAN_ENCRYPTION_PASSWORD")
            .env_remove("CAPSTAN_NEW_ENCRYPTION_PASSWORD")
            .env_remove("CAPSTAN_MASTER_KEY_PASSWORD")
            .env("CAPSTAN_CONFIG", &self.config)
            .env("CAPSTAN_STATE", &self.state)
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command, however it ends.
    pub fn attempt(&self, arguments: Vec<OsString>) -> Run {
        let output = self.command(&arguments).output().expect("the program can be started");
        Run { arguments, output }
    }

    /// Runs a command that must work.
    #[track_caller]
    pub fn run(&self, arguments: Vec<OsString>) -> Run {
        let run = self.attempt(arguments);
        assert_eq!(run.code(), Some(0), "this command should have worked\n{run}");
        run
    }

    /// Runs a command that must fail with exit code 1 and say all of `words`.
    #[track_caller]
    pub fn fails(&self, arguments: Vec<OsString>, words: &[&str]) -> Run {
        let run = self.attempt(arguments);
        assert_eq!(run.code(), Some(1), "this command should have failed\n{run}");
        run.says(words);
        run
    }

    /// Runs a command that must work and print JSON.
    #[track_caller]
    pub fn json(&self, arguments: Vec<OsString>) -> Value {
        self.json_with_code(arguments, 0)
    }

    /// Runs a command that must end with exit code 3, because something is lacking, and print JSON.
    #[track_caller]
    pub fn json_incomplete(&self, arguments: Vec<OsString>) -> Value {
        self.json_with_code(arguments, 3)
    }

    #[track_caller]
    fn json_with_code(&self, mut arguments: Vec<OsString>, code: i32) -> Value {
        arguments.extend(args!["--output-format", "json"]);
        let run = self.attempt(arguments);
        assert_eq!(run.code(), Some(code), "this command should have ended with {code}\n{run}");
        match serde_json::from_slice(&run.output.stdout) {
            Ok(value) => value,
            Err(error) => panic!("the output is not JSON: {error}\n{run}"),
        }
    }
}

/// A folder in memory, if there is one with space, else a temporary one.
fn fast_dir() -> TempDir {
    let shm = Path::new("/dev/shm");
    let space = nix::sys::statvfs::statvfs(shm)
        .map_or(0, |space| space.blocks_available() * space.fragment_size());
    let mut builder = tempfile::Builder::new();
    builder.prefix("capstan-e2e-");
    if space >= FAST_BYTES_MIN
        && let Ok(dir) = builder.tempdir_in(shm)
    {
        return dir;
    }
    builder.tempdir().unwrap()
}

/// A command that was run.
pub struct Run {
    arguments: Vec<OsString>,
    /// What came of it.
    pub output: Output,
}

impl Run {
    /// Exit code; none if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// The standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// The standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Fails unless the standard output has all these words.
    #[track_caller]
    pub fn says_on_stdout(&self, words: &[&str]) {
        let stdout = self.stdout();
        for word in words {
            assert!(stdout.contains(word), "the output should say {word:?}\n{self}");
        }
    }

    /// Fails unless the standard error has all these words.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        let stderr = self.stderr();
        for word in words {
            assert!(stderr.contains(word), "the message should say {word:?}\n{self}");
        }
        assert!(!stderr.contains("panicked at"), "the program panicked\n{self}");
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = "~~~~~~~~~~~~~~~~~~~~";
        write!(f, "command:")?;
        for argument in &self.arguments {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        writeln!(f, "\nresult: {}", self.output.status)?;
        writeln!(f, "{line} stdout\n{}", self.stdout())?;
        writeln!(f, "{line} stderr\n{}", self.stderr())?;
        write!(f, "{line}")
    }
}

/// True if this process may do everything.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// True if a program is there to be called.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Notes on the standard error why a part of a test was left out.
pub fn note(text: &str) {
    eprintln!("note: {text}");
}

/// A file or folder that a test needs from a folder that an environment variable names. None if
/// the variable is not set; a test that was given data and does not find it fails.
pub fn external(variable: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os(variable).filter(|value| !value.is_empty()) else {
        note(&format!("{variable} is not set; this test has nothing to do"));
        return None;
    };
    let folder = PathBuf::from(folder);
    assert!(folder.is_dir(), "{variable} is {}, which is no folder", folder.display());
    Some(folder)
}

/// Reads a file that must be there.
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads a text file that must be there.
#[track_caller]
pub fn read_text(path: impl AsRef<Path>) -> String {
    String::from_utf8(read(path)).expect("a text file")
}

/// Values of one field of a JSON list of objects.
#[track_caller]
pub fn field_of_all(list: &Value, field: &str) -> Vec<String> {
    let objects = list.as_array().unwrap_or_else(|| panic!("not a list: {list}"));
    objects.iter().map(|object| text(&object[field])).collect()
}

/// A JSON string, or the text of another value.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
