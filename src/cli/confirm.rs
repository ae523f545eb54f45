//! Asking before something is destroyed.

use std::io::{BufRead, IsTerminal, stdin};

use anyhow::{Result, bail};

use crate::progress::say;

/// Returns if the user wants it: by `--yes`, or by typing "yes" at a terminal. Without a terminal nobody
/// can be asked, and nothing is done.
///
/// `plan` says what would be done.
pub fn confirm(plan: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    say(plan.trim_end());
    if stdin().is_terminal() {
        say("Type 'yes' to do it:");
        let mut answer = String::new();
        stdin().lock().read_line(&mut answer)?;
        if answer.trim() == "yes" {
            return Ok(());
        }
        bail!("nothing was done");
    }
    bail!("nothing was done; --yes does it, --dry-run shows the plan")
}
