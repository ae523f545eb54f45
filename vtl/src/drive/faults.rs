//! What faults on demand do to a drive and to the cartridge in it.

use scsi::{Sense, SenseKey};

use super::device_statistics::Event;
use super::errors::Direction;
use super::{Drive, Medium, alert, threaded};
use crate::faults::{CommandKind, Context, Effect};
use crate::unit::{Command, Done, Stop};

/// Power on after a reset that kept the power.
const RESET: Sense = Sense::new(SenseKey::UnitAttention, 0x29, 0x02);

/// Somebody or something else changed the encryption parameters.
const KEY_GONE: Sense = Sense::new(SenseKey::UnitAttention, 0x2a, 0x11);

impl Drive {
    /// What a plan may ask about a command.
    pub(super) fn describe_command(&mut self, cdb: &[u8]) -> Result<Context, Stop> {
        let mut context = Context::new(self.unit(), cdb);
        let position = self.record.position;
        if let Medium::Threaded(cartridge) = &mut self.medium {
            context.object = Some(position);
            context.file = Some(cartridge.log.file_at(position)?);
            context.bytes = Some(cartridge.log.bytes_before(position)?);
            context.barcode = Some(cartridge.state.barcode.clone());
        }
        let is_fixed = cdb.get(1).is_some_and(|flags| flags & 0x01 != 0);
        let is_transfer = matches!(context.kind, CommandKind::Read | CommandKind::Write);
        if let (true, true, Some([a, b, c])) = (is_fixed, is_transfer, cdb.get(2..5)) {
            context.objects = u64::from(u32::from_be_bytes([0, *a, *b, *c]));
        }
        Ok(context)
    }

    /// Lets a fault happen.
    pub(super) fn let_happen(&mut self, effect: &Effect, command: &mut Command<'_, '_>) -> Done {
        match effect {
            Effect::Unreadable => self.unreadable(command),
            Effect::WriteError => {
                self.count_failure(Direction::Write);
                self.raise_alert(alert::HARD_ERROR);
                self.raise_alert(alert::WRITE_FAILURE);
                let asked = command.number(2, 3) as i64;
                Err(Sense::WRITE_ERROR.with_information(asked).into())
            }
            Effect::Deferred(sense) => {
                self.lose_buffer()?;
                Err(sense.as_deferred().into())
            }
            Effect::PowerLoss { down } => {
                self.lose_buffer()?;
                self.down = *down;
                self.lifetime.count(Event::PowerCycle)?;
                self.restart(Sense::POWER_ON);
                Err(Stop::NoAnswer)
            }
            Effect::Reset => {
                self.restart(RESET);
                Ok(())
            }
            Effect::KeyLost => {
                self.encryption.forget_keys();
                self.attentions.raise(KEY_GONE, None);
                Ok(())
            }
            Effect::Cleaning { required } => {
                self.record.cleaning_wanted = true;
                self.record.cleaning_needed |= *required;
                self.raise_alert(if *required { alert::CLEAN_NOW } else { alert::CLEAN_PERIODIC });
                Ok(())
            }
            Effect::Retries(retries) => {
                let direction = match CommandKind::of(command.cdb(), false) {
                    CommandKind::Write => Direction::Write,
                    _ => Direction::Read,
                };
                self.count_retries(direction, *retries);
                Ok(())
            }
            Effect::Alert(flag) => {
                self.raise_alert(*flag);
                Ok(())
            }
            Effect::Protect => {
                if let Medium::Threaded(cartridge) = &mut self.medium {
                    cartridge.state.write_protected = true;
                    cartridge.save()?;
                }
                Ok(())
            }
            Effect::EarlyWarning => self.shorten_tape(true),
            Effect::EndOfTape => self.shorten_tape(false),
            // The robot's, or about replies and time.
            _ => Ok(()),
        }
    }

    /// The medium can't be read here. As with a record that is really damaged, a READ passes it.
    fn unreadable(&mut self, command: &Command<'_, '_>) -> Done {
        let position = self.record.position;
        let objects = threaded(&mut self.medium)?.log.objects();
        self.count_failure(Direction::Read);
        self.raise_alert(alert::HARD_ERROR);
        self.raise_alert(alert::READ_FAILURE);
        if command.byte(0) == scsi::command::opcode::READ_6 {
            self.record.position = (position + 1).min(objects);
            let asked = command.number(2, 3) as i64;
            return Err(Sense::READ_ERROR.with_information(asked).into());
        }
        Err(Sense::POSITIONING_ERROR.into())
    }

    /// What was written since the last synchronisation never reached the tape.
    fn lose_buffer(&mut self) -> Done {
        self.stream.drop_buffer();
        let Medium::Threaded(cartridge) = &mut self.medium else { return Ok(()) };
        let kept = cartridge.log.synchronised();
        if kept < cartridge.log.objects() {
            cartridge.truncate(kept)?;
        }
        self.record.position = self.record.position.min(kept);
        Ok(())
    }

    /// Everything but what is recorded, reservations and where the cartridge is becomes as after switching on.
    fn restart(&mut self, attention: Sense) {
        self.finish_stream();
        self.hosts.allow_removal();
        self.hosts.forget_protection();
        self.encryption.forget_keys();
        if let Medium::Threaded(cartridge) = &mut self.medium {
            cartridge.select_partition(0);
        }
        self.record = super::DriveRecord {
            load: self.record.load,
            unloaded: self.record.unloaded,
            cleaning_wanted: self.record.cleaning_wanted,
            cleaning_needed: self.record.cleaning_needed,
            ..super::DriveRecord::power_on()
        };
        self.attentions.restart(attention);
    }

    /// The tape is found to end early: with a warning here, or here.
    fn shorten_tape(&mut self, with_warning: bool) -> Done {
        let position = self.record.position;
        let Medium::Threaded(cartridge) = &mut self.medium else { return Ok(()) };
        if cartridge.state.partitions() > 1 {
            // Their sizes are fixed by FORMAT MEDIUM.
            return Ok(());
        }
        let here = cartridge.log.bytes_before(position)?;
        let reserve = if with_warning { cartridge.state.early_warning_bytes } else { 0 };
        let end = here.saturating_add(reserve);
        if end < cartridge.state.capacity_bytes {
            cartridge.state.capacity_bytes = end;
            cartridge.state.early_warning_bytes = reserve;
            cartridge.save()?;
        }
        Ok(())
    }
}
