//! `capstan key recover`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use datastore::blob::BlobKind;
use datastore::hierarchy::ENCRYPTED_KEY_NAME;
use datastore::key::master::MasterKey;
use datastore::{CryptConfig, DataBlob, KeyConfig, Namespace, SnapshotReader};

use super::KdfArg;
use crate::cli::Outcome;
use crate::config::Places;
use crate::keys::{self, Which};
use crate::repository;

const AFTER_HELP: &str = "\
The passphrase of the master key comes from CAPSTAN_MASTER_KEY_PASSWORD, that of the new key file from
CAPSTAN_NEW_ENCRYPTION_PASSWORD (each also with _FILE), or both from the terminal.

Examples:
  capstan key recover key.json --master-keyfile /mnt/safe/master-private.pem \\
      --snapshot host/elsa --repository archive
  capstan key recover key.json --master-keyfile master-private.pem \\
      --encrypted-keyfile rsa-encrypted.key.blob";

/// Get the key of a snapshot back with the master key
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RecoverArgs {
    /// The new key file; an existing one is never overwritten [default: the default key]
    file: Option<PathBuf>,
    /// The private half of the master key (PEM)
    #[arg(long, value_name = "FILE")]
    master_keyfile: PathBuf,
    /// Snapshot whose key it is, or group for its newest
    #[arg(long, required_unless_present = "encrypted_keyfile", requires = "repository")]
    snapshot: Option<String>,
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: Option<String>,
    /// Namespace in the datastore
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// The encrypted key instead of a snapshot: rsa-encrypted.key.blob, or what is in it
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot")]
    encrypted_keyfile: Option<PathBuf>,
    /// How the passphrase locks the key
    #[arg(long, value_enum, default_value_t = KdfArg::Scrypt)]
    kdf: KdfArg,
    /// What reminds you of the passphrase
    #[arg(long)]
    hint: Option<String>,
}

pub fn run(places: &Places, args: &RecoverArgs) -> Result<Outcome> {
    let (file, key) = match (&args.snapshot, &args.encrypted_keyfile) {
        (Some(snapshot), _) => from_snapshot(places, args, snapshot)?,
        (None, Some(path)) => {
            let encrypted = read_encrypted(path)?;
            master_key(&args.master_keyfile)?
                .recover(&encrypted)
                .with_context(|| format!("cannot recover the key in {}", path.display()))?
        }
        (None, None) => bail!("name a --snapshot or an --encrypted-keyfile"),
    };
    let passphrase = args.kdf.choose_passphrase(Which::NewKey)?;
    let file = file.relock(&key, args.kdf.kind(), &passphrase, args.hint.clone())?;
    super::save_new(places, args.file.as_deref(), &file)?;
    Ok(Outcome::Complete)
}

fn from_snapshot(
    places: &Places,
    args: &RecoverArgs,
    snapshot: &str,
) -> Result<(KeyConfig, CryptConfig)> {
    let namespace: Namespace = args.ns.parse()?;
    let repository = args.repository.as_deref().context("--snapshot needs --repository")?;
    let repository = repository::open(places, repository)?;
    let snapshot = repository::find_snapshot(&repository.store, &namespace, snapshot)?;
    let reader = SnapshotReader::open(&repository.store, &namespace, &snapshot)?;
    if reader.manifest().file(ENCRYPTED_KEY_NAME).is_none() {
        bail!(
            "snapshot {snapshot} holds no key for a master key: it was made without a key, or \
             when no master key was configured"
        );
    }
    let encrypted = reader.blob_content(ENCRYPTED_KEY_NAME, None)?;
    let (file, key) = master_key(&args.master_keyfile)?
        .recover(&encrypted)
        .with_context(|| format!("cannot recover the key of {snapshot}"))?;
    // The copy could be that of another snapshot, put there by whoever can write the datastore.
    reader.check_key(&key).with_context(|| {
        format!("the key that {snapshot} carries is not the one that it was made with")
    })?;
    Ok((file, key))
}

fn read_encrypted(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    /// Longer than any encrypted key.
    const BYTES_MAX: u64 = 64 << 10;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))?;
    if BlobKind::from_bytes(&bytes).is_none() {
        return Ok(bytes);
    }
    let what = path.display();
    Ok(DataBlob::from_bytes(bytes, &what)?.decode(None, BYTES_MAX as usize, &what)?)
}

fn master_key(path: &Path) -> Result<MasterKey> {
    let pem = super::read_text(path)?;
    let prompt = format!("Passphrase of master key {}: ", path.display());
    MasterKey::from_pem(pem.as_bytes(), &mut keys::asking(Which::MasterKey, prompt))
        .with_context(|| format!("cannot use master key {}", path.display()))
}
