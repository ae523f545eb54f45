//! `capstan namespace …`

mod delete;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use datastore::Namespace;
use serde::Serialize;

use super::Outcome;
use crate::config::Places;
use crate::output::{OutputArgs, table};
use crate::progress::Bar;
use crate::repository;

/// Make, list and remove namespaces: folders for backup groups in a datastore
#[derive(Debug, Subcommand)]
pub enum NamespaceCommand {
    Create(CreateArgs),
    List(ListArgs),
    Delete(delete::DeleteArgs),
}

/// Make a namespace
///
/// A backup never makes one by itself, so that a typing error does not begin a new history.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan namespace create site/servers --parents --repository archive"
)]
pub struct CreateArgs {
    /// Its name, with the names of those around it: site/servers
    ns: String,
    /// Also make those around it
    #[arg(long)]
    parents: bool,
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: String,
}

/// List namespaces
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan namespace list --repository archive")]
pub struct ListArgs {
    /// Only this one and those in it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// Levels below it [default: all]
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, command: &NamespaceCommand) -> Result<Outcome> {
    match command {
        NamespaceCommand::Create(args) => create(places, args),
        NamespaceCommand::List(args) => list(places, args),
        NamespaceCommand::Delete(args) => delete::run(places, args),
    }
}

fn create(places: &Places, args: &CreateArgs) -> Result<Outcome> {
    let namespace: Namespace = args.ns.parse()?;
    let repository = repository::open(places, &args.repository)?;
    if repository.store.has_namespace(&namespace) {
        match namespace.is_root() {
            true => bail!("the root namespace is the datastore itself: name another one"),
            false => bail!("namespace '{namespace}' exists already"),
        }
    }
    repository.store.create_namespace(&namespace, args.parents)?;
    Ok(Outcome::Complete)
}

/// A namespace with the reference's field name; the root is empty.
#[derive(Serialize)]
struct Listed {
    ns: String,
}

fn list(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let namespace: Namespace = args.ns.parse()?;
    let repository = repository::open(places, &args.repository)?;
    let mut odd = Vec::new();
    let listed: Vec<Listed> = repository
        .store
        .namespaces(&namespace, args.max_depth, &mut odd)?
        .iter()
        .map(|namespace| Listed { ns: namespace.to_string() })
        .collect();
    args.output.print(&listed, |listed| {
        let name = |l: &Listed| if l.ns.is_empty() { "/".to_owned() } else { l.ns.clone() };
        table(&["ns"], listed.iter().map(|l| vec![name(l)]))
    })?;
    let bar = Bar::bytes("list");
    for line in &odd {
        bar.warn(line);
    }
    Ok(if odd.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}
