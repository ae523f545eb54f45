//! How this host appears to iSCSI targets: `iscsi.toml`, and a name that stays the same.
//!
//! Users and passwords never stand in addresses, which are shown in listings and messages. They have a file of
//! their own:
//!
//! ```toml
//! [target."iqn.2026-01.org.example:library"]
//! user = "backup"
//! password-file = "/etc/capstan/library.password"
//!
//! [portal."10.0.0.7"]
//! user = "discovery"
//! password = "…"
//! ```
//!
//! The section of a target counts for that target, the section of a portal for discovery there and for those of
//! its targets that have no section.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use scsi::iscsi::chap::Credentials;
use scsi::iscsi::initiator::{Options, Portal};
use scsi::iscsi::name::Name;
use scsi::iscsi::parameters::{DigestWish, Wishes};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::{Places, Section};

/// File in the state folder that keeps the name that was made for this host.
const NAME_FILE: &str = "iscsi-initiator-name";
/// Names begin so if none is configured. Nobody can own a domain below `internal`, which is reserved for private
/// use, so the name is nobody else's; what makes it this host's is random.
const NAME_START: &str = "iqn.2026-01.internal.capstan:";

/// `iscsi.toml`: users, passwords and wishes for iSCSI targets.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Iscsi {
    /// Name of this host, in place of the one that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator_name: Option<String>,
    /// By name of the target.
    #[serde(default)]
    pub target: BTreeMap<String, Peer>,
    /// By `HOST[:PORT]`.
    #[serde(default)]
    pub portal: BTreeMap<String, Peer>,
}

impl Section for Iscsi {
    const FILE: &'static str = "iscsi.toml";
}

/// What is configured for a target or a portal.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Peer {
    /// CHAP name that this host shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Zeroizing<String>>,
    /// File whose first line is the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// CHAP name that the target must show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_user: Option<String>,
    /// Its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_password: Option<Zeroizing<String>>,
    /// File whose first line is the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_password_file: Option<PathBuf>,
    /// CRC32C of headers.
    #[serde(default)]
    pub header_digest: Digest,
    /// CRC32C of data.
    #[serde(default)]
    pub data_digest: Digest,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Whether a digest is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Digest {
    /// Not.
    Never,
    /// If the target wants it.
    #[default]
    Allowed,
    /// If the target has it.
    Preferred,
    /// Always.
    Required,
}

impl From<Digest> for DigestWish {
    fn from(digest: Digest) -> DigestWish {
        match digest {
            Digest::Never => DigestWish::Never,
            Digest::Allowed => DigestWish::Allowed,
            Digest::Preferred => DigestWish::Preferred,
            Digest::Required => DigestWish::Required,
        }
    }
}

/// How to log in to a target, or to a portal for discovery.
pub fn options(places: Option<&Places>, portal: &Portal, target: Option<&str>) -> Result<Options> {
    let places = places.context("the folder of the configuration is not known")?;
    let config: Iscsi = places.load()?;
    let name = match &config.initiator_name {
        Some(name) => name.parse().with_context(|| format!("{}: initiator-name", Iscsi::FILE))?,
        None => own_name(&places.state)?,
    };
    let mut options = Options::new(name);
    let Some((section, peer)) = config.find(portal, target)? else { return Ok(options) };
    if peer.password.is_some() || peer.target_password.is_some() {
        advise_private(&places.config.join(Iscsi::FILE));
    }
    let wrong = || format!("{}: section of {section}", Iscsi::FILE);
    options.credentials = credentials(
        ["user", "password", "password-file"],
        peer.user.as_deref(),
        peer.password.as_ref(),
        peer.password_file.as_deref(),
    )
    .with_context(wrong)?;
    options.target_credentials = credentials(
        ["target-user", "target-password", "target-password-file"],
        peer.target_user.as_deref(),
        peer.target_password.as_ref(),
        peer.target_password_file.as_deref(),
    )
    .with_context(wrong)?;
    options.wishes = Wishes {
        header_digest: peer.header_digest.into(),
        data_digest: peer.data_digest.into(),
        ..Wishes::default()
    };
    Ok(options)
}

impl Iscsi {
    /// The section that counts, with what it is of.
    fn find(&self, portal: &Portal, target: Option<&str>) -> Result<Option<(String, &Peer)>> {
        // Names of nodes are compared without regard to case.
        let named = target.and_then(|target| {
            self.target.iter().find(|(name, _)| name.eq_ignore_ascii_case(target))
        });
        if let Some((name, peer)) = named {
            return Ok(Some((format!("target '{name}'"), peer)));
        }
        for (text, peer) in &self.portal {
            let known: Portal = text.parse().context(Iscsi::FILE)?;
            if known == *portal {
                return Ok(Some((format!("portal '{text}'"), peer)));
            }
        }
        Ok(None)
    }
}

fn credentials(
    [user_key, password_key, file_key]: [&str; 3],
    user: Option<&str>,
    password: Option<&Zeroizing<String>>,
    file: Option<&Path>,
) -> Result<Option<Credentials>> {
    let secret = match (password, file) {
        (Some(_), Some(_)) => bail!("{password_key} and {file_key} are both there; keep one"),
        (Some(password), None) => Some(password.clone()),
        (None, Some(file)) => Some(first_line(file)?),
        (None, None) => None,
    };
    match (user, secret) {
        (None, None) => Ok(None),
        (Some(user), Some(secret)) => Ok(Some(Credentials::new(user, secret.as_bytes()))),
        (Some(_), None) => bail!("{user_key} needs {password_key} or {file_key}"),
        (None, Some(_)) => bail!("a password without {user_key}"),
    }
}

fn first_line(path: &Path) -> Result<Zeroizing<String>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = Zeroizing::new(text);
    advise_private(path);
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        bail!("the first line of {} is empty; it is to be the password", path.display());
    }
    Ok(Zeroizing::new(line.to_string()))
}

/// Others may read a file with a secret: says so, and goes on.
fn advise_private(path: &Path) {
    let is_open =
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if is_open {
        crate::progress::say(&format!(
            "warning: other users can read the password in {0}; 'chmod 600 {0}' ends that",
            path.display()
        ));
    }
}

/// The name that this host keeps: made once, and found again in the state folder.
fn own_name(state: &Path) -> Result<Name> {
    let path = state.join(NAME_FILE);
    let read = || -> Result<Name> {
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.trim()
            .parse()
            .with_context(|| format!("{} holds no name of an iSCSI node", path.display()))
    };
    if path.exists() {
        return read();
    }
    let make = || -> io::Result<()> {
        fs::create_dir_all(state)?;
        let mut file = tempfile_in(state)?;
        file.1.write_all(format!("{NAME_START}{}\n", uuid::Uuid::new_v4().simple()).as_bytes())?;
        file.1.sync_all()?;
        // Whoever comes first wins, and everybody reads the same name afterwards.
        let linked = fs::hard_link(&file.0, &path);
        fs::remove_file(&file.0)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::File::open(state)?.sync_all()
    };
    make().with_context(|| format!("cannot keep a name for this host in {}", path.display()))?;
    read()
}

fn tempfile_in(state: &Path) -> io::Result<(PathBuf, fs::File)> {
    let path = state.join(format!("{NAME_FILE}.tmp_{}", uuid::Uuid::new_v4().simple()));
    let file = fs::File::create_new(&path)?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home {
        dir: tempfile::TempDir,
        places: Places,
    }

    fn home(config: &str) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { config: dir.path().join("c"), state: dir.path().join("s") };
        fs::create_dir_all(&places.config).unwrap();
        fs::write(places.config.join(Iscsi::FILE), config).unwrap();
        Home { dir, places }
    }

    const TARGET: &str = "iqn.2026-01.test:lib";

    fn options_of(home: &Home, portal: &str, target: Option<&str>) -> Result<Options> {
        options(Some(&home.places), &portal.parse().unwrap(), target)
    }

    #[test]
    fn the_name_of_a_host_stays_the_same() {
        let home = home("");
        let first = options_of(&home, "h", None).unwrap().initiator_name;
        assert!(first.as_str().starts_with(NAME_START), "{first}");
        assert_eq!(options_of(&home, "h", Some(TARGET)).unwrap().initiator_name, first);
        assert_eq!(fs::read_dir(&home.places.state).unwrap().count(), 1);
        fs::write(home.places.config.join(Iscsi::FILE), "initiator-name = 'iqn.2026-01.test:mine'")
            .unwrap();
        let own = options_of(&home, "h", None).unwrap().initiator_name;
        assert_eq!(own.as_str(), "iqn.2026-01.test:mine");
    }

    #[test]
    fn names_made_at_the_same_time_are_one() {
        let home = home("");
        let state = home.places.state.clone();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let state = state.clone();
                std::thread::spawn(move || own_name(&state).unwrap())
            })
            .collect();
        let names: std::collections::BTreeSet<Name> =
            threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn the_section_of_a_target_counts_before_that_of_its_portal() {
        let home = home(
            "[target.'IQN.2026-01.test:lib']\nuser = 'a'\npassword = 'secret of a'\ndata-digest = 'required'\n\
             [portal.'h:3260']\nuser = 'b'\npassword = 'secret of b'\n",
        );
        for (portal, target, user) in [
            ("h", Some(TARGET), Some("a")),
            ("elsewhere", Some(TARGET), Some("a")),
            ("h", Some("iqn.2026-01.test:other"), Some("b")),
            ("h", None, Some("b")),
            ("h:3261", None, None),
        ] {
            let options = options_of(&home, portal, target).unwrap();
            assert_eq!(
                options.credentials.as_ref().map(Credentials::name),
                user,
                "{portal} {target:?}"
            );
        }
        let options = options_of(&home, "h", Some(TARGET)).unwrap();
        assert_eq!(options.wishes.data_digest, DigestWish::Required);
        assert_eq!(options.wishes.header_digest, DigestWish::Allowed);
    }

    #[test]
    fn a_password_comes_from_a_file() {
        let home = home("");
        let path = home.dir.path().join("password");
        let config = format!(
            "[target.'{TARGET}']\nuser = 'a'\npassword-file = '{0}'\ntarget-user = 'b'\ntarget-password = 'x'\n",
            path.display()
        );
        fs::write(home.places.config.join(Iscsi::FILE), config).unwrap();
        let error = format!("{:#}", options_of(&home, "h", Some(TARGET)).unwrap_err());
        assert!(error.contains("password") && error.contains("No such file"), "{error}");
        fs::write(&path, "\n").unwrap();
        let error = format!("{:#}", options_of(&home, "h", Some(TARGET)).unwrap_err());
        assert!(error.contains("is empty"), "{error}");
        fs::write(&path, "s3cr3t of a\n").unwrap();
        let options = options_of(&home, "h", Some(TARGET)).unwrap();
        assert_eq!(options.credentials.unwrap().name(), "a");
        assert_eq!(options.target_credentials.unwrap().name(), "b");
    }

    #[test]
    fn half_a_pair_is_told() {
        for (section, part) in [
            ("user = 'a'", "user needs password or password-file"),
            ("password = 'x'", "a password without user"),
            ("user = 'a'\npassword = 'x'\npassword-file = '/x'", "both there"),
            ("target-user = 'a'", "target-user needs target-password"),
            ("usr = 'a'", "usr"),
        ] {
            let home = home(&format!("[target.'{TARGET}']\n{section}\n"));
            let error = format!("{:#}", options_of(&home, "h", Some(TARGET)).unwrap_err());
            assert!(error.contains(part) && error.contains("iscsi.toml"), "{section}: {error}");
        }
        let home = home("[portal.'a b']\nuser = 'a'\npassword = 'x'\n");
        let error = format!("{:#}", options_of(&home, "h", None).unwrap_err());
        assert!(error.contains("HOST:PORT"), "{error}");
    }
}
