//! Which snapshots a verification looks at, and in which order.

use crate::datastore::{Datastore, OddNames};
use crate::error::{Error, Result};
use crate::hierarchy::{BackupGroup, Namespace, SnapshotPath};
use crate::manifest::VerifyState;
use crate::scope::Scope;

const DAY_S: i64 = 86_400;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The part of the datastore.
    pub scope: Scope,
    /// Only this group, in each of the namespaces.
    pub group: Option<BackupGroup>,
}

/// The snapshots of a selection, and what could not be listed.
#[derive(Debug, Default)]
pub struct Selected {
    /// Groups of all namespaces as one list in the order of listings, each with its newest snapshot
    /// first: of what matters most the result is known first.
    pub snapshots: Vec<(Namespace, SnapshotPath)>,
    /// Folders that could not be listed. Their snapshots are not verified, so the run has failed.
    pub failures: Vec<Error>,
}

impl Selection {
    /// Lists the snapshots. Fails only if the namespace where the scope begins, or the group, is
    /// nowhere.
    pub fn list(&self, store: &Datastore, odd: &mut dyn OddNames) -> Result<Selected> {
        let found = self.scope.groups(store, odd)?;
        let mut selected = Selected { snapshots: Vec::new(), failures: found.failures };
        let mut groups = 0;
        for (namespace, group) in found.groups {
            if self.group.as_ref().is_some_and(|wanted| *wanted != group) {
                continue;
            }
            groups += 1;
            match store.snapshots(&namespace, &group, odd) {
                Ok(snapshots) => {
                    let newest_first = snapshots.into_iter().rev();
                    let named = newest_first.map(|info| (namespace.clone(), info.path));
                    selected.snapshots.extend(named);
                }
                Err(error) if error.is_missing() => {}
                Err(error) => selected.failures.push(error),
            }
        }
        match &self.group {
            Some(group) if groups == 0 && selected.failures.is_empty() => {
                Err(Error::NotFound { what: format!("backup group {group}") })
            }
            _ => Ok(selected),
        }
    }
}

/// Which snapshots are left out because they were verified before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SkipVerified {
    /// None.
    #[default]
    No,
    /// Those that were verified ever, whatever came out.
    Ever,
    /// Those that were verified less than so many whole days ago, or just as many.
    Within {
        /// Days.
        days: u64,
    },
}

impl SkipVerified {
    /// True if a snapshot with this state is left out at the time `now`. A state whose time cannot
    /// be read counts as none.
    pub fn skips(self, state: Option<&VerifyState>, now: i64) -> bool {
        let Some(verified) = state.and_then(VerifyState::time) else { return false };
        match self {
            SkipVerified::No => false,
            SkipVerified::Ever => true,
            SkipVerified::Within { days } => {
                let age_days = now.saturating_sub(verified).div_euclid(DAY_S);
                age_days <= i64::try_from(days).unwrap_or(i64::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::VerifyResult;

    #[test]
    fn what_was_verified_is_due_again_after_whole_days() {
        let upid = |time: i64| {
            format!("UPID:elsa:0000A1B2:00C3D4E5:00000000:{time:08X}:verify:x:root@pam:")
        };
        let state = |upid: String| VerifyState { state: VerifyResult::Failed, upid };
        let at = 0x6500_0000;
        let verified = state(upid(at));
        let skips = |skip: SkipVerified, age_s| skip.skips(Some(&verified), at + age_s);
        assert!(!skips(SkipVerified::No, 0));
        // Also what failed: it is known to be bad.
        assert!(skips(SkipVerified::Ever, i64::MAX / 2));
        let month = SkipVerified::Within { days: 30 };
        assert!(skips(month, 31 * DAY_S - 1) && !skips(month, 31 * DAY_S));
        let zero = SkipVerified::Within { days: 0 };
        assert!(skips(zero, DAY_S - 1) && !skips(zero, DAY_S));
        // Of the future: the clock was wrong once, and will be right again.
        assert!(skips(zero, -1));
        for text in ["", "UPID:x", "UPID:a:1:2:3:zz:verify:x:root@pam:", "X:a:1:2:3:4:5:6:7:"] {
            assert!(!SkipVerified::Ever.skips(Some(&state(text.into())), at), "{text}");
        }
        assert!(!SkipVerified::Ever.skips(None, at));
    }
}
