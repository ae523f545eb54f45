//! Why a text is no fault plan.

use thiserror::Error as ThisError;

/// Why a text is no fault plan.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{}{reason}", if *line > 0 { format!("line {line}: ") } else { String::new() })]
pub struct PlanError {
    /// Line number, from 1; 0 for a rule that stands alone.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl PlanError {
    pub(super) fn new(reason: String) -> PlanError {
        PlanError { line: 0, reason }
    }
}
