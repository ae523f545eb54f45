//! `capstan tape …`: drives, changers, pools, media, and the jobs between disk and tape.

mod backup;
mod barcode_sheet;
mod benchmark;
mod care;
mod changer;
mod configured;
pub mod drive;
mod extract;
mod find;
mod key;
mod labels;
mod matching;
mod media;
pub mod medium;
mod pool;
mod rescue;
mod restore;
pub mod station;
mod verify;

use anyhow::Result;
use clap::Subcommand;

use super::Outcome;
use crate::config::Places;

/// Tape drives, libraries, media, and the jobs between disk and tape
#[derive(Debug, Subcommand)]
pub enum TapeCommand {
    #[command(subcommand)]
    Changer(changer::ChangerCommand),
    #[command(subcommand)]
    Drive(drive::DriveCommand),
    #[command(subcommand)]
    Pool(pool::PoolCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
    #[command(subcommand)]
    Media(media::MediaCommand),
    Label(labels::LabelArgs),
    BarcodeLabel(labels::BarcodeLabelArgs),
    BarcodeSheet(barcode_sheet::BarcodeSheetArgs),
    ReadLabel(labels::ReadLabelArgs),
    Format(labels::FormatArgs),
    CartridgeMemory(medium::CartridgeMemoryArgs),
    VolumeStatistics(medium::VolumeStatisticsArgs),
    AlertFlags(medium::AlertFlagsArgs),
    Inventory(labels::InventoryArgs),
    Catalog(labels::CatalogArgs),
    Find(find::FindArgs),
    Scan(labels::ScanArgs),
    LoadMedia(station::LoadArgs),
    Unload(station::UnloadArgs),
    Status(station::StatusArgs),
    Clean(station::CleanArgs),
    Backup(backup::BackupArgs),
    Benchmark(benchmark::BenchmarkArgs),
    Restore(restore::RestoreArgs),
    Verify(verify::VerifyArgs),
    Extract(extract::ExtractArgs),
    Rescue(rescue::RescueArgs),
}

pub fn run(places: &Places, command: &TapeCommand) -> Result<Outcome> {
    match command {
        TapeCommand::Changer(command) => changer::run(places, command),
        TapeCommand::Drive(command) => drive::run(places, command),
        TapeCommand::Pool(command) => pool::run(places, command),
        TapeCommand::Key(command) => key::run(places, command),
        TapeCommand::Media(command) => media::run(places, command),
        TapeCommand::Label(args) => labels::label(places, args),
        TapeCommand::BarcodeLabel(args) => labels::barcode_label(places, args),
        TapeCommand::BarcodeSheet(args) => barcode_sheet::run(args),
        TapeCommand::ReadLabel(args) => labels::read_label(places, args),
        TapeCommand::Format(args) => labels::format(places, args),
        TapeCommand::CartridgeMemory(args) => medium::cartridge_memory(places, args),
        TapeCommand::VolumeStatistics(args) => medium::volume_statistics(places, args),
        TapeCommand::AlertFlags(args) => medium::alert_flags(places, args),
        TapeCommand::Inventory(args) => labels::inventory(places, args),
        TapeCommand::Catalog(args) => labels::catalog(places, args),
        TapeCommand::Find(args) => find::run(places, args),
        TapeCommand::Scan(args) => labels::scan(places, args),
        TapeCommand::LoadMedia(args) => station::load(places, args),
        TapeCommand::Unload(args) => station::unload(places, args),
        TapeCommand::Status(args) => station::status(places, args),
        TapeCommand::Clean(args) => station::clean(places, args),
        TapeCommand::Backup(args) => backup::run(places, args),
        TapeCommand::Benchmark(args) => benchmark::run(places, args),
        TapeCommand::Restore(args) => restore::run(places, args),
        TapeCommand::Verify(args) => verify::run(places, args),
        TapeCommand::Extract(args) => extract::run(places, args),
        TapeCommand::Rescue(args) => rescue::run(places, args),
    }
}
