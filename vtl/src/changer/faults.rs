//! What faults on demand do to the robot.

use scsi::{Sense, SenseKey};

use super::Changer;
use crate::faults::{CommandKind, Context, Effect};
use crate::robot::element_at;
use crate::unit::{Done, Stop};

/// What goes wrong during the present command, noted for the handler that meets it.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The robot stops on its way, with the cartridge in its gripper.
    pub stops_halfway: bool,
    /// Bar codes and what is read instead of them.
    pub labels: Vec<(String, Option<String>)>,
}

impl Trouble {
    /// What the bar code reader reads on a cartridge.
    pub fn label<'b>(&'b self, barcode: &'b str) -> Option<&'b str> {
        match self.labels.iter().find(|(really, _)| really == barcode) {
            Some((_, read)) => read.as_deref(),
            None => Some(barcode),
        }
    }
}

impl Changer {
    /// What a plan may ask about a command.
    pub(super) fn describe_command(&mut self, cdb: &[u8]) -> Result<Context, Stop> {
        let mut context = Context::new(self.unit(), cdb);
        if context.kind == CommandKind::Move
            && let Some([from_high, from_low, to_high, to_low]) = cdb.get(4..8)
        {
            let element =
                |bytes: [u8; 2]| element_at(self.home.config(), u16::from_be_bytes(bytes));
            let from = element([*from_high, *from_low]);
            context.from = from.map(|(kind, _)| kind);
            context.to = element([*to_high, *to_low]).map(|(kind, _)| kind);
            if let Some((kind, number)) = from {
                let robot = self.robot()?;
                let occupant = robot.state.occupant(kind, number);
                context.barcode = occupant.map(|occupant| occupant.barcode.clone());
            }
        }
        Ok(context)
    }

    /// Lets a fault happen.
    pub(super) fn let_happen(&mut self, effect: &Effect) -> Done {
        match effect {
            Effect::Stuck => Err(Sense::ROBOT_FAILED.into()),
            Effect::Gripper => {
                self.trouble.stops_halfway = true;
                Ok(())
            }
            Effect::Label { barcode, read } => {
                self.trouble.labels.push((barcode.clone(), read.clone()));
                Ok(())
            }
            Effect::PowerLoss { down } => {
                self.down = *down;
                self.attentions.restart(Sense::POWER_ON);
                Err(Stop::NoAnswer)
            }
            Effect::Reset => {
                self.attentions.restart(Sense::new(SenseKey::UnitAttention, 0x29, 0x02));
                Ok(())
            }
            Effect::Alert(flag) => {
                let mut robot = self.robot()?;
                robot.state.alerts |= 1 << (64 - flag);
                robot.commit()?;
                Ok(())
            }
            // A drive's, or about replies and time.
            _ => Ok(()),
        }
    }
}
