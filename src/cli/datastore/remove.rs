//! `capstan datastore remove`

use anyhow::{Context, Result, bail};
use clap::Args;
use datastore::progress::Silent;
use datastore::{Error, destroy, usage};
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::{Datastores, MaintenanceMode, Places};
use crate::output::{OutputArgs, table};
use crate::progress::Bar;
use crate::{history, repository};

/// Take a datastore out of the configuration, or destroy it with all it holds
///
/// Without --destroy-data no file of the datastore is touched: 'datastore create --reuse-datastore' gives
/// it a name again. With it everything that belongs to the datastore is removed, while nobody uses it;
/// what else lies in its folder stays. An interrupted run is gone on with by the same command.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  capstan datastore remove archive\n  capstan datastore remove archive --destroy-data --dry-run"
)]
pub struct RemoveArgs {
    /// A name from the configuration, or the folder
    store: String,
    /// Also remove every snapshot and chunk
    #[arg(long)]
    destroy_data: bool,
    /// Destroy without further question
    #[arg(long, requires = "destroy_data")]
    yes: bool,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Planned {
    what: String,
    detail: String,
}

pub fn run(places: &Places, args: &RemoveArgs) -> Result<Outcome> {
    let section = places.load::<Datastores>()?;
    let name = &repository::configured_name(&section, &args.store)?;
    let Some(config) = section.datastore.get(name) else {
        bail!("there is no datastore named '{name}' in the configuration");
    };
    let entry = Planned {
        what: "configuration".into(),
        detail: format!("the name '{name}' for {}", config.path.display()),
    };
    if !args.destroy_data {
        if args.dry_run {
            print_plan(args, &[entry])?;
            return Ok(Outcome::Complete);
        }
        forget(places, name)?;
        let bar = Bar::bytes("remove");
        bar.line(&format!("'{name}' is no name any more; {} is whole", config.path.display()));
        return Ok(Outcome::Complete);
    }
    section.check_not_nested(name)?;
    let store = match repository::open_for_removal(name, config.clone()) {
        Ok(repository) => repository.store,
        // An earlier run came as far as the chunks.
        Err(error) if is_gone(&error) && config.maintenance_mode.is_some() => {
            if !args.dry_run && args.yes {
                forget(places, name)?;
            }
            print_plan(args, &[entry])?;
            return Ok(Outcome::Complete);
        }
        Err(error) => return Err(error),
    };
    let (counts, more) = usage::counts(&store, &Silent, &mut ())?;
    let types = [counts.ct, counts.host, counts.vm];
    let mut plan = vec![Planned {
        what: "snapshots".into(),
        detail: format!(
            "{} in {} groups, {} of them protected",
            types.iter().map(|ty| ty.snapshots).sum::<u64>(),
            types.iter().map(|ty| ty.groups).sum::<u64>(),
            more.protected
        ),
    }];
    plan.extend(
        destroy::plan(&store)?
            .iter()
            .map(|path| Planned { what: "remove".into(), detail: path.display().to_string() }),
    );
    plan.push(entry);
    if args.dry_run || !args.yes {
        print_plan(args, &plan)?;
        if args.dry_run {
            return Ok(Outcome::Complete);
        }
        bail!("nothing was removed; --yes destroys all of it for ever");
    }
    // Refused before anything is changed, and from then on nobody begins to use it.
    destroy::check_unused(&store)?;
    set_mode(places, name)?;
    let bar = Bar::bytes("remove");
    let gone = destroy::run(&store, &bar)
        .with_context(|| format!("datastore '{name}' is destroyed in part; run this again"))?;
    forget(places, name)?;
    bar.line(&format!("datastore '{name}' is destroyed"));
    Ok(if gone { Outcome::Complete } else { Outcome::Incomplete })
}

fn print_plan(args: &RemoveArgs, plan: &[Planned]) -> Result<()> {
    args.output.print(plan, |plan| {
        table(&["", ""], plan.iter().map(|p| vec![p.what.clone(), p.detail.clone()]))
            .trim_start()
            .to_owned()
    })
}

fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::NotADatastore { .. }))
}

fn set_mode(places: &Places, name: &str) -> Result<()> {
    places.change(|section: &mut Datastores| {
        let Some(config) = section.datastore.get_mut(name) else {
            bail!("datastore '{name}' was taken out of the configuration meanwhile");
        };
        config.maintenance_mode = Some(MaintenanceMode::Delete);
        Ok(())
    })
}

fn forget(places: &Places, name: &str) -> Result<()> {
    places.change(|section: &mut Datastores| {
        section.datastore.remove(name);
        Ok(())
    })?;
    // Another store may get the name one day.
    let path = history::path(places, name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
