//! The making of a library.

use std::fs;
use std::path::Path;

use crate::barcode;
use crate::cartridge::{Cartridge, CartridgeState};
use crate::clock::Timing;
use crate::config::{Counts, LibraryConfig, check_time_scale};
use crate::durable;
use crate::error::{Error, Named, Result};
use crate::generation::Generation;
use crate::personality::Personality;
use crate::robot::{Occupant, RobotState};

/// How a library is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Drives, at least one.
    pub drives: u16,
    /// Storage slots, at least one.
    pub slots: u16,
    /// Import/export slots.
    pub import_export: u16,
    /// Cartridges to make and put into the first slots.
    pub cartridges: u16,
    /// First characters of their bar codes; a number fills it up to six.
    pub barcode_prefix: String,
    /// The cartridges record once (WORM).
    pub worm: bool,
    /// Generation of drives and cartridges.
    pub generation: Generation,
    /// Capacity of a cartridge in data bytes; `None` for the generation's native capacity.
    pub capacity_bytes: Option<u64>,
    /// Whose INQUIRY texts drives and robot show.
    pub personality: Personality,
    /// Which time the library keeps.
    pub timing: Timing,
    /// How many times faster than the machine's clock [`Timing::Real`] runs, 1 to 10,000. Data moves no faster for it.
    pub time_scale: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            drives: 2,
            slots: 24,
            import_export: 2,
            cartridges: 10,
            barcode_prefix: "CAP".into(),
            worm: false,
            generation: Generation::Lto8,
            capacity_bytes: None,
            personality: Personality::Capstan,
            timing: Timing::None,
            time_scale: 1,
        }
    }
}

/// Makes the folder. `library.json` is written last: a library that was not made whole is none.
pub(super) fn create(dir: &Path, options: &Options) -> Result<()> {
    let counts = Counts {
        drives: options.drives,
        slots: options.slots,
        import_export: options.import_export,
    };
    counts.check()?;
    check_time_scale(options.time_scale)?;
    if options.cartridges > options.slots {
        return Err(Error::Options {
            reason: format!("{} cartridges do not fit {} slots", options.cartridges, options.slots),
        });
    }
    if !options.generation.has_drives() {
        return Err(Error::Options {
            reason: format!(
                "{} is a format of cartridges, not of drives; choose lto4 to lto10",
                options.generation
            ),
        });
    }
    let cartridges = (1..=u32::from(options.cartridges))
        .map(|number| {
            let prefix = &options.barcode_prefix;
            let barcode = barcode::numbered(prefix, number, options.generation, options.worm)?;
            CartridgeState::new(&barcode, options.generation, options.capacity_bytes)
        })
        .collect::<Result<Vec<_>>>()?;
    // Checked even if no cartridge is made now.
    CartridgeState::new(
        &barcode::numbered("CAP", 1, options.generation, options.worm)?,
        options.generation,
        options.capacity_bytes,
    )?;
    make_empty(dir)?;
    let id = durable::random_u64()? >> 16;
    let config = LibraryConfig::new(
        id,
        options.generation,
        &counts,
        options.capacity_bytes,
        options.personality,
        (options.timing, options.time_scale),
    );
    for number in 0..options.drives {
        let folder = dir.join(format!("drive{number}"));
        fs::create_dir(&folder).named(&folder)?;
    }
    let folder = dir.join("cartridges");
    fs::create_dir(&folder).named(&folder)?;
    let mut robot = RobotState::new(&config);
    for (slot, state) in robot.slots.iter_mut().zip(&cartridges) {
        Cartridge::create(&folder.join(&state.barcode), state)?;
        *slot = Some(Occupant::new(&state.barcode));
    }
    durable::replace_json(&dir.join("robot.json"), &robot)?;
    durable::replace_json(&dir.join("library.json"), &config)
}

fn make_empty(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let mut entries = fs::read_dir(dir).named(dir)?;
            if entries.next().is_some() {
                return Err(Error::NotEmpty { dir: dir.to_path_buf() });
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(dir).named(dir)
        }
        Err(source) => Err(Error::Io { path: dir.to_path_buf(), source }),
    }
}
