//! The word to a command that it is not to wait any longer (SAM-5 §7.2, §7.7).
//!
//! A command is cut short only where it waits for time: what it does to files and positions is done before
//! that, so nothing is left half done. The wait of a drive's command ends and the motion goes on, as if it had been
//! sent with IMMED. A robot is at the end of its way at once.
//!
//! The word belongs to one command and stays said: said before the wait begins, there is none; said after
//! it, it is without effect. So it can't hit the command that comes next.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether a command was told to end, and a place to wait for that. A poisoned lock is as good as any: the flag has
/// no states in between.
#[derive(Debug, Default)]
pub(crate) struct Abort {
    is_raised: Mutex<bool>,
    raised: Condvar,
}

impl Abort {
    /// Ends the command's wait, now or when it comes to one.
    pub fn raise(&self) {
        *self.is_raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.raised.notify_all();
    }

    /// Sleeps on the machine's clock. `false`: it was told to end before the time was over.
    pub fn sleep(&self, time: Duration) -> bool {
        let is_raised = self.is_raised.lock().unwrap_or_else(PoisonError::into_inner);
        let slept = self.raised.wait_timeout_while(is_raised, time, |is_raised| !*is_raised);
        let (is_raised, _) = slept.unwrap_or_else(PoisonError::into_inner);
        !*is_raised
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_sleep_ends_with_its_time_or_with_the_word() {
        let abort = Arc::new(Abort::default());
        assert!(abort.sleep(Duration::from_millis(1)));
        let sleeper = std::thread::spawn({
            let abort = Arc::clone(&abort);
            move || abort.sleep(HOUR)
        });
        abort.raise();
        assert!(!sleeper.join().unwrap());
    }

    #[test]
    fn the_word_stays_said() {
        let abort = Abort::default();
        abort.raise();
        assert!(!abort.sleep(HOUR));
        assert!(!abort.sleep(HOUR));
    }
}
