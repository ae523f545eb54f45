//! Keys as the command line gives them.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context, Result, bail};
use datastore::storage::RealStorage;
use datastore::{CryptConfig, KeyConfig};

/// Where a passphrase may stand instead of being asked for.
pub const PASSPHRASE_VARIABLE: &str = "CAPSTAN_ENCRYPTION_PASSWORD";

/// Reads a key file and opens it; a passphrase comes from the environment or from the terminal.
pub fn load(path: &Path) -> Result<CryptConfig> {
    let key = read(path)?;
    let mut ask = || {
        passphrase("Passphrase of the key: ")
            .map_err(|e| datastore::Error::Key { reason: format!("{e:#}") })
    };
    key.unlock(&mut ask).with_context(|| format!("cannot use key file {}", path.display()))
}

/// Reads a key file without opening it.
pub fn read(path: &Path) -> Result<KeyConfig> {
    KeyConfig::load(&storage()?, path)
        .with_context(|| format!("cannot use key file {}", path.display()))
}

/// The storage for files outside a datastore.
pub fn storage() -> Result<RealStorage> {
    RealStorage::new(Path::new("/")).context("cannot look at /")
}

/// A passphrase from the environment or the terminal.
pub fn passphrase(prompt: &str) -> Result<Vec<u8>> {
    if let Some(value) = std::env::var_os(PASSPHRASE_VARIABLE) {
        return Ok(std::os::unix::ffi::OsStringExt::into_vec(value));
    }
    if !std::io::stdin().is_terminal() {
        bail!("the key is locked: set {PASSPHRASE_VARIABLE}, or run on a terminal to be asked");
    }
    Ok(rpassword::prompt_password(prompt)?.into_bytes())
}

/// A new passphrase, typed twice on a terminal.
pub fn new_passphrase() -> Result<Vec<u8>> {
    let first = passphrase("New passphrase: ")?;
    if std::env::var_os(PASSPHRASE_VARIABLE).is_none() {
        let second = passphrase("The same again: ")?;
        if first != second {
            bail!("the two passphrases differ; nothing was written");
        }
    }
    Ok(first)
}
