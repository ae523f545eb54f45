//! The two files that keep tape keys, in the reference's form, so that both programs read each other's.
//!
//! | file | content | mode |
//! |---|---|---|
//! | `tape-encryption-keys.json` | array of `{"fingerprint": "aa:…", "key": "<64 hexadecimal digits>"}`: the keys themselves, for jobs that run without anybody there | 0600 |
//! | `tape-encryption-key-config.json` | array of key files ([`KeyConfig`]), each with its fingerprint: the same keys locked with a passphrase, as they get on tape and on paper | 0600 |
//! | `.tape-encryption-keys.lck` | held while either is changed | 0660 |
//!
//! A missing file is an empty array; the order in it means nothing.
//!
//! Why no key gets lost: each file is replaced whole (temporary file, fsync, rename, fsync of the folder) under the lock.
//! A key that is added is in the first file before it is in the second, one that is removed leaves the second first. A crash in
//! between leaves a key that reads tapes and cannot be written with; adding it again, or removing it again, puts that right.
//! A file that does not hold what it says (a key with another fingerprint, the same key twice) is refused as a whole and
//! never written over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use datastore::key::{Kdf, KdfKind};
use datastore::{CryptConfig, Fingerprint, KeyConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Error, IoResultExt, Result};
use crate::media::state::{LOCK_WAIT, Lock, replace_file};

const KEYS_FILE: &str = "tape-encryption-keys.json";
const CONFIG_FILE: &str = "tape-encryption-key-config.json";
const LOCK_FILE: &str = ".tape-encryption-keys.lck";
/// Both files: only their owner has business with them.
const FILE_MODE: u32 = 0o600;
/// Largest file that is read: tens of thousands of keys.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Longest hint in characters.
pub(super) const HINT_CHARS_MAX: usize = 64;
/// Fewest hexadecimal digits that name a key.
const PREFIX_DIGITS_MIN: usize = 8;

/// The folder with the key files.
#[derive(Debug, Clone)]
pub struct KeyStore {
    folder: PathBuf,
    lock_wait: Duration,
}

/// What is known of a key without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyInfo {
    /// What it is known by.
    pub fingerprint: Fingerprint,
    /// How its passphrase locks it: `scrypt` or `pbkdf2`; absent if only the key itself is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kdf: Option<&'static str>,
    /// What reminds of the passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When it was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// When its passphrase was changed last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// Jobs can read and write with it. False: only the locked key is here; `key import` or `key restore` bring the rest.
    pub usable: bool,
}

#[derive(Serialize, Deserialize)]
struct PlainKey {
    fingerprint: Fingerprint,
    key: Zeroizing<String>,
}

/// Both files, read.
struct Content {
    plain: BTreeMap<Fingerprint, CryptConfig>,
    configs: BTreeMap<Fingerprint, KeyConfig>,
}

impl KeyStore {
    /// The store in this folder, which is made when the first key comes.
    pub fn at(folder: impl Into<PathBuf>) -> KeyStore {
        KeyStore { folder: folder.into(), lock_wait: LOCK_WAIT }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All keys, by fingerprint.
    pub fn list(&self) -> Result<Vec<KeyInfo>> {
        let content = self.load()?;
        let mut all: Vec<Fingerprint> =
            content.configs.keys().chain(content.plain.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        Ok(all.into_iter().map(|one| content.info(one)).collect())
    }

    /// What is known of one key.
    pub fn info(&self, fingerprint: Fingerprint) -> Result<KeyInfo> {
        let content = self.load()?;
        content.require(fingerprint)?;
        Ok(content.info(fingerprint))
    }

    /// The key that `text` names: a fingerprint, or so much of its beginning (eight digits at least) that only one fits.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKey`] if none fits, or more than one.
    pub fn find(&self, text: &str) -> Result<Fingerprint> {
        let digits: String =
            text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
        let is_prefix = digits.len() >= PREFIX_DIGITS_MIN;
        let fits = |one: &KeyInfo| is_prefix && hex::encode(one.fingerprint.0).starts_with(&digits);
        let mut fitting = self.list()?.into_iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(one.fingerprint),
            _ => Err(Error::UnknownKey { fingerprint: text.to_string() }),
        }
    }

    /// The locked key, as it gets on tape and on paper.
    pub fn config(&self, fingerprint: Fingerprint) -> Result<KeyConfig> {
        let content = self.load()?;
        content.require(fingerprint)?;
        content
            .configs
            .get(&fingerprint)
            .cloned()
            .ok_or(Error::KeyWithoutPassphrase { fingerprint: fingerprint.to_string() })
    }

    /// The key itself; `None` if it is not here.
    pub fn key(&self, fingerprint: Fingerprint) -> Result<Option<CryptConfig>> {
        Ok(self.load()?.plain.remove(&fingerprint))
    }

    /// Makes a new random key, locked with `passphrase`.
    pub fn create(
        &self,
        kdf: KdfKind,
        passphrase: &[u8],
        hint: Option<String>,
    ) -> Result<Fingerprint> {
        check_hint(hint.as_deref())?;
        let config = KeyConfig::generate(kdf, passphrase, hint)?;
        let key = config.unlock(&mut || Ok(passphrase.to_vec()))?;
        self.insert(&key, config, false)
    }

    /// Takes a key in. `key` is what `config` gave when it was unlocked.
    ///
    /// # Errors
    ///
    /// [`Error::KeyWithoutPassphrase`] if `config` is not locked, [`Error::KeyExists`] if the key is here already and
    /// `replace` is false.
    pub fn insert(
        &self,
        key: &CryptConfig,
        mut config: KeyConfig,
        replace: bool,
    ) -> Result<Fingerprint> {
        let fingerprint = key.fingerprint();
        if !config.is_locked() {
            return Err(Error::KeyWithoutPassphrase { fingerprint: fingerprint.to_string() });
        }
        check_hint(config.hint.as_deref())?;
        // Old files do not name their key; here it has to have a name.
        config.fingerprint = Some(fingerprint);
        let _lock = self.lock()?;
        let mut content = self.load()?;
        if content.configs.contains_key(&fingerprint) && !replace {
            return Err(Error::KeyExists { fingerprint: fingerprint.to_string() });
        }
        content.plain.insert(fingerprint, CryptConfig::new(*key.key_bytes())?);
        content.configs.insert(fingerprint, config);
        self.save_keys(&content)?;
        self.save_configs(&content)?;
        Ok(fingerprint)
    }

    /// Makes a key usable whose locked form is here, and leaves that as it is. True if it was not usable before.
    pub fn complete(&self, key: &CryptConfig) -> Result<bool> {
        let fingerprint = key.fingerprint();
        let _lock = self.lock()?;
        let mut content = self.load()?;
        content.require(fingerprint)?;
        if content.plain.contains_key(&fingerprint) {
            return Ok(false);
        }
        content.plain.insert(fingerprint, CryptConfig::new(*key.key_bytes())?);
        self.save_keys(&content)?;
        Ok(true)
    }

    /// Locks a key with another passphrase. Tapes, papers and copies made before keep the old one.
    ///
    /// `old_passphrase` is asked for; `None` takes the key that lies here in the clear, for an owner who forgot it.
    pub fn change_passphrase(
        &self,
        fingerprint: Fingerprint,
        old_passphrase: Option<&mut dyn FnMut() -> datastore::Result<Vec<u8>>>,
        kdf: KdfKind,
        passphrase: &[u8],
        hint: Option<String>,
    ) -> Result<()> {
        check_hint(hint.as_deref())?;
        let old = self.config(fingerprint)?;
        let key = match old_passphrase {
            Some(ask) => old.unlock(ask)?,
            None => self
                .key(fingerprint)?
                .ok_or(Error::UnknownKey { fingerprint: fingerprint.to_string() })?,
        };
        let new = old.relock(&key, kdf, passphrase, hint)?;
        if !new.is_locked() {
            return Err(Error::KeyWithoutPassphrase { fingerprint: fingerprint.to_string() });
        }
        let _lock = self.lock()?;
        let mut content = self.load()?;
        if content.configs.get(&fingerprint) != Some(&old) {
            // Whoever was faster may have locked it with a passphrase that this caller does not know.
            return Err(Error::KeyChanged { fingerprint: fingerprint.to_string() });
        }
        content.configs.insert(fingerprint, new);
        self.save_configs(&content)
    }

    /// Removes a key from both files. Whether something still needs it is for the caller to ask.
    pub fn remove(&self, fingerprint: Fingerprint) -> Result<()> {
        let _lock = self.lock()?;
        let mut content = self.load()?;
        content.require(fingerprint)?;
        if content.configs.remove(&fingerprint).is_some() {
            self.save_configs(&content)?;
        }
        if content.plain.remove(&fingerprint).is_some() {
            self.save_keys(&content)?;
        }
        Ok(())
    }

    fn lock(&self) -> Result<Lock> {
        std::fs::create_dir_all(&self.folder).at(&self.folder)?;
        Lock::acquire(self.folder.join(LOCK_FILE), "the tape keys".into(), self.lock_wait)
    }

    fn load(&self) -> Result<Content> {
        let path = self.folder.join(KEYS_FILE);
        let damaged =
            |path: &Path, reason: String| Error::KeysDamaged { path: path.into(), reason };
        let mut plain = BTreeMap::new();
        for one in read_array::<PlainKey>(&path)? {
            let mut bytes = Zeroizing::new([0; 32]);
            hex::decode_to_slice(one.key.as_bytes(), &mut bytes[..]).map_err(|e| {
                damaged(&path, format!("key {} is not 64 digits: {e}", one.fingerprint))
            })?;
            let key = CryptConfig::new(*bytes)?;
            if key.fingerprint() != one.fingerprint {
                let found = key.fingerprint();
                return Err(damaged(
                    &path,
                    format!("what it calls key {} is key {found}", one.fingerprint),
                ));
            }
            if plain.insert(one.fingerprint, key).is_some() {
                return Err(damaged(&path, format!("key {} is in it twice", one.fingerprint)));
            }
        }
        let path = self.folder.join(CONFIG_FILE);
        let mut configs = BTreeMap::new();
        for one in read_array::<KeyConfig>(&path)? {
            let Some(fingerprint) = one.fingerprint else {
                return Err(damaged(&path, "a key in it has no fingerprint".into()));
            };
            if configs.insert(fingerprint, one).is_some() {
                return Err(damaged(&path, format!("key {fingerprint} is in it twice")));
            }
        }
        Ok(Content { plain, configs })
    }

    fn save_keys(&self, content: &Content) -> Result<()> {
        let keys: Vec<PlainKey> = content
            .plain
            .iter()
            .map(|(fingerprint, key)| {
                let key = Zeroizing::new(hex::encode(key.key_bytes()));
                PlainKey { fingerprint: *fingerprint, key }
            })
            .collect();
        self.save(KEYS_FILE, &keys)
    }

    fn save_configs(&self, content: &Content) -> Result<()> {
        let configs: Vec<&KeyConfig> = content.configs.values().collect();
        self.save(CONFIG_FILE, &configs)
    }

    fn save<T: Serialize>(&self, name: &str, array: &[T]) -> Result<()> {
        /// More than any entry takes: the text is never moved, which would leave a copy of the keys in memory.
        const ENTRY_BYTES_MAX: usize = 2048;
        let path = self.folder.join(name);
        let mut text = Zeroizing::new(Vec::with_capacity((array.len() + 1) * ENTRY_BYTES_MAX));
        serde_json::to_writer_pretty(&mut *text, array)
            .map_err(|e| Error::KeysDamaged { path: path.clone(), reason: e.to_string() })?;
        text.push(b'\n');
        replace_file(&path, &text, FILE_MODE)
    }
}

impl Content {
    fn info(&self, fingerprint: Fingerprint) -> KeyInfo {
        let config = self.configs.get(&fingerprint);
        KeyInfo {
            fingerprint,
            kdf: config.and_then(|config| config.kdf.as_ref()).map(|kdf| match kdf {
                Kdf::Scrypt { .. } => "scrypt",
                Kdf::Pbkdf2 { .. } => "pbkdf2",
            }),
            hint: config.and_then(|config| config.hint.clone()),
            created: config.map(|config| config.created.clone()),
            modified: config.map(|config| config.modified.clone()),
            usable: self.plain.contains_key(&fingerprint),
        }
    }

    fn require(&self, fingerprint: Fingerprint) -> Result<()> {
        match self.configs.contains_key(&fingerprint) || self.plain.contains_key(&fingerprint) {
            true => Ok(()),
            false => Err(Error::UnknownKey { fingerprint: fingerprint.to_string() }),
        }
    }
}

fn check_hint(hint: Option<&str>) -> Result<()> {
    match hint {
        Some(hint) if hint.is_empty() || hint.chars().count() > HINT_CHARS_MAX => {
            Err(Error::InvalidName {
                what: "hint",
                value: hint.to_string(),
                reason: "1 to 64 characters are allowed",
            })
        }
        _ => Ok(()),
    }
}

/// Reads a file of the store; a missing or empty one is an empty array.
fn read_array<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(path, e)),
    };
    let damaged = |reason: String| Error::KeysDamaged { path: path.into(), reason };
    let bytes = file.metadata().at(path)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(damaged(format!("it has {bytes} bytes, which no key file has")));
    }
    // Of the right size at once: growing would leave copies of keys in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(bytes).unwrap_or(0) + 1));
    (&mut file).take(FILE_BYTES_MAX).read_to_end(&mut text).at(path)?;
    if text.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))
}
