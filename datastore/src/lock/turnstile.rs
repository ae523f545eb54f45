//! How writers and a collector of different processes take turns.
//!
//! The process lock is only ever tried, and a collector needs it alone. On a store to which many
//! machines write there is always one writer that has it, and without more the collector would be
//! refused for ever. So whoever is willing to wait goes through a *turnstile*: a collector keeps it shut
//! from when it begins to wait until it has the process lock, and a writer passes it before it tries.
//! Writers that run go on to their end, no new one begins, and then the collector's turn has come.
//!
//! Nothing rests on it: who may remove what is decided by the process lock alone. A program that does not
//! know the turnstile (the reference) or does not wait is not held back, and the collector then waits for
//! it too.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::open_lock_file;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Name of its file in the lock folder; names of locks never begin with a dot.
const FILE: &str = ".turnstile";
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The turnstile of one datastore.
#[derive(Debug)]
pub struct Turnstile {
    pub(super) dir: PathBuf,
    pub(super) owner: Option<(u32, u32)>,
}

/// Who waits, and for how long.
pub struct Wait<'a> {
    /// None: nobody waits, everything is tried once and the turnstile left alone.
    deadline: Option<Instant>,
    progress: &'a dyn Progress,
}

impl<'a> Wait<'a> {
    /// From now on, at most so long; no time at all means to try once.
    pub fn new(longest: Duration, progress: &'a dyn Progress) -> Wait<'a> {
        let deadline = (!longest.is_zero()).then(|| Instant::now() + longest);
        Wait { deadline, progress }
    }

    /// Sleeps a little. `false` if the time is over.
    fn pause(&self) -> Result<bool> {
        if self.progress.is_aborted() {
            return Err(Error::Aborted);
        }
        let Some(deadline) = self.deadline else { return Ok(false) };
        let left = deadline.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(PAUSE));
        Ok(!left.is_zero())
    }

    /// Runs `attempt` again while `is_busy` says of its error that somebody has what it needs.
    fn until_free<T, E: From<Error>>(
        &self,
        is_busy: &dyn Fn(&E) -> bool,
        attempt: &mut dyn FnMut() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        loop {
            match attempt() {
                Err(error) if is_busy(&error) => {
                    if !self.pause()? {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }
}

impl Turnstile {
    /// Begins something that writes to the store: waits while a collector has the store or waits for
    /// it, and while `attempt` finds what it needs in use.
    pub fn writer<T, E: From<Error>>(
        &self,
        wait: &Wait<'_>,
        is_busy: &dyn Fn(&E) -> bool,
        attempt: &mut dyn FnMut() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        wait.until_free(is_busy, &mut || {
            // Nobody needs to find it shut by those who pass, so it is let go at once. When the time is
            // over the attempt tells who is in the way.
            while wait.deadline.is_some() && self.lock(FlockArg::LockSharedNonblock)?.is_none() {
                if !wait.pause()? {
                    break;
                }
            }
            attempt()
        })
    }

    /// Begins a collection: keeps writers that wait from beginning until `attempt` has the store.
    pub fn collector<T, E: From<Error>>(
        &self,
        wait: &Wait<'_>,
        is_busy: &dyn Fn(&E) -> bool,
        attempt: &mut dyn FnMut() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut shut = None;
        wait.until_free(is_busy, &mut || {
            if shut.is_none() && wait.deadline.is_some() {
                shut = self.lock(FlockArg::LockExclusiveNonblock)?;
            }
            attempt()
        })
    }

    /// `None` if somebody else has it in a way that excludes this one.
    fn lock(&self, arg: FlockArg) -> Result<Option<Flock<File>>> {
        let path = self.dir.join(FILE);
        // The file is never removed, so whoever has the lock has that of the name.
        let file = match open_lock_file(&path, self.owner) {
            Ok(file) => file,
            Err(error) => return Err(Error::io("lock", &path, error)),
        };
        match Flock::lock(file, arg) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(Error::io("lock", &path, io::Error::from(errno))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;
    use crate::lock::{Locks, ProcessLock};
    use crate::progress::Silent;

    const LONG: Duration = Duration::from_secs(60);

    fn is_busy(error: &Error) -> bool {
        error.is_retryable()
    }

    /// Two writers that overlap would keep a collector out for ever.
    #[test]
    fn a_collector_gets_its_turn_among_writers_that_never_pause() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path().join("locks"), None);
        // Each with a description of its own, as processes have.
        let lock = || ProcessLock::open_separately(dir.path()).unwrap();
        let (over, begun) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for offset in 0..2 {
                let (locks, over, begun, lock) = (&locks, &over, &begun, lock());
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(15 * offset));
                    while !over.load(Ordering::Relaxed) {
                        let wait = Wait::new(LONG, &Silent);
                        let held = locks
                            .turnstile()
                            .writer(&wait, &is_busy, &mut || lock.try_shared())
                            .unwrap();
                        begun.fetch_add(1, Ordering::Relaxed);
                        // Twice as long as the other one is ahead, so that one of the two always has it.
                        std::thread::sleep(Duration::from_millis(30));
                        drop(held);
                    }
                });
            }
            while begun.load(Ordering::Relaxed) < 4 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let lock = lock();
            let wait = Wait::new(LONG, &Silent);
            let held =
                locks.turnstile().collector(&wait, &is_busy, &mut || lock.try_exclusive()).unwrap();
            let before = begun.load(Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(begun.load(Ordering::Relaxed), before, "nobody writes beside it");
            drop(held);
            while begun.load(Ordering::Relaxed) == before {
                std::thread::sleep(Duration::from_millis(5));
            }
            over.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn without_time_it_is_tried_once() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path().join("locks"), None);
        let (mine, other) = (
            ProcessLock::open_separately(dir.path()).unwrap(),
            ProcessLock::open_separately(dir.path()).unwrap(),
        );
        let wait = Wait::new(Duration::ZERO, &Silent);
        let collector = other.try_exclusive().unwrap();
        let mut tries = 0;
        let refused = locks.turnstile().writer(&wait, &is_busy, &mut || {
            tries += 1;
            mine.try_shared()
        });
        assert!(refused.unwrap_err().is_retryable());
        assert_eq!(tries, 1);
        drop(collector);
        drop(locks.turnstile().writer(&wait, &is_busy, &mut || mine.try_shared()).unwrap());
    }
}
