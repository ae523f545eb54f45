//! `capstan catalog …`

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, Subcommand};
use client::local::LocalRestore;
use client::random::RandomAccess;
use client::restore::check_key;
use client::session::RestoreSession;
use datastore::CryptMode;
use datastore::hierarchy::CATALOG_NAME;
use pxar::catalog::Kind;
use serde::Serialize;

use super::Outcome;
use super::place::SnapshotArgs;
use crate::config::Places;
use crate::keys;
use crate::output::{OutputArgs, OutputFormat};

/// Look at the list of files of a snapshot
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    Dump(DumpArgs),
}

/// Print every file of a snapshot's folders: kind, path, size, time of last change
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan catalog dump host/elsa --repository archive")]
pub struct DumpArgs {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// Key that the snapshot was made with [default: the default key, if it is that one]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// An entry with the reference's field names; the path is Base64 because names may be any bytes.
#[derive(Serialize)]
struct Listed {
    filepath: String,
    text: String,
    #[serde(rename = "type")]
    kind: char,
    leaf: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<i64>,
}

impl Listed {
    fn of(found: pxar::catalog::Found<'_>) -> Listed {
        let (size, mtime) = match found.entry.kind {
            Kind::File { size, mtime } => (Some(size), Some(mtime)),
            _ => (None, None),
        };
        Listed {
            filepath: BASE64.encode(reference_path(found.path)),
            text: String::from_utf8_lossy(&found.entry.name).into_owned(),
            kind: char::from(found.entry.kind.letter()),
            leaf: !matches!(found.entry.kind, Kind::Directory { .. }),
            size,
            mtime,
        }
    }
}

/// The path as the reference's programs write it: with a slash in front for an archive, without one
/// for what is in it.
fn reference_path(path: &[u8]) -> &[u8] {
    match path.strip_prefix(b"/") {
        Some(rest) if rest.contains(&b'/') => rest,
        _ => path,
    }
}

/// Writes entries one by one, because a catalog may list more than memory holds.
struct Printer {
    output: std::io::BufWriter<std::io::StdoutLock<'static>>,
    format: OutputFormat,
    zone: jiff::tz::TimeZone,
    count: u64,
}

impl Printer {
    fn begin(&mut self) -> std::io::Result<()> {
        match self.format {
            OutputFormat::Text => Ok(()),
            OutputFormat::Json | OutputFormat::JsonPretty => write!(self.output, "["),
        }
    }

    fn entry(&mut self, found: pxar::catalog::Found<'_>) -> std::io::Result<()> {
        let comma = if self.count > 0 { "," } else { "" };
        self.count += 1;
        match self.format {
            OutputFormat::Text => {
                writeln!(self.output, "{}", pxar::listing::catalog_line(found, &self.zone))
            }
            OutputFormat::Json => {
                write!(self.output, "{comma}{}", serde_json::to_string(&Listed::of(found))?)
            }
            OutputFormat::JsonPretty => {
                let text = serde_json::to_string_pretty(&Listed::of(found))?;
                write!(self.output, "{comma}\n  {}", text.replace('\n', "\n  "))
            }
        }
    }

    fn end(&mut self) -> std::io::Result<()> {
        match self.format {
            OutputFormat::Text => {}
            OutputFormat::Json => writeln!(self.output, "]")?,
            OutputFormat::JsonPretty => writeln!(self.output, "\n]")?,
        }
        self.output.flush()
    }
}

pub fn run(places: &Places, command: &CatalogCommand) -> Result<Outcome> {
    match command {
        CatalogCommand::Dump(args) => dump(places, args),
    }
}

fn dump(places: &Places, args: &DumpArgs) -> Result<Outcome> {
    let (repository, namespace, snapshot) = args.snapshot.open(places)?;
    let session: Arc<dyn RestoreSession> =
        Arc::new(LocalRestore::open(&repository.store, &namespace, &snapshot)?);
    let what = format!("snapshot {snapshot}");
    let key = keys::for_snapshot(places, args.keyfile.as_deref(), session.manifest(), &what)?;
    let file = session.manifest().file(CATALOG_NAME).with_context(|| {
        format!("snapshot {snapshot} has no catalog: it holds no folders (.pxar), or split ones")
    })?;
    check_key(&*session, Some(file), key.as_deref())?;
    let key = key.filter(|_| file.crypt_mode == CryptMode::Encrypt);
    let storage = RandomAccess::new(&session, session.index(CATALOG_NAME)?, key);
    let catalog = pxar::catalog::Reader::open(storage)
        .with_context(|| format!("the catalog of {snapshot} is damaged"))?;
    let mut printer = Printer {
        output: std::io::BufWriter::new(std::io::stdout().lock()),
        format: args.output.output_format,
        zone: jiff::tz::TimeZone::system(),
        count: 0,
    };
    let mut written = printer.begin();
    let walked = catalog.walk(&catalog.root(), &mut |found| {
        if written.is_ok() {
            written = printer.entry(found);
        }
        Ok(written.is_ok())
    });
    walked.with_context(|| format!("the catalog of {snapshot} is damaged"))?;
    match written.and_then(|()| printer.end()) {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write to the standard output");
        }
        _ => {}
    }
    Ok(Outcome::Complete)
}
