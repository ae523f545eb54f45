//! What the drive tells about itself and the tape in it.

use scsi::Sense;
use scsi::command::attribute::{self, Attribute};
use scsi::command::density;
use scsi::command::log::{Activity, DeviceActivity, LogPage, PAGE_VOLUME_STATISTICS};
use scsi::command::mode::{self, Compression};
use scsi::command::security::EncryptionStatus;
use scsi::command::statistics::VolumeStatistics;
use scsi::command::tape_alert::TapeAlerts;
use scsi::command::unit;
use serde::{Deserialize, Serialize};

use super::{Drive, Error, Result, Trust};

/// State of a drive and of the tape in it. Fields about the tape are there only if one is loaded and
/// ready; those that would have to wait for a busy drive only if it is idle.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Vendor of the drive.
    pub vendor: String,
    /// Product name of the drive.
    pub product: String,
    /// Firmware revision of the drive.
    pub revision: String,
    /// Block length in bytes, 0 = variable.
    pub blocksize: u32,
    /// The drive compresses what is written.
    pub compression: bool,
    /// Buffered mode: 1 = WRITE returns when the data is in the drive's buffer.
    pub buffer_mode: u8,
    /// Recording format of the tape; without one, the newest that the drive handles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<String>,
    /// TapeAlert flags, joined by ` | `.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_flags: Option<String>,
    /// Set if the tape is write protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_protect: Option<bool>,
    /// Number of the file the tape stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_number: Option<u64>,
    /// Number of the object (block or filemark) the tape stands before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    /// Date of manufacture of the tape, seconds since 1970 at midnight UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufactured: Option<i64>,
    /// Bytes read in the tape's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_read: Option<u64>,
    /// Bytes written in the tape's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_written: Option<u64>,
    /// How often the tape was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mounts: Option<u64>,
    /// Passes over the tape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium_passes: Option<u64>,
    /// Wear of the tape, 1.0 = worn out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium_wearout: Option<f64>,
    /// What the drive is doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive_activity: Option<String>,
    /// A tape is loaded and can be used.
    #[serde(default)]
    pub ready: bool,
    /// Density code of the tape, 0 or absent if the drive does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density_code: Option<u8>,
    /// The drive asks to be cleaned; absent if it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleaning_requested: Option<bool>,
    /// What the drive does to blocks on their way: `off`, or the two modes. Absent if the drive has no
    /// encryption or does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// Check values between host and drive: `on` or `off`, and the methods that the drive offers. Absent if
    /// it offers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_protection: Option<String>,
}

/// One entry of the cartridge memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemoryAttribute {
    /// Attribute id.
    pub id: u16,
    /// Name of the attribute.
    pub name: String,
    /// Value as text.
    pub value: String,
}

/// How this house names itself in cartridge memories: vendor and application.
const APPLICATION: &str = "Capstan";

impl Drive {
    /// TapeAlert flags. Some drives clear them when they are read, so use what comes back.
    pub fn tape_alerts(&mut self) -> Result<TapeAlerts> {
        TapeAlerts::request(&mut self.transport)
            .map_err(|error| self.fail("reading TapeAlert flags", error))
    }

    /// Statistics of the tape, how full it is among them. LTO-5 and newer.
    pub fn volume_statistics(&mut self) -> Result<VolumeStatistics> {
        VolumeStatistics::request(&mut self.transport)
            .map_err(|error| self.fail("reading volume statistics", error))
    }

    /// Native capacity in use in bytes: how full the tape is. `None` if the drive does not tell.
    pub fn used_bytes(&mut self) -> Result<Option<u64>> {
        match LogPage::request(&mut self.transport, PAGE_VOLUME_STATISTICS) {
            Ok(page) => Ok(VolumeStatistics::used_capacity(&page)),
            // LTO-4 and older.
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => Ok(None),
            Err(error) => Err(self.fail("reading volume statistics", error)),
        }
    }

    /// What the drive is doing.
    pub fn activity(&mut self) -> Result<DeviceActivity> {
        DeviceActivity::request(&mut self.transport)
            .map_err(|error| self.fail("reading the device activity", error))
    }

    /// The whole cartridge memory as it is.
    pub fn attributes(&mut self) -> Result<Vec<Attribute>> {
        attribute::read_all(&mut self.transport)
            .map_err(|error| self.fail("reading the cartridge memory", error))
    }

    /// The entries of the cartridge memory that have a name, as text.
    pub fn cartridge_memory(&mut self) -> Result<Vec<MemoryAttribute>> {
        let attributes = self.attributes()?;
        Ok(attributes
            .iter()
            .filter_map(|one| {
                Some(MemoryAttribute {
                    id: one.id,
                    name: attribute::lookup(one.id)?.name.to_string(),
                    value: one.render()?,
                })
            })
            .collect())
    }

    /// Native capacity left on the tape in bytes (MAM 0000h, which counts MiB). `None` if the drive
    /// does not tell.
    pub fn remaining_bytes(&mut self) -> Result<Option<u64>> {
        let attributes = self.attributes()?;
        let found = attributes.iter().find(|one| one.id == attribute::REMAINING_CAPACITY);
        Ok(found.and_then(Attribute::number).map(|mebibytes| mebibytes.saturating_mul(1 << 20)))
    }

    /// Writes one attribute into the cartridge memory.
    pub(super) fn write_attribute(&mut self, one: &Attribute) -> Result<()> {
        attribute::write(&mut self.transport, one)
            .map_err(|error| self.fail("writing the cartridge memory", error))
    }

    /// Writes into the cartridge memory that this tape is ours, so that other programs see it: vendor,
    /// name and version of the application, the label text and the pool.
    ///
    /// The cartridge memory is a courtesy and never a reason to fail: what could not be written is
    /// returned for whoever wants to log it.
    pub fn write_application_attributes(
        &mut self,
        label_text: Option<&str>,
        pool: Option<&str>,
    ) -> Vec<Error> {
        let entries = [
            (attribute::APPLICATION_VENDOR, Some(APPLICATION)),
            (attribute::APPLICATION_NAME, Some(APPLICATION)),
            (attribute::APPLICATION_VERSION, Some(env!("CARGO_PKG_VERSION"))),
            (attribute::USER_LABEL, label_text),
            (attribute::MEDIA_POOL, pool),
        ];
        entries
            .into_iter()
            .filter_map(|(id, text)| Attribute::host_text(id, text?))
            .filter_map(|one| self.write_attribute(&one).err())
            .collect()
    }

    /// The recording formats that the drive handles, or, with `loaded`, those that fit the tape in it.
    pub fn densities(&mut self, loaded: bool) -> Result<Vec<density::DensitySupport>> {
        density::report(&mut self.transport, loaded)
            .map_err(|error| self.fail("reading the density support", error))
    }

    /// REQUEST SENSE: what the drive has to say unasked. It takes a pending condition off the drive.
    pub fn sense(&mut self) -> Result<Sense> {
        let sensed = unit::request_sense(&mut self.transport)
            .map_err(|error| self.fail("asking for sense data", error))?;
        self.note_sense(&sensed);
        Ok(sensed)
    }

    /// State of the drive and of the tape in it. Works without a tape; whatever cannot be read is left
    /// out.
    pub fn status(&mut self) -> Result<Status> {
        // Takes a deferred error of somebody else's commands off the drive. One of our own writes is
        // not for a status display to swallow.
        let was_in_use = self.trust == Trust::Sure;
        if let Some(sense) = self.take_sense()
            && sense.deferred
            && was_in_use
        {
            let drive = self.name().to_string();
            return Err(Error::Deferred { drive, doing: "reading the status", sense });
        }
        let is_ready = self.is_ready()?;
        let mut status = Status {
            vendor: self.inquiry.vendor.clone(),
            product: self.inquiry.product.clone(),
            revision: self.inquiry.revision.clone(),
            ..Status::default()
        };
        self.add_options(&mut status)?;
        status.block_protection = self.protection_text();
        status.ready = is_ready;
        let state = self.activity().ok();
        status.cleaning_requested =
            state.map(|state| state.cleaning_requested() || state.cleaning_required());
        let activity = state.map(|state| state.activity());
        status.drive_activity = activity.map(|activity| activity.to_string());
        if status.density.is_none() {
            let newest = self
                .densities(false)
                .ok()
                .and_then(|list| list.iter().map(|one| one.primary).max());
            status.density = newest.map(|density| density.to_string());
        }
        let is_idle = matches!(activity, None | Some(Activity::None));
        if is_idle {
            let alerts = self.tape_alerts().ok();
            status.alert_flags = alerts.map(|flags| flags.to_string());
            if alerts.is_some_and(TapeAlerts::is_cleaning_request) {
                status.cleaning_requested = Some(true);
            }
        }
        if is_ready {
            self.add_medium(&mut status, is_idle);
        }
        Ok(status)
    }

    fn add_options(&mut self, status: &mut Status) -> Result<()> {
        let sensed = mode::sense(&mut self.transport, mode::PAGE_COMPRESSION, 0);
        let (parameters, _) = match sensed {
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                mode::sense(&mut self.transport, mode::PAGE_NONE, 0)
                    .map_err(|error| self.fail("reading options", error))?
            }
            other => other.map_err(|error| self.fail("reading options", error))?,
        };
        status.compression = Compression::parse(&parameters).is_ok_and(|page| page.enabled);
        status.buffer_mode = parameters.buffered_mode();
        if parameters.write_protected() {
            status.write_protect = Some(true);
        }
        if let Some(descriptor) = parameters.descriptor {
            status.blocksize = descriptor.block_bytes;
            if descriptor.density != 0 {
                status.density_code = Some(descriptor.density);
                status.density = Some(density::Density(descriptor.density).to_string());
            }
        }
        Ok(())
    }

    fn add_medium(&mut self, status: &mut Status, is_idle: bool) {
        if is_idle && let Ok(position) = self.position() {
            status.file_number = Some(position.file);
            status.block_number = Some(position.object);
        }
        status.encryption =
            EncryptionStatus::request(&mut self.transport).ok().map(|state| state.to_string());
        if let Ok(attributes) = self.attributes() {
            let find = |id| attributes.iter().find(|one| one.id == id);
            let bytes = |id| Some(find(id)?.number()?.saturating_mul(1 << 20));
            status.bytes_read = bytes(attribute::LIFETIME_READ);
            status.bytes_written = bytes(attribute::LIFETIME_WRITTEN);
            status.manufactured = find(attribute::MANUFACTURE_DATE)
                .and_then(Attribute::render)
                .and_then(|date| midnight(&date));
        }
        if is_idle && let Ok(statistics) = self.volume_statistics() {
            status.volume_mounts = Some(statistics.volume_mounts);
            status.medium_passes = Some(statistics.medium_passes());
            status.medium_wearout = Some(statistics.medium_wearout());
        }
    }
}

/// Seconds since 1970 at midnight UTC of a date YYYYMMDD.
fn midnight(date: &str) -> Option<i64> {
    let date = jiff::civil::Date::strptime("%Y%m%d", date).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}
