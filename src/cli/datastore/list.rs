//! `capstan datastore list`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::{Datastores, Places};
use crate::output::{OutputArgs, table};

/// List the datastores of the configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore list --output-format json")]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

pub fn run(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let section: Datastores = places.load()?;
    let listed: Vec<Listed> = section
        .datastore
        .into_iter()
        .map(|(name, config)| Listed { name, path: config.path, comment: config.comment })
        .collect();
    args.output.print(&listed, |listed| {
        table(
            &["name", "path", "comment"],
            listed.iter().map(|l| {
                let comment = l.comment.clone().unwrap_or_default();
                vec![l.name.clone(), l.path.display().to_string(), comment]
            }),
        )
    })?;
    Ok(Outcome::Complete)
}
