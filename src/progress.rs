//! Progress and interruption as a person at a terminal sees them.
//!
//! A bar is drawn on the standard error if that is a terminal; otherwise nothing moves and only
//! notes and warnings are printed, a line each, so that logs stay readable. The first interrupt
//! ends an operation cleanly; the second ends the program.

use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Set when the user wants the operation to end.
fn interrupted() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // In this order: the second signal finds the flag set and ends the program. Without
            // handlers a signal simply ends it, which is safe too.
            let _ =
                signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag));
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        flag
    })
}

/// Prints a line on the standard error. That nobody can hear it is no reason to stop, let alone to
/// panic: a full disk under a log must not end a backup.
pub fn say(text: &str) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// Shows how far a long operation is.
pub struct Bar {
    bar: ProgressBar,
    warnings: AtomicU64,
    quiet: bool,
}

impl Bar {
    /// A bar that counts bytes. `what` stands before it.
    pub fn bytes(what: &str) -> Bar {
        interrupted();
        let shown = stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            None,
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        let style = ProgressStyle::with_template(
            "{prefix} {spinner} {bytes} at {bytes_per_sec} {elapsed_precise} {wide_msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        if shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Bar { bar, warnings: AtomicU64::new(0), quiet: false }
    }

    /// A bar that prints no notes, only warnings.
    pub fn quiet(what: &str) -> Bar {
        let mut bar = Bar::bytes(what);
        bar.quiet = true;
        bar
    }

    /// Prints a line above the bar.
    pub fn line(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    /// How many warnings there were.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// True once the user wants an end.
    pub fn is_interrupted(&self) -> bool {
        interrupted().load(Ordering::Relaxed)
    }

    /// So many bytes more are done.
    pub fn add_bytes(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// The whole has so many bytes.
    pub fn set_total(&self, bytes: u64) {
        let style = ProgressStyle::with_template(
            "{prefix} {bar:30} {bytes}/{total_bytes} at {bytes_per_sec}, {eta} left {wide_msg}",
        );
        if let Ok(style) = style {
            self.bar.set_style(style);
        }
        self.bar.set_length(bytes);
    }

    /// What is being done now.
    pub fn doing(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// Something to know.
    pub fn tell(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// Something is wrong.
    pub fn warn(&self, text: &str) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.line(&format!("warning: {text}"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl datastore::Progress for Bar {
    fn is_aborted(&self) -> bool {
        self.is_interrupted()
    }

    fn advance_bytes(&self, bytes: u64) {
        self.add_bytes(bytes);
    }

    fn expect_bytes(&self, bytes: u64) {
        self.set_total(bytes);
    }

    fn step(&self, phase: &str, done: u64, total: u64) {
        self.doing(&format!("{phase} {} %", done * 100 / total.max(1)));
    }

    fn note(&self, text: &str) {
        self.tell(text);
    }

    fn warn(&self, text: &str) {
        Bar::warn(self, text);
    }
}
