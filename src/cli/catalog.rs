//! `capstan catalog …`

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use client::local::LocalRestore;
use client::random::RandomAccess;
use client::restore::check_key;
use client::session::RestoreSession;
use datastore::hierarchy::CATALOG_NAME;
use datastore::{CryptMode, Namespace};

use super::Outcome;
use crate::config::Places;
use crate::{keys, repository};

/// Look at the list of files of a snapshot
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    Dump(DumpArgs),
}

/// Print every file of a snapshot's folders: kind, path, size, time of last change
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan catalog dump host/elsa --repository archive")]
pub struct DumpArgs {
    /// Snapshot, or group for its newest
    snapshot: String,
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: String,
    /// Namespace in the datastore
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// Key that the snapshot was made with
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
}

pub fn run(places: &Places, command: &CatalogCommand) -> Result<Outcome> {
    match command {
        CatalogCommand::Dump(args) => dump(places, args),
    }
}

fn dump(places: &Places, args: &DumpArgs) -> Result<Outcome> {
    let namespace: Namespace = args.ns.parse()?;
    let repository = repository::open(places, &args.repository)?;
    let snapshot = repository::find_snapshot(&repository.store, &namespace, &args.snapshot)?;
    let key = args.keyfile.as_deref().map(keys::load).transpose()?.map(Arc::new);
    let session: Arc<dyn RestoreSession> =
        Arc::new(LocalRestore::open(&repository.store, &namespace, &snapshot)?);
    let file = session.manifest().file(CATALOG_NAME).with_context(|| {
        format!("snapshot {snapshot} has no catalog: it holds no folders (.pxar), or split ones")
    })?;
    check_key(&*session, Some(file), key.as_deref())?;
    let key = key.filter(|_| file.crypt_mode == CryptMode::Encrypt);
    let storage = RandomAccess::new(&session, session.index(CATALOG_NAME)?, key);
    let catalog = pxar::catalog::Reader::open(storage)
        .with_context(|| format!("the catalog of {snapshot} is damaged"))?;
    let zone = jiff::tz::TimeZone::system();
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let mut closed = false;
    let walked = catalog.walk(&catalog.root(), &mut |found| {
        let line = pxar::listing::catalog_line(found, &zone);
        closed |= writeln!(output, "{line}").is_err();
        Ok(!closed)
    });
    walked.with_context(|| format!("the catalog of {snapshot} is damaged"))?;
    // A reader that has seen enough is no failure.
    let _ = output.flush();
    Ok(Outcome::Complete)
}
