//! `capstan vtl create`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use vtl::{Generation, Library, Options, Personality, Timing};

use crate::cli::Outcome;
use crate::output::parse_size;
use crate::progress::Bar;

/// Make an emulated library in an empty folder
///
/// Its drives have the addresses vtl:DIR#drive0, vtl:DIR#drive1 …, its robot vtl:DIR#changer.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl create /srv/vtl --drives 2 --slots 8 \
                        --import-export 1 --cartridges 6 --generation lto8 --capacity 1G")]
pub struct CreateArgs {
    /// The library's folder
    dir: PathBuf,
    /// Drives
    #[arg(long, default_value_t = 1, value_name = "N")]
    drives: u16,
    /// Storage slots
    #[arg(long, default_value_t = 24, value_name = "N")]
    slots: u16,
    /// Import/export slots
    #[arg(long, default_value_t = 2, value_name = "N")]
    import_export: u16,
    /// Blank cartridges to begin with
    #[arg(long, default_value_t = 10, value_name = "N")]
    cartridges: u16,
    /// First characters of their bar codes
    #[arg(long, default_value = "CAP", value_name = "TEXT")]
    barcode_prefix: String,
    /// Generation of drives and cartridges
    #[arg(long, value_enum, default_value_t = GenerationArg::Lto8)]
    generation: GenerationArg,
    /// Capacity of a cartridge, e.g. 64M or 2T [default: that of the generation]
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    capacity: Option<u64>,
    /// Make cartridges that record once
    #[arg(long)]
    worm: bool,
    /// Whose vendor and product texts drives and robot show
    #[arg(long, value_enum, default_value_t = PersonalityArg::Capstan)]
    personality: PersonalityArg,
    /// Whether loading, winding and robot moves take time: on the machine's clock, or on one that only
    /// the library moves
    #[arg(long, value_enum, default_value_t = TimingArg::None)]
    timing: TimingArg,
    /// How many times faster than the machine's clock --timing real runs
    #[arg(long, default_value_t = 1, value_name = "N")]
    time_scale: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PersonalityArg {
    Capstan,
    Ibm,
    Hpe,
    Quantum,
}

impl From<PersonalityArg> for Personality {
    fn from(personality: PersonalityArg) -> Personality {
        match personality {
            PersonalityArg::Capstan => Personality::Capstan,
            PersonalityArg::Ibm => Personality::Ibm,
            PersonalityArg::Hpe => Personality::Hpe,
            PersonalityArg::Quantum => Personality::Quantum,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TimingArg {
    None,
    Real,
    Virtual,
}

impl From<TimingArg> for Timing {
    fn from(timing: TimingArg) -> Timing {
        match timing {
            TimingArg::None => Timing::None,
            TimingArg::Real => Timing::Real,
            TimingArg::Virtual => Timing::Virtual,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GenerationArg {
    Lto4,
    Lto5,
    Lto6,
    Lto7,
    Lto8,
    Lto9,
    Lto10,
}

impl From<GenerationArg> for Generation {
    fn from(generation: GenerationArg) -> Generation {
        match generation {
            GenerationArg::Lto4 => Generation::Lto4,
            GenerationArg::Lto5 => Generation::Lto5,
            GenerationArg::Lto6 => Generation::Lto6,
            GenerationArg::Lto7 => Generation::Lto7,
            GenerationArg::Lto8 => Generation::Lto8,
            GenerationArg::Lto9 => Generation::Lto9,
            GenerationArg::Lto10 => Generation::Lto10,
        }
    }
}

pub fn run(args: &CreateArgs) -> Result<Outcome> {
    let options = Options {
        drives: args.drives,
        slots: args.slots,
        import_export: args.import_export,
        cartridges: args.cartridges,
        barcode_prefix: args.barcode_prefix.clone(),
        generation: args.generation.into(),
        capacity_bytes: args.capacity,
        worm: args.worm,
        personality: args.personality.into(),
        timing: args.timing.into(),
        time_scale: args.time_scale,
    };
    let library = Library::create(&args.dir, &options)?;
    let dir = library.dir().display();
    Bar::bytes("create").line(&format!(
        "drives: vtl:{dir}#drive0 to #drive{}; changer: vtl:{dir}#changer",
        library.drives().saturating_sub(1)
    ));
    Ok(Outcome::Complete)
}
