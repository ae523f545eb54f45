//! Several that work at once, and one to whom it is told: each says who it is, and one can end them all.

use std::sync::atomic::{AtomicBool, Ordering};

use datastore::Progress;

/// What one of several tells, with its name, and asks.
pub struct Voice<'a> {
    inner: &'a dyn Progress,
    name: Option<String>,
    /// The whole job is to end.
    stop: &'a AtomicBool,
}

impl<'a> Voice<'a> {
    /// Whom it is told in the end, under which name, and what ends the whole job.
    pub fn new(inner: &'a dyn Progress, name: Option<String>, stop: &'a AtomicBool) -> Voice<'a> {
        Voice { inner, name, stop }
    }

    /// The name that stands before what is told.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Ends the whole job.
    pub fn stop_all(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    fn named(&self, text: &str) -> String {
        match &self.name {
            Some(name) => format!("{name}: {text}"),
            None => text.to_string(),
        }
    }
}

impl Progress for Voice<'_> {
    fn is_aborted(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.inner.is_aborted()
    }

    fn advance_bytes(&self, bytes: u64) {
        self.inner.advance_bytes(bytes);
    }

    fn expect_bytes(&self, bytes: u64) {
        self.inner.expect_bytes(bytes);
    }

    fn step(&self, phase: &str, done: u64, total: u64) {
        self.inner.step(phase, done, total);
    }

    fn note(&self, text: &str) {
        self.inner.note(&self.named(text));
    }

    fn warn(&self, text: &str) {
        self.inner.warn(&self.named(text));
    }
}
