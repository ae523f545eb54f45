//! Globs over bytes, compiled once and matched in time proportional to pattern times path.
//!
//! | token            | meaning                                                                     |
//! |------------------|-----------------------------------------------------------------------------|
//! | `?`              | one byte, not `/`                                                           |
//! | `*`              | any run of bytes without `/`                                                |
//! | `**`             | any run of bytes, if it stands alone between slashes or the pattern's ends; else `*` |
//! | `[...]` `[^...]` | one byte (not `/`) of a class: bytes, ranges, `[:alpha:]` and its sisters   |
//! | `\x`             | `x` itself                                                                  |

/// A set of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    AnyByte,
    AnyRun,
    AnyPath,
    Class(ByteSet),
}

/// A compiled glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    tokens: Vec<Token>,
    /// The bytes every match ends with: most candidates fail here, before anything else is tried.
    tail: Vec<u8>,
}

/// Where in a candidate a match may begin; it always ends at the candidate's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At its beginning.
    Beginning,
    /// At its beginning or right behind any slash.
    AnyComponent,
}

impl Glob {
    pub(super) fn parse(pattern: &[u8]) -> Result<Self, &'static str> {
        if pattern.is_empty() {
            return Err("is empty");
        }
        let mut tokens = Vec::new();
        let mut rest = pattern;
        let mut previous = b'/';
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            let token = match *first {
                0 => return Err("contains a NUL byte"),
                b'?' => Token::AnyByte,
                b'*' => {
                    let more = rest.iter().take_while(|byte| **byte == b'*').count();
                    rest = rest.split_at(more).1;
                    let is_alone =
                        previous == b'/' && rest.first().is_none_or(|byte| *byte == b'/');
                    if more > 0 && is_alone { Token::AnyPath } else { Token::AnyRun }
                }
                b'\\' => {
                    let Some((escaped, behind)) = rest.split_first() else {
                        return Err("ends with a backslash");
                    };
                    rest = behind;
                    if *escaped == 0 {
                        return Err("contains a NUL byte");
                    }
                    Token::Byte(*escaped)
                }
                b'[' => {
                    let (class, behind) = parse_class(rest)?;
                    rest = behind;
                    Token::Class(class)
                }
                byte => Token::Byte(byte),
            };
            previous = *first;
            tokens.push(token);
        }
        let tail = tokens.iter().rev().map_while(|token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        });
        let mut tail: Vec<u8> = tail.collect();
        tail.reverse();
        Ok(Self { tokens, tail })
    }

    /// Whether the glob matches from an allowed start to the end of the candidate.
    ///
    /// Simulates all ways to match at once, so that no pattern can make it slow: `active[i]` says that
    /// the first `i` tokens match what was read.
    pub(super) fn matches(&self, candidate: &[u8], start: Start) -> bool {
        if !candidate.ends_with(&self.tail) {
            return false;
        }
        let mut active = vec![false; self.tokens.len() + 1];
        let mut next = active.clone();
        let mut previous = None;
        for byte in candidate {
            if previous.is_none() || (start == Start::AnyComponent && previous == Some(b'/')) {
                self.activate(&mut active, 0);
            }
            next.fill(false);
            for (index, token) in self.tokens.iter().enumerate() {
                if !active.get(index).is_some_and(|is_active| *is_active) {
                    continue;
                }
                let is_slash = *byte == b'/';
                match token {
                    Token::Byte(wanted) if wanted == byte => self.activate(&mut next, index + 1),
                    Token::AnyByte if !is_slash => self.activate(&mut next, index + 1),
                    Token::Class(class) if !is_slash && class.contains(*byte) => {
                        self.activate(&mut next, index + 1);
                    }
                    Token::AnyRun if !is_slash => self.activate(&mut next, index),
                    Token::AnyPath => self.activate(&mut next, index),
                    _ => {}
                }
            }
            std::mem::swap(&mut active, &mut next);
            previous = Some(*byte);
        }
        active.last().is_some_and(|is_active| *is_active)
    }

    /// Mark a state and those reachable from it without reading a byte.
    fn activate(&self, states: &mut [bool], from: usize) {
        let mut index = from;
        while let Some(state) = states.get_mut(index) {
            *state = true;
            match self.tokens.get(index) {
                Some(Token::AnyRun | Token::AnyPath) => index += 1,
                _ => break,
            }
        }
    }
}

/// A class behind its opening bracket; also what follows its closing one.
fn parse_class(pattern: &[u8]) -> Result<(ByteSet, &[u8]), &'static str> {
    const UNCLOSED: &str = "has a class without closing bracket";
    let mut set = ByteSet([0; 4]);
    let (is_negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut is_first = true;
    loop {
        let Some((first, behind)) = rest.split_first() else { return Err(UNCLOSED) };
        rest = behind;
        let low = match *first {
            0 => return Err("contains a NUL byte"),
            b']' if !is_first => break,
            b'[' if rest.first() == Some(&b':') => {
                let name = rest.split_at(1).1;
                let end = name.windows(2).position(|pair| pair == b":]");
                let Some(end) = end else { return Err("has a malformed named class") };
                let (name, behind) = name.split_at(end);
                let Some(belongs) = named_class(name) else {
                    return Err("has a malformed named class");
                };
                (0..=255).filter(belongs).for_each(|byte| set.insert(byte));
                rest = behind.split_at(2).1;
                is_first = false;
                continue;
            }
            b'\\' => {
                let Some((escaped, behind)) = rest.split_first() else { return Err(UNCLOSED) };
                rest = behind;
                *escaped
            }
            byte => byte,
        };
        is_first = false;
        match rest {
            [b'-', high, behind @ ..] if *high != b']' => {
                if *high < low {
                    return Err("has a range that runs backwards");
                }
                (low..=*high).for_each(|byte| set.insert(byte));
                rest = behind;
            }
            _ => set.insert(low),
        }
    }
    if is_negated {
        set.0 = set.0.map(|word| !word);
    }
    Ok((set, rest))
}

fn named_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| byte.is_ascii_graphic() || *byte == b' ',
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| byte.is_ascii_whitespace() || *byte == 0x0b,
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, candidate: &str) -> bool {
        Glob::parse(pattern.as_bytes()).unwrap().matches(candidate.as_bytes(), Start::Beginning)
    }

    #[test]
    fn tokens() {
        for (pattern, yes, no) in [
            ("abc", "abc", "abcd"),
            ("a?c", "abc", "a/c"),
            ("a*c", "ac", "ab/c"),
            ("a*c", "abbbc", "abbb"),
            ("a/**", "a/b/c", "b/a"),
            ("**/c", "a/b/c", "c"),
            ("a/**/d", "a/b/c/d", "a/d"),
            ("a**", "abc", "a/b"),
            ("**a", "bba", "b/a"),
            ("[abc]x", "bx", "dx"),
            ("[^abc]x", "dx", "bx"),
            ("[^abc]x", "]x", "/x"),
            ("[]a]x", "]x", "bx"),
            ("[a-c]x", "bx", "dx"),
            ("[a-]x", "-x", "bx"),
            ("[[:digit:]_]x", "5x", "ax"),
            ("[^[:upper:]]x", "ax", "Ax"),
            ("\\*x", "*x", "ax"),
            ("[\\]]x", "]x", "\\x"),
            ("*.*.o", "a.b.o", "a.o"),
            ("*a*b*c", "xaxbxc", "xbxaxc"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn mistakes() {
        for bad in ["", "a\0", "a\\", "[a", "[", "[^", "[[:foo:]]", "[[:alpha", "[z-a]", "[]"] {
            assert!(Glob::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn all_starts() {
        let glob = Glob::parse(b"a/b").unwrap();
        assert!(glob.matches(b"/x/a/b", Start::AnyComponent));
        assert!(!glob.matches(b"/xa/b", Start::AnyComponent));
        assert!(!glob.matches(b"/x/a/b", Start::Beginning));
    }

    /// The obvious, exponential matcher.
    fn slow(tokens: &[Token], text: &[u8]) -> bool {
        match (tokens.split_first(), text.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Token::AnyPath, rest)), _) => {
                (0..=text.len()).any(|skip| slow(rest, &text[skip..]))
            }
            (Some((Token::AnyRun, rest)), _) => (0..=text.len())
                .take_while(|skip| !text[..*skip].contains(&b'/'))
                .any(|skip| slow(rest, &text[skip..])),
            (Some(_), None) => false,
            (Some((Token::Byte(wanted), rest)), Some((byte, text))) => {
                wanted == byte && slow(rest, text)
            }
            (Some((Token::AnyByte, rest)), Some((byte, text))) => *byte != b'/' && slow(rest, text),
            (Some((Token::Class(set), rest)), Some((byte, text))) => {
                *byte != b'/' && set.contains(*byte) && slow(rest, text)
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_matcher(
            pattern in "[ab*?/]{1,7}",
            candidate in "[ab/]{0,8}",
        ) {
            let glob = Glob::parse(pattern.as_bytes()).unwrap();
            prop_assert_eq!(
                glob.matches(candidate.as_bytes(), Start::Beginning),
                slow(&glob.tokens, candidate.as_bytes()) && !candidate.is_empty()
            );
        }

        #[test]
        fn any_bytes_are_a_pattern_or_an_error(pattern: Vec<u8>, candidate: Vec<u8>) {
            if let Ok(glob) = Glob::parse(&pattern) {
                glob.matches(&candidate, Start::AnyComponent);
            }
        }
    }
}
