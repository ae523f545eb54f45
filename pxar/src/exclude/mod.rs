//! Patterns that select entries: excludes when an archive is created, includes when it is extracted
//! or searched.
//!
//! A candidate is `/` and the path relative to the archive's root. A pattern matches the whole
//! candidate or any part of it that begins right behind a slash and runs to its end: `foo` matches
//! `/a/foo`, `a/foo` matches `/x/a/foo`, `/foo` only `/foo`. An *anchored* pattern (a line of a
//! `.pxarexclude` file that starts with a slash) must match the whole candidate. In a list the last
//! pattern that matches decides.

mod glob;

use crate::error::Error;
use glob::{Glob, Start};

/// What a matching pattern does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Take the entry.
    Include,
    /// Leave the entry out, and everything below it.
    Exclude,
}

impl Effect {
    fn inverted(self) -> Self {
        match self {
            Self::Include => Self::Exclude,
            Self::Exclude => Self::Include,
        }
    }
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    glob: Glob,
    /// The glob's own text, without `!` and trailing slash.
    text: Vec<u8>,
    effect: Effect,
    is_anchored: bool,
    directories_only: bool,
}

impl Pattern {
    /// Parse a pattern whose plain form has this effect; a leading `!` inverts it, a trailing `/`
    /// restricts it to directories.
    ///
    /// # Errors
    /// The pattern is empty or malformed.
    pub fn parse(pattern: &[u8], plain: Effect) -> Result<Self, Error> {
        let (effect, text) = match pattern {
            [b'!', text @ ..] => (plain.inverted(), text),
            text => (plain, text),
        };
        Self::compile(text, effect, false, pattern)
    }

    /// A line of the `.pxarexclude` file in `directory` (an archive path: empty for the root, else
    /// `/a/b`): plain lines exclude, and lines that start with a slash are anchored in `directory`.
    ///
    /// # Errors
    /// The line is empty or malformed.
    pub fn parse_line(line: &[u8], directory: &[u8]) -> Result<Self, Error> {
        let (effect, text) = match line {
            [b'!', text @ ..] => (Effect::Include, text),
            text => (Effect::Exclude, text),
        };
        if text.first() != Some(&b'/') {
            return Self::compile(text, effect, false, line);
        }
        let mut anchored = Vec::new();
        for byte in directory {
            // The directory's name is no glob.
            if matches!(byte, b'*' | b'?' | b'[' | b'\\') {
                anchored.push(b'\\');
            }
            anchored.push(*byte);
        }
        anchored.extend_from_slice(text);
        Self::compile(&anchored, effect, true, line)
    }

    fn compile(
        text: &[u8],
        effect: Effect,
        is_anchored: bool,
        original: &[u8],
    ) -> Result<Self, Error> {
        let without_slash = text.trim_suffix_slashes();
        let directories_only = without_slash.len() < text.len();
        let text = without_dots(without_slash);
        let glob = Glob::parse(&text).map_err(|reason| Error::Pattern {
            pattern: String::from_utf8_lossy(original).into_owned(),
            reason,
        })?;
        Ok(Self { glob, text, effect, is_anchored, directories_only })
    }

    /// What it does where it matches.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether it matches the candidate (which starts with `/`).
    #[must_use]
    pub fn matches(&self, candidate: &[u8], is_directory: bool) -> bool {
        let start = if self.is_anchored { Start::Beginning } else { Start::AnyComponent };
        (is_directory || !self.directories_only) && self.glob.matches(candidate, start)
    }

    /// The pattern as a line of a list of excludes: includes start with `!`.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        if self.effect == Effect::Include {
            line.push(b'!');
        }
        line.extend_from_slice(&self.text);
        if self.directories_only {
            line.push(b'/');
        }
        line
    }
}

trait TrimSlashes {
    fn trim_suffix_slashes(&self) -> &Self;
}

impl TrimSlashes for [u8] {
    fn trim_suffix_slashes(&self) -> &Self {
        let slashes = self.iter().rev().take_while(|byte| **byte == b'/').count();
        self.split_at(self.len() - slashes).0
    }
}

/// The pattern with `.` and `..` components resolved, which no candidate could ever match.
fn without_dots(text: &[u8]) -> Vec<u8> {
    let is_dots = |component: &[u8]| component == b"." || component == b"..";
    if !text.split(|byte| *byte == b'/').any(is_dots) {
        return text.to_vec();
    }
    let is_absolute = text.first() == Some(&b'/');
    let mut kept: Vec<&[u8]> = Vec::new();
    for component in text.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            component => kept.push(component),
        }
    }
    let mut out = if is_absolute { b"/".to_vec() } else { Vec::new() };
    out.extend_from_slice(&kept.join(&b'/'));
    out
}

/// Patterns of which the last that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternList {
    patterns: Vec<Pattern>,
}

impl PatternList {
    /// Parse patterns whose plain form has this effect.
    ///
    /// # Errors
    /// One of them is empty or malformed.
    pub fn parse<T: AsRef<[u8]>>(
        patterns: impl IntoIterator<Item = T>,
        plain: Effect,
    ) -> Result<Self, Error> {
        let patterns = patterns.into_iter().map(|pattern| Pattern::parse(pattern.as_ref(), plain));
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// Append a pattern, which decides before all earlier ones.
    pub fn push(&mut self, pattern: Pattern) {
        self.patterns.push(pattern);
    }

    /// Forget all patterns behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.patterns.truncate(len);
    }

    /// How many patterns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns in order.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.patterns.iter()
    }

    /// What the list says about a candidate (which starts with `/`); `None` if nothing matches.
    #[must_use]
    pub fn decide(&self, candidate: &[u8], is_directory: bool) -> Option<Effect> {
        let deciding =
            self.patterns.iter().rev().find(|pattern| pattern.matches(candidate, is_directory));
        deciding.map(Pattern::effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes(pattern: &str, candidate: &str, is_directory: bool) -> bool {
        let list = PatternList::parse([pattern], Effect::Exclude).unwrap();
        list.decide(candidate.as_bytes(), is_directory) == Some(Effect::Exclude)
    }

    #[test]
    fn suffixes_of_components_match() {
        assert!(excludes("foo", "/a/foo", false));
        assert!(excludes("a/foo", "/x/a/foo", false));
        assert!(!excludes("a/foo", "/xa/foo", false));
        assert!(excludes("/foo", "/foo", false));
        assert!(!excludes("/foo", "/a/foo", false));
        assert!(excludes("/a/**/x", "/a/b/c/x", false));
        assert!(excludes("*.o", "/a/b.o", false));
    }

    #[test]
    fn a_trailing_slash_means_directories() {
        assert!(excludes("foo/", "/foo", true));
        assert!(!excludes("foo/", "/foo", false));
        assert!(PatternList::parse(["/"], Effect::Exclude).is_err());
    }

    #[test]
    fn the_last_match_decides() {
        let list = PatternList::parse(["*.o", "!keep.o", "x/keep.o"], Effect::Exclude).unwrap();
        assert_eq!(list.decide(b"/a.o", false), Some(Effect::Exclude));
        assert_eq!(list.decide(b"/keep.o", false), Some(Effect::Include));
        assert_eq!(list.decide(b"/x/keep.o", false), Some(Effect::Exclude));
        assert_eq!(list.decide(b"/b", false), None);
        let lines: Vec<_> = list.iter().map(Pattern::to_line).collect();
        assert_eq!(lines, [&b"*.o"[..], b"!keep.o", b"x/keep.o"]);
    }

    #[test]
    fn lines_are_anchored_in_their_directory() {
        let line = Pattern::parse_line(b"/p", b"/d[1]").unwrap();
        assert!(line.matches(b"/d[1]/p", false));
        assert!(!line.matches(b"/d[1]/x/p", false));
        assert!(!line.matches(b"/x/d[1]/p", false));
        assert!(!line.matches(b"/d1/p", false));
        let line = Pattern::parse_line(b"!/p/", b"").unwrap();
        assert_eq!(line.effect(), Effect::Include);
        assert!(line.matches(b"/p", true));
        assert!(!line.matches(b"/p", false));
        assert!(!line.matches(b"/a/p", true));
        assert!(Pattern::parse_line(b"p", b"/d").unwrap().matches(b"/d/a/p", false));
    }

    #[test]
    fn dots_are_resolved() {
        assert!(excludes("./foo", "/foo", false));
        assert!(excludes("/a/../foo", "/foo", false));
        assert!(excludes("/../foo", "/foo", false));
        assert!(Pattern::parse(b".", Effect::Exclude).is_err());
    }
}
