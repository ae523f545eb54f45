//! Which groups a job takes.

use std::str::FromStr;

use datastore::BackupGroup;
use datastore::hierarchy::BackupType;
use regex::Regex;

use crate::error::{Error, Result};

/// Selects groups: `[include:|exclude:]type:TYPE`, `…group:TYPE/ID` or `…regex:EXPRESSION`. The expression is
/// searched in `TYPE/ID`; `^` and `$` anchor it.
#[derive(Debug, Clone)]
pub struct GroupFilter {
    exclude: bool,
    selector: Selector,
}

#[derive(Debug, Clone)]
enum Selector {
    Type(BackupType),
    Group(BackupGroup),
    Regex(Regex),
}

impl GroupFilter {
    fn matches(&self, group: &BackupGroup) -> bool {
        match &self.selector {
            Selector::Type(ty) => group.backup_type() == *ty,
            Selector::Group(wanted) => group == wanted,
            Selector::Regex(expression) => expression.is_match(&group.to_string()),
        }
    }
}

impl FromStr for GroupFilter {
    type Err = Error;

    fn from_str(text: &str) -> Result<GroupFilter> {
        let bad = |reason: String| Error::BadArgument {
            what: "group filter",
            value: text.to_string(),
            reason,
        };
        let (exclude, rest) = match text.split_once(':') {
            Some(("include", rest)) => (false, rest),
            Some(("exclude", rest)) => (true, rest),
            _ => (false, text),
        };
        let selector = match rest.split_once(':') {
            Some(("type", ty)) => Selector::Type(ty.parse().map_err(|e| bad(format!("{e}")))?),
            Some(("group", group)) => {
                Selector::Group(group.parse().map_err(|e| bad(format!("{e}")))?)
            }
            Some(("regex", expression)) => {
                Selector::Regex(Regex::new(expression).map_err(|e| bad(one_line(&e)))?)
            }
            _ => {
                return Err(bad(
                    "it must be type:TYPE, group:TYPE/ID or regex:EXPRESSION, with include: or exclude: before it if wanted"
                        .into(),
                ));
            }
        };
        Ok(GroupFilter { exclude, selector })
    }
}

/// The crate draws its messages over several lines; the last one says what is wrong.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_string()
}

/// True if no filter includes, or one includes the group; and none excludes it.
pub(super) fn passes(filters: &[GroupFilter], group: &BackupGroup) -> bool {
    let mut includes = filters.iter().filter(|filter| !filter.exclude).peekable();
    let included = includes.peek().is_none() || includes.any(|filter| filter.matches(group));
    included && !filters.iter().any(|filter| filter.exclude && filter.matches(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_filters_select() {
        // Filters, what passes, what does not.
        let cases: [(&[&str], &[&str], &[&str]); 8] = [
            (&[], &["ct/1", "vm/100"], &[]),
            (&["type:host", "exclude:group:host/b"], &["host/a"], &["host/b", "vm/100"]),
            (&["exclude:type:vm"], &["ct/1"], &["vm/1"]),
            (&["group:vm/1", "include:group:ct/1"], &["vm/1", "ct/1"], &["vm/11", "host/1"]),
            (&["regex:^vm/1"], &["vm/1", "vm/100"], &["vm/21", "ct/1"]),
            (&["regex:web"], &["host/web1", "host/old-web"], &["host/db"]),
            (
                &["include:regex:^host/", "exclude:regex:-test$"],
                &["host/a"],
                &["host/a-test", "ct/1"],
            ),
            (&["exclude:regex:^(ct|vm)/9[0-9]{2}$"], &["vm/90", "host/900"], &["vm/900", "ct/999"]),
        ];
        for (texts, pass, stay) in cases {
            let filters: Vec<GroupFilter> =
                texts.iter().map(|text| text.parse().unwrap()).collect();
            for (groups, expected) in [(pass, true), (stay, false)] {
                for group in groups {
                    assert_eq!(
                        passes(&filters, &group.parse().unwrap()),
                        expected,
                        "{texts:?} {group}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_reason() {
        for bad in ["", "type", "type:tape", "regex", "maybe:type:vm", "group:x"] {
            assert!(bad.parse::<GroupFilter>().is_err(), "{bad}");
        }
        let error = "exclude:regex:vm/(1".parse::<GroupFilter>().unwrap_err().to_string();
        assert!(
            error.contains("exclude:regex:vm/(1") && error.contains("unclosed group"),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}
