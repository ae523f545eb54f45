//! Troubles that no single command tells: damage that stays, a host without power, a drive that is gone, a
//! robot that waits for a person, two drives of one job, and two jobs at once.
//!
//! Each ends as every schedule does: the next job goes on, and all that was promised comes back from the tapes
//! alone. Only of damage that stays may it cost something, and then no more than what needs the damaged file, and
//! not silently.

use crate::dice::Dice;
use crate::source::{GROUPS, Source};
use crate::world::{Operation, World};

const ALL: Operation = Operation::Backup(GROUPS.len());

/// One trouble, decided by the dice. What it was is added to `story`.
pub fn try_trouble(source: &Source, dice: &Dice, story: &mut String) -> Result<(), String> {
    let mut world = World::with_drives(source, 2);
    world.run(Operation::Label)?;
    let trouble: fn(&mut World<'_>, &Dice, &mut String) -> Result<(), String> =
        match dice.below(1, 8) {
            0 => damage_stays,
            1 => host_power_cut,
            2 => drive_dies,
            3 => robot_waits_for_a_person,
            4 => two_jobs_of_two_pools,
            5 => drives_of_one_job_die,
            6 => keys_are_lost,
            _ => two_jobs_of_one_pool,
        };
    trouble(&mut world, dice, story)?;
    let damage = world.damage();
    world.operator(true);
    world.trust_tapes();
    world.set_faults(damage);
    world.goes_on_and_keeps_its_promises()?;
    world.comes_back_from_nothing()
}

/// A file of a tape can never be read again.
fn damage_stays(world: &mut World<'_>, dice: &Dice, story: &mut String) -> Result<(), String> {
    world.run(Operation::Backup(1 + dice.below(2, 3) as usize))?;
    let rule = world.damage_a_file(dice);
    story.push_str(&format!("damage that stays: {rule}\n"));
    for number in 0..dice.below(3, 3) {
        let operation = match dice.below(10 + number, 4) {
            0 => Operation::Restore,
            1 => Operation::Verify,
            2 => Operation::Inventory,
            _ => ALL,
        };
        story.push_str(&format!("{operation:?}: {:?}\n", world.run(operation)));
    }
    let verified = world.run(Operation::Verify);
    story.push_str(&format!("Verify: {verified:?}\n"));
    if verified.is_ok() && world.newest_set_is_damaged() {
        return Err("the verification did not tell of the damage".into());
    }
    Ok(())
}

/// The host's power goes between two commands: no command reaches a device any more, and the state folder is what
/// it was then.
fn host_power_cut(world: &mut World<'_>, dice: &Dice, story: &mut String) -> Result<(), String> {
    if dice.below(2, 2) == 0 {
        world.run(Operation::Backup(1))?;
    }
    for round in 0..=dice.below(3, 2) {
        let commands = dice.below(20 + round, 250);
        let operation = match dice.below(30 + round, 6) {
            0 => Operation::Label,
            1 => Operation::Inventory,
            2 => Operation::Catalog { tape: 0, scan: true },
            _ => ALL,
        };
        let is_drive_cut = dice.below(40 + round, 2) == 0;
        world.cut_power_after(commands);
        let done = world.run(operation);
        world.power_back(is_drive_cut);
        story.push_str(&format!(
            "{operation:?}, the host's power goes after {commands} commands, the drive's too: \
             {is_drive_cut}: {done:?}\n"
        ));
    }
    Ok(())
}

/// A drive loses its buffer and never answers again; the tape is taken out, and the next job uses the
/// other drive.
fn drive_dies(world: &mut World<'_>, dice: &Dice, story: &mut String) -> Result<(), String> {
    if dice.below(2, 2) == 0 {
        world.run(Operation::Backup(1))?;
    }
    let plan = format!("once drive0 any after={} -> power-loss down=1000000", dice.below(3, 150));
    world.set_faults(Some(plan.parse().map_err(|error| format!("{plan}: {error}"))?));
    let died = world.run(ALL);
    story.push_str(&format!("{plan}\n{ALL:?}: {died:?}\n"));
    world.take_out_of(0);
    let next = world.run_on(1, ALL);
    story.push_str(&format!("in the other drive: {next:?}\n"));
    next
}

/// Two drives write one set, and one or both of them never answer again. One that is left does the rest, unless it lacks tapes: the pool has
/// few, and one whose label may never have been written lies in the dead drive and must not be passed over.
fn drives_of_one_job_die(
    world: &mut World<'_>,
    dice: &Dice,
    story: &mut String,
) -> Result<(), String> {
    if dice.below(2, 2) == 0 {
        world.run(Operation::Backup(1))?;
    }
    let dead = ["drive0", "drive1", "drives"][dice.below(4, 3) as usize];
    let plan = format!("once {dead} any after={} -> power-loss down=1000000", dice.below(3, 150));
    world.set_faults(Some(plan.parse().map_err(|error| format!("{plan}: {error}"))?));
    let died = world.back_up_on_both(GROUPS.len());
    let written = world.promises_of_newest_set();
    story.push_str(&format!("{plan}\non both drives: {died:?}, {written} snapshots\n"));
    let lacks_tape = |message: &String| {
        message.contains("no usable tape") || message.contains("can't load tape")
    };
    let may_lack = dead == "drives" || died.as_ref().is_err_and(lacks_tape);
    if written < 2 * GROUPS.len() && !may_lack {
        return Err(format!("the other drive left something: {written} snapshots, {died:?}"));
    }
    world.take_out_of(0);
    world.take_out_of(1);
    Ok(())
}

/// The robot does nothing any more until somebody comes.
fn robot_waits_for_a_person(
    world: &mut World<'_>,
    dice: &Dice,
    story: &mut String,
) -> Result<(), String> {
    for round in 0..=dice.below(2, 3) {
        let effect = if dice.below(10 + round, 2) == 0 { "stuck" } else { "gripper" };
        let plan = format!("always changer move after={} -> {effect}", dice.below(20 + round, 4));
        world.set_faults(Some(plan.parse().map_err(|error| format!("{plan}: {error}"))?));
        let stuck = world.run(ALL);
        story.push_str(&format!("{plan}\n{ALL:?}: {stuck:?}\n"));
        if let Err(message) = stuck
            && !(message.contains("free the robot") || message.contains("put-back"))
        {
            return Err(format!("no word of what to do with the robot: {message}"));
        }
        world.operator(false);
        let next = world.run(Operation::Backup(1 + dice.below(30 + round, 3) as usize));
        story.push_str(&format!("freed: {next:?}\n"));
        next?;
    }
    Ok(())
}

/// A pool with a key: the drive forgets it in the middle of something, and then it is gone from this machine, too, until
/// somebody takes it from a tape with its passphrase.
fn keys_are_lost(world: &mut World<'_>, dice: &Dice, story: &mut String) -> Result<(), String> {
    world.encrypt();
    world.run(Operation::Backup(1 + dice.below(2, 3) as usize))?;
    for round in 0..=dice.below(3, 2) {
        let plan = format!("once drives any after={} -> key-lost", dice.below(10 + round, 120));
        world.set_faults(Some(plan.parse().map_err(|error| format!("{plan}: {error}"))?));
        let operation = match dice.below(20 + round, 4) {
            0 => Operation::Restore,
            1 => Operation::Verify,
            2 => Operation::Extract,
            _ => ALL,
        };
        story.push_str(&format!("{plan}\n{operation:?}: {:?}\n", world.run(operation)));
        world.set_faults(None);
    }
    let key = world.lose_key();
    for operation in [ALL, Operation::Restore, Operation::Verify, Operation::Extract] {
        let refused = world.run(operation);
        story.push_str(&format!("{operation:?} without the key: {refused:?}\n"));
        match refused {
            Err(message) if message.contains(&key) => {}
            other => return Err(format!("{operation:?} without key {key}: {other:?}")),
        }
    }
    world.key_from_tape()?;
    let next = world.run(ALL);
    story.push_str(&format!("with the key from a tape: {next:?}\n"));
    next
}

/// Two jobs at once, each with its drive and pool: neither disturbs the other.
fn two_jobs_of_two_pools(
    world: &mut World<'_>,
    dice: &Dice,
    story: &mut String,
) -> Result<(), String> {
    world.label_for("p2", 3);
    if dice.below(2, 2) == 0 {
        world.run(Operation::Backup(1))?;
    }
    let ends = world.two_jobs("p1", "p2", true);
    story.push_str(&format!("two pools at once: {ends:?}\n"));
    ends.0.and(ends.1)
}

/// Two jobs at once for one pool: the second waits for the first, or is refused in words.
fn two_jobs_of_one_pool(
    world: &mut World<'_>,
    dice: &Dice,
    story: &mut String,
) -> Result<(), String> {
    let is_patient = dice.below(2, 2) == 0;
    let ends = world.two_jobs("p1", "p1", is_patient);
    story.push_str(&format!("one pool at once, waiting: {is_patient}: {ends:?}\n"));
    let is_refused = |message: &String| message.contains("is in use by");
    match ends {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(message)) | (Err(message), Ok(())) if !is_patient && is_refused(&message) => {
            Ok(())
        }
        (first, second) => Err(format!("two jobs of one pool: {first:?}, {second:?}")),
    }
}
