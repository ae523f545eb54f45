//! Plans from seeds: the same seed and profile give the same plan for ever.

use scsi::{Sense, SenseKey};

use super::command::{CommandKind, Commands};
use super::plan::{Effect, FaultPlan, FaultRule, Lost, Units, When};
use crate::unit::name::Unit;

/// What a random plan may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultProfile {
    /// Most rules; at least one is made.
    pub rules_max: u64,
    /// How many objects the tapes are going to have, about.
    pub objects: u64,
    /// How many commands of a kind there are going to be, about.
    pub commands: u64,
}

/// Spreads the bits of a number (SplitMix64).
pub(super) fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len() as u64) as usize).cloned()
    }
}

impl FaultPlan {
    /// The plan of a seed.
    pub fn from_seed(seed: u64, profile: &FaultProfile) -> FaultPlan {
        let mut dice = Dice(seed);
        let rules = (0..=dice.below(profile.rules_max)).map(|_| rule(&mut dice, profile)).collect();
        FaultPlan { seed, rules }
    }
}

fn rule(dice: &mut Dice, profile: &FaultProfile) -> FaultRule {
    use CommandKind::*;
    const DRIVES: Units = Units::Drives;
    const ROBOT: Units = Units::One(Unit::Changer);
    let sense = |key, asc, ascq| Effect::Sense(Sense::new(key, asc, ascq));
    let any: &[CommandKind] = &[];
    let table: &[(Units, &[CommandKind], Effect)] = &[
        (DRIVES, &[Read], Effect::Unreadable),
        (DRIVES, &[Read, Space, Locate], Effect::Unreadable),
        (DRIVES, &[Write], Effect::WriteError),
        (DRIVES, &[Filemarks], Effect::WriteError),
        (DRIVES, any, sense(SenseKey::HardwareError, 0x44, 0x00)),
        (DRIVES, any, sense(SenseKey::AbortedCommand, 0x00, 0x00)),
        (DRIVES, any, sense(SenseKey::UnitAttention, 0x28, 0x00)),
        (DRIVES, any, sense(SenseKey::UnitAttention, 0x29, 0x00)),
        (DRIVES, any, sense(SenseKey::UnitAttention, 0x2a, 0x01)),
        (DRIVES, any, sense(SenseKey::NotReady, 0x04, 0x01)),
        (DRIVES, &[Write, Filemarks], Effect::Deferred(Sense::WRITE_ERROR)),
        (DRIVES, &[Write, Filemarks, Locate], Effect::PowerLoss { down: 0 }),
        (DRIVES, &[Write, Read], Effect::PowerLoss { down: 3 }),
        (DRIVES, any, Effect::PowerLoss { down: 1 }),
        (DRIVES, any, Effect::Reset),
        (DRIVES, any, Effect::DropAttention),
        (Units::Any, any, Effect::Busy),
        (Units::Any, any, Effect::Conflict),
        (Units::Any, any, Effect::QueueFull),
        (Units::Any, any, Effect::Lost(Lost::Reply)),
        (Units::Any, any, Effect::Lost(Lost::Command)),
        (DRIVES, &[Read], Effect::Residual(1 + dice.below(300_000))),
        (DRIVES, &[Write], Effect::Residual(1 + dice.below(300_000))),
        (DRIVES, &[Read], Effect::IncorrectLength),
        (DRIVES, any, Effect::Cleaning { required: false }),
        (DRIVES, any, Effect::Cleaning { required: true }),
        (DRIVES, &[Ready, Write, Read], Effect::Alert(1 + dice.below(64) as u32)),
        (DRIVES, &[Write, Read, Ready, Erase], Effect::Protect),
        (DRIVES, &[Write], Effect::EarlyWarning),
        (DRIVES, &[Write], Effect::EndOfTape),
        (ROBOT, &[Move], Effect::Stuck),
        (ROBOT, &[Move], Effect::Gripper),
        (ROBOT, &[Move, Inventory, Ready], sense(SenseKey::NotReady, 0x04, 0x12)),
        (ROBOT, &[Move], sense(SenseKey::IllegalRequest, 0x3b, 0x0d)),
        (ROBOT, &[Move], sense(SenseKey::IllegalRequest, 0x3b, 0x0e)),
        (ROBOT, any, sense(SenseKey::UnitAttention, 0x28, 0x01)),
        (ROBOT, any, Effect::Reset),
        (DRIVES, &[Load, Unload], sense(SenseKey::HardwareError, 0x53, 0x00)),
        (
            DRIVES,
            &[ModeSelect, ModeSense, Log, Attribute],
            sense(SenseKey::IllegalRequest, 0x24, 0x00),
        ),
        (DRIVES, &[Erase, Format], sense(SenseKey::MediumError, 0x51, 0x00)),
    ];
    let (units, commands, effect) = dice.pick(table).unwrap_or((Units::Any, any, Effect::Busy));
    let mut when = When::default();
    let is_on_tape = commands.iter().any(|kind| matches!(kind, Read | Write | Filemarks));
    if is_on_tape && dice.one_in(3) {
        when.object = Some(dice.below(profile.objects));
    } else {
        when.after = dice.below(profile.commands);
        if units == ROBOT {
            when.after /= 8;
        }
    }
    let times = match dice.below(8) {
        0 => None,
        1 => Some(2 + dice.below(6)),
        _ => Some(1),
    };
    FaultRule { times, units, commands: Commands(commands.to_vec()), when, effect }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_that_its_text_repeats() {
        let profile = FaultProfile { rules_max: 5, objects: 200, commands: 100 };
        let mut effects = std::collections::BTreeSet::new();
        for seed in 0..2000 {
            let plan = FaultPlan::from_seed(seed, &profile);
            assert_eq!(plan, FaultPlan::from_seed(seed, &profile));
            assert!((1..=5).contains(&plan.rules.len()));
            assert_eq!(plan.to_string().parse::<FaultPlan>().unwrap(), plan);
            let word = |rule: &FaultRule| {
                rule.effect.to_string().split(' ').next().unwrap_or_default().to_owned()
            };
            effects.extend(plan.rules.iter().map(word));
        }
        // Every effect but labels and delays, which are about what operators see and when.
        assert!(effects.len() == 21, "{effects:?}");
    }
}
