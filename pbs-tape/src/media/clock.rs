//! Which time jobs go by: the machine's, unless whoever opened the state folder says otherwise.
//!
//! Labels get their times from it, and by it a pool decides when a set is over and when data may be overwritten. Rules
//! are functions of a time that is passed in; this is for jobs, which ask again and again while they run. A year of jobs
//! runs on a virtual clock in minutes, and both go through the same code.

use std::fmt;
use std::sync::Arc;

/// Tells the time, in seconds since 1970.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<dyn Fn() -> i64 + Send + Sync>>);

impl Clock {
    /// One that `now` tells.
    pub fn told_by(now: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
        Clock(Some(Arc::new(now)))
    }

    /// What time it is.
    pub fn now(&self) -> i64 {
        self.0.as_ref().map_or_else(datastore::time::now, |now| now())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(told)" } else { "Clock(machine)" })
    }
}
