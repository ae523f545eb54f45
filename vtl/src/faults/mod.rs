//! Faults on demand: what a unit of the library does wrong, when, and how often.
//!
//! A [`FaultPlan`] is a list of rules, written as text (`docs/formats/vtl-faults.md`) or made from a
//! seed. It is set for the handles of one process ([`crate::Library::set_faults`]) or, as a file in the
//! library's folder, for every process that uses the library (`store`). Both may be there; the
//! process's own comes first.
//!
//! * `plan`: rules and their text; `command`: the words for commands; `seed`: plans from seeds.
//! * `engine`: which rules a command meets. Pure: the same commands meet the same faults.
//! * `store`: the plans in force, and counters that several processes share.
//!
//! What a fault *does* is done where it belongs: replies in `unit::faulty`, a lost buffer or a flipped
//! tab in `drive::faults`, a cartridge in the gripper in `changer::faults`.
//!
//! # What holds whatever a plan says
//!
//! A fault takes what a real device may take and nothing else: a drive that loses its buffer loses
//! the objects since the last synchronisation, as many as there are, and none before; a read that fails
//! changes nothing on the tape. So whatever a host was told to be on the medium is there, and a test
//! that finds it missing has found a bug in the host.
//!
//! # Cost
//!
//! Without a plan a command costs one look at a flag. A new plan in the folder is seen because setting
//! it counts as a change of the robot's state, whose counter each command reads anyway.

mod command;
mod engine;
mod error;
mod plan;
mod seed;
mod store;

pub use command::{CommandKind, Commands};
pub use error::PlanError;
pub use plan::{Effect, FaultPlan, FaultRule, Lost, Units, When};
pub use seed::FaultProfile;
pub use store::RuleStatus;

pub(crate) use engine::Context;
pub(crate) use store::{Faults, clear, list, set};
