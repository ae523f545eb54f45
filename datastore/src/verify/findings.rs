//! What is wrong with one snapshot, bounded: a store that lost its chunks must not take the memory
//! of the machine with it.

/// Messages that are kept for one snapshot; the rest is only counted.
const MESSAGES_MAX: usize = 1000;

/// Errors found in a snapshot.
#[derive(Default)]
pub(super) struct Findings {
    /// With the place in the archive, by which they are put in order: threads find them in any.
    messages: Vec<(usize, usize, String)>,
    files: usize,
    count: u64,
    left_out: u64,
}

impl Findings {
    /// What follows is about the next file.
    pub(super) fn next_file(&mut self) {
        self.files += 1;
    }

    /// Adds something wrong with the snapshot as a whole.
    pub(super) fn add_general(&mut self, text: String) {
        self.push(0, text, 1);
    }

    /// Adds something wrong with a file, for chunks with their position in the index. `references`
    /// is how often the archive needs what is broken; each counts.
    pub(super) fn add(
        &mut self,
        filename: &str,
        position: Option<usize>,
        text: &str,
        references: u64,
    ) {
        let often =
            if references > 1 { format!(" ({references} references)") } else { String::new() };
        self.push(position.unwrap_or(0), format!("{filename}: {text}{often}"), references);
    }

    fn push(&mut self, position: usize, text: String, count: u64) {
        self.count += count;
        if self.messages.len() < MESSAGES_MAX {
            self.messages.push((self.files, position, text));
        } else {
            self.left_out += 1;
        }
    }

    /// The messages in order, and how many errors there were.
    pub(super) fn finish(mut self) -> (Vec<String>, u64) {
        self.messages.sort();
        let mut messages: Vec<String> =
            self.messages.into_iter().map(|(_, _, text)| text).collect();
        if self.left_out > 0 {
            messages.push(format!("and {} more like these", self.left_out));
        }
        (messages, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_in_order_and_bounded_and_all_are_counted() {
        let mut findings = Findings::default();
        findings.add_general("first".into());
        findings.next_file();
        findings.add("a", Some(7), "seven", 3);
        findings.add("a", Some(5), "five", 1);
        let (messages, count) = findings.finish();
        assert_eq!(messages, ["first", "a: five", "a: seven (3 references)"]);
        assert_eq!(count, 5);
        let mut findings = Findings::default();
        for number in 0..2500 {
            findings.add("a", Some(number), "x", 2);
        }
        let (messages, count) = findings.finish();
        assert_eq!((messages.len(), count), (1001, 5000));
        assert_eq!(messages[1000], "and 1500 more like these");
    }
}
