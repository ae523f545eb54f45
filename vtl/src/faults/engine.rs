//! Which rules of a plan a command meets.
//!
//! Everything is decided by the plan, the command and two counters a rule: how many commands met its
//! conditions, and how often it took effect. Nothing is random but what the plan's seed decides.

use super::command::CommandKind;
use super::plan::{Effect, FaultPlan, FaultRule};
use super::seed::mix;
use crate::element::ElementKind;
use crate::unit::name::Unit;

/// What is known of a command when it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub unit: Unit,
    pub kind: CommandKind,
    pub code: u8,
    /// Where the tape stands.
    pub object: Option<u64>,
    /// How many objects a READ or WRITE wants, at least 1.
    pub objects: u64,
    pub file: Option<u32>,
    /// Data bytes before the position.
    pub bytes: Option<u64>,
    /// The cartridge in the drive, or the one that is to be moved.
    pub barcode: Option<String>,
    pub from: Option<ElementKind>,
    pub to: Option<ElementKind>,
    /// A unit attention is going to answer the command.
    pub attention: bool,
}

impl Context {
    /// Nothing known but the command.
    pub fn new(unit: Unit, cdb: &[u8]) -> Context {
        Context {
            unit,
            kind: CommandKind::of(cdb, unit == Unit::Changer),
            code: cdb.first().copied().unwrap_or(0),
            object: None,
            objects: 1,
            file: None,
            bytes: None,
            barcode: None,
            from: None,
            to: None,
            attention: false,
        }
    }
}

/// Counters of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    /// Commands that met its conditions.
    pub met: u64,
    /// How often it took effect.
    pub fired: u64,
}

/// The effects that a command meets, in the order of the rules. Counts them.
pub(super) fn decide(plan: &FaultPlan, counts: &mut [Count], context: &Context) -> Vec<Effect> {
    let mut effects = Vec::new();
    for (number, (rule, count)) in plan.rules.iter().zip(counts).enumerate() {
        if rule.times.is_some_and(|times| count.fired >= times) || !meets(rule, context) {
            continue;
        }
        count.met = count.met.saturating_add(1);
        let Some(turn) = count.met.checked_sub(rule.when.after).filter(|turn| *turn > 0) else {
            continue;
        };
        if rule.when.every.is_some_and(|every| !turn.is_multiple_of(every)) {
            continue;
        }
        let dice = mix(plan.seed ^ mix(number as u64) ^ turn);
        if rule.when.chance.is_some_and(|chance| !dice.is_multiple_of(chance)) {
            continue;
        }
        count.fired = count.fired.saturating_add(1);
        effects.push(rule.effect.clone());
    }
    effects
}

fn meets(rule: &FaultRule, context: &Context) -> bool {
    let when = &rule.when;
    rule.units.contains(context.unit)
        && rule.commands.contains(context.kind, context.code)
        && when.object.is_none_or(|object| {
            context
                .object
                .is_some_and(|first| object >= first && object - first < context.objects.max(1))
        })
        && when.file.is_none_or(|file| context.file == Some(file))
        && when.bytes.is_none_or(|bytes| context.bytes.is_some_and(|here| here >= bytes))
        && (when.barcode.is_none() || when.barcode == context.barcode)
        && when.from.is_none_or(|from| context.from == Some(from))
        && when.to.is_none_or(|to| context.to == Some(to))
        && (rule.effect != Effect::DropAttention || context.attention)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(plan: &str, commands: &[&[u8]]) -> Vec<usize> {
        let plan: FaultPlan = plan.parse().unwrap();
        let mut counts = vec![Count::default(); plan.rules.len()];
        let met = |(at, cdb): (usize, &&[u8])| {
            let context = Context { object: Some(at as u64), ..Context::new(Unit::Drive(0), cdb) };
            (!decide(&plan, &mut counts, &context).is_empty()).then_some(at)
        };
        commands.iter().enumerate().filter_map(met).collect()
    }

    const WRITE: &[u8] = &[0x0a, 0, 0, 0, 1, 0];
    const READ: &[u8] = &[0x08, 0, 0, 0, 1, 0];

    #[test]
    fn conditions_count_only_what_meets_them() {
        let mixed = [WRITE, READ, WRITE, WRITE, READ, WRITE];
        assert_eq!(run("once drive0 write -> busy", &mixed), [0]);
        assert_eq!(run("2x drive0 write after=1 -> busy", &mixed), [2, 3]);
        assert_eq!(run("always drives read -> busy", &mixed), [1, 4]);
        assert_eq!(run("always any write every=2 -> busy", &mixed), [2, 5]);
        assert_eq!(run("always drive0 read+write object=3 -> busy", &mixed), [3]);
        assert_eq!(run("always drive1 any -> busy", &mixed), [0; 0]);
        assert_eq!(run("always changer any -> busy", &mixed), [0; 0]);
        assert_eq!(run("always drive0 any -> drop-attention", &mixed), [0; 0]);
    }

    #[test]
    fn chance_is_decided_by_the_seed() {
        let many = [WRITE; 400];
        let with =
            |seed: u64| run(&format!("seed {seed}\nalways any any chance=1/10 -> busy"), &many);
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
        assert!((15..80).contains(&with(1).len()), "{}", with(1).len());
    }

    #[test]
    fn blocks_in_a_row_pass_an_object() {
        let plan: FaultPlan = "always drive0 read object=5 -> unreadable".parse().unwrap();
        let meets_at = |object: u64, objects: u64| {
            let mut counts = [Count::default()];
            let context =
                Context { object: Some(object), objects, ..Context::new(Unit::Drive(0), READ) };
            !decide(&plan, &mut counts, &context).is_empty()
        };
        assert!(meets_at(5, 1) && meets_at(3, 3));
        assert!(!meets_at(3, 2) && !meets_at(6, 10));
    }
}
