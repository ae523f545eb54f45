//! Behaviour of an emulated library, seen only through its public doors: raw commands, and the
//! operator's calls.

mod changer;
mod host;
mod interchange;
mod model;
mod pages;
mod sharing;
mod tape;
