//! `capstan vtl serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use scsi::Address;
use scsi::iscsi::chap::Credentials;
use scsi::iscsi::parameters::DigestWish;
use serde::Serialize;
use vtl::iscsi_target::{Event, Target, TargetOptions};
use vtl::{Library, Unit};

use crate::cli::Outcome;
use crate::output::{OutputArgs, table};
use crate::progress::{Bar, say};

const AFTER_HELP: &str = "\
Examples:
  capstan vtl serve /srv/vtl
  capstan vtl serve /srv/vtl --listen 127.0.0.1:0 --ready-file /run/vtl.ready
  capstan vtl serve /srv/vtl --listen 192.168.7.2:3260 --chap-user backup \\
    --chap-password-file /etc/vtl.secret";

/// Offer an emulated library to iSCSI initiators, on this machine or others
///
/// Logical unit 0 is the robot, the drives follow. The address of each unit is printed once it can
/// be reached. An interrupt (Ctrl-C, SIGTERM) lets running commands end, makes everything durable
/// and frees the drives; a second one ends the program at once.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ServeArgs {
    /// The library's folder
    dir: PathBuf,
    /// Address and port to listen at; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3260", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The target's name [default: one made of the library's serial number]
    #[arg(long, value_name = "IQN")]
    target_name: Option<String>,
    /// Let only initiators in that know this name and the password (CHAP)
    #[arg(long, value_name = "NAME", requires = "chap_password_file")]
    chap_user: Option<String>,
    /// File with that password, without its last line break
    #[arg(long, value_name = "FILE", requires = "chap_user")]
    chap_password_file: Option<PathBuf>,
    /// Show this name to initiators that ask who the target is (mutual CHAP)
    #[arg(long, value_name = "NAME", requires_all = ["mutual_chap_password_file", "chap_user"])]
    mutual_chap_user: Option<String>,
    /// File with the password that goes with it, another than the first
    #[arg(long, value_name = "FILE", requires = "mutual_chap_user")]
    mutual_chap_password_file: Option<PathBuf>,
    /// Checksums over what travels
    #[arg(long, value_enum, default_value_t = DigestsArg::Allowed)]
    digests: DigestsArg,
    /// Listen at an address that other machines reach, without CHAP
    #[arg(long)]
    allow_remote: bool,
    /// Write address and name of the target to this file once it can be reached
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DigestsArg {
    /// None
    Never,
    /// If the initiator insists
    Allowed,
    /// If the initiator can
    Preferred,
    /// Always; who can't is not let in
    Required,
}

impl From<DigestsArg> for DigestWish {
    fn from(digests: DigestsArg) -> DigestWish {
        match digests {
            DigestsArg::Never => DigestWish::Never,
            DigestsArg::Allowed => DigestWish::Allowed,
            DigestsArg::Preferred => DigestWish::Preferred,
            DigestsArg::Required => DigestWish::Required,
        }
    }
}

#[derive(Serialize)]
struct Served {
    target: String,
    listen: SocketAddr,
    units: Vec<ServedUnit>,
}

#[derive(Serialize)]
struct ServedUnit {
    lun: u64,
    unit: String,
    address: String,
    vendor: String,
    product: String,
    serial: String,
}

pub fn run(args: &ServeArgs) -> Result<Outcome> {
    let chap = credentials(args.chap_user.as_deref(), args.chap_password_file.as_deref())?;
    let mutual_chap =
        credentials(args.mutual_chap_user.as_deref(), args.mutual_chap_password_file.as_deref())?;
    if !args.listen.ip().is_loopback() && chap.is_none() && !args.allow_remote {
        bail!(
            "{} can be reached from other machines, and whoever reaches it could read and overwrite \
             every cartridge; let only initiators with a password in (--chap-user, \
             --chap-password-file), or say --allow-remote if the network is trusted",
            args.listen
        );
    }
    // From here on an interrupt ends the loop below and not the program.
    let bar = Bar::quiet("serve");
    let options = TargetOptions {
        listen: args.listen,
        name: args.target_name.clone(),
        chap,
        mutual_chap,
        digests: args.digests.into(),
    };
    let library = Library::open(&args.dir)?;
    let target = Target::start(&library, options, Arc::new(|event| say(&told(&event))))?;
    let served = served(&target);
    args.output.print(&served, |served| {
        let rows = served.units.iter().map(|unit| {
            vec![
                unit.lun.to_string(),
                unit.unit.clone(),
                unit.address.clone(),
                unit.vendor.clone(),
                unit.product.clone(),
                unit.serial.clone(),
            ]
        });
        let header = ["lun", "unit", "address", "vendor", "product", "serial"];
        format!("target {} at {}\n{}", served.target, served.listen, table(&header, rows))
    })?;
    if let Some(file) = &args.ready_file {
        announce(file, &served)?;
    }
    while !bar.is_interrupted() {
        std::thread::sleep(Duration::from_millis(100));
    }
    if let Some(file) = &args.ready_file {
        // Whoever looks must not find a target that is gone. Somebody may have removed it already.
        let _ = std::fs::remove_file(file);
    }
    target.stop()?;
    Ok(Outcome::Complete)
}

fn served(target: &Target) -> Served {
    let listen = target.address();
    // An address that means "all of this machine" is reached at the loopback.
    let host = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => "127.0.0.1".into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => "::1".into(),
        other => other.ip().to_string(),
    };
    let units = target.units().into_iter().map(|unit| {
        let address = Address::Iscsi {
            host: host.clone(),
            port: listen.port(),
            target: target.name().to_owned(),
            lun: unit.lun,
        };
        ServedUnit {
            lun: unit.lun,
            unit: match unit.unit {
                Unit::Changer => "changer".into(),
                Unit::Drive(number) => format!("drive{number}"),
            },
            address: address.to_string(),
            vendor: unit.vendor,
            product: unit.product,
            serial: unit.serial,
        }
    });
    let units = units.collect();
    Served { target: target.name().to_owned(), listen, units }
}

/// Name and the password in a file.
fn credentials(name: Option<&str>, file: Option<&Path>) -> Result<Option<Credentials>> {
    let (Some(name), Some(file)) = (name, file) else { return Ok(None) };
    let password = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the password in {}", file.display()))?;
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        bail!("{} holds no password", file.display());
    }
    Ok(Some(Credentials::new(name, password)))
}

/// Writes the ready file whole: whoever sees it finds everything in it.
fn announce(file: &Path, served: &Served) -> Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = file.with_file_name(name);
    std::fs::write(&temporary, format!("{} {}\n", served.listen, served.target))
        .and_then(|()| std::fs::rename(&temporary, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn told(event: &Event) -> String {
    match event {
        Event::SessionBegan { port, peer } => format!("{port} logged in from {peer}"),
        Event::SessionEnded { port, reason } => format!("the session of {port} ended: {reason}"),
        Event::LoginRefused { peer, reason } => format!("no session for {peer}: {reason}"),
        Event::UnitFailed { lun, reason } => {
            format!("warning: logical unit {lun} could not carry out a command: {reason}")
        }
        other => format!("{other:?}"),
    }
}
