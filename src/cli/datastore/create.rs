//! `capstan datastore create`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use datastore::datastore::Options;
use datastore::{Datastore, hierarchy};

use crate::cli::Outcome;
use crate::config::{DatastoreConfig, Datastores, Places};
use crate::progress::Bar;

/// Make a datastore in an empty folder and give it a name
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore create archive /srv/archive")]
pub struct CreateArgs {
    /// Name in the configuration
    name: String,
    /// Its folder, which is made if it is missing
    dir: PathBuf,
    /// The folder holds a datastore already: only give it the name
    #[arg(long)]
    reuse_datastore: bool,
    /// Free text
    #[arg(long)]
    comment: Option<String>,
}

pub fn run(places: &Places, args: &CreateArgs) -> Result<Outcome> {
    hierarchy::check_datastore_name(&args.name)?;
    let bar = Bar::bytes("create");
    let path = places.change(|section: &mut Datastores| {
        if section.datastore.contains_key(&args.name) {
            bail!("there is a datastore named '{}' already", args.name);
        }
        let absolute = std::path::absolute(&args.dir)
            .with_context(|| format!("cannot use {}", args.dir.display()))?;
        if let Some((name, other)) = section.nested_with(&absolute) {
            bail!(
                "{} and datastore '{name}' in {} lie inside each other",
                absolute.display(),
                other.display()
            );
        }
        let options = Options::default();
        let store = if args.reuse_datastore {
            Datastore::open(&absolute, &options)?
        } else {
            Datastore::create(&absolute, &options)?
        };
        let path = store.base().to_path_buf();
        let config = DatastoreConfig {
            path: path.clone(),
            comment: args.comment.clone(),
            ..DatastoreConfig::default()
        };
        section.datastore.insert(args.name.clone(), config);
        Ok(path)
    })?;
    bar.line(&format!("datastore '{}' is in {}", args.name, path.display()));
    Ok(Outcome::Complete)
}
