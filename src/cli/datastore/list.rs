//! `capstan datastore list`

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::{DatastoreConfig, Datastores, Places};
use crate::output::{OutputArgs, table};

/// List the datastores of the configuration
///
/// As JSON with all settings that are not the defaults.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore list --output-format json")]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    /// The folder, and every setting that is not the default.
    #[serde(flatten)]
    config: DatastoreConfig,
}

pub fn run(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let section: Datastores = places.load()?;
    let listed: Vec<Listed> =
        section.datastore.into_iter().map(|(name, config)| Listed { name, config }).collect();
    args.output.print(&listed, |listed| {
        table(
            &["name", "path", "comment"],
            listed.iter().map(|l| {
                let comment = l.config.comment.clone().unwrap_or_default();
                vec![l.name.clone(), l.config.path.display().to_string(), comment]
            }),
        )
    })?;
    Ok(Outcome::Complete)
}
