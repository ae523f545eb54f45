//! Months as grids, side by side: each day shows what of it stays.
//!
//! ```text
//!              March 2024
//! wk Mon Tue Wed Thu Fri Sat Sun
//!  9                   1·  2·  3w
//! 10   4·  5·  6·  7·  8d  9d 10l
//! ```

use std::collections::{BTreeMap, BTreeSet};

use datastore::prune::{Mark, Rule};
use jiff::civil::Date;

/// Blanks between two months.
const GAP: usize = 3;
/// Width of the column of week numbers.
const WEEK_WIDTH: usize = 2;
/// Months without anything that stays are shown up to this number in a row.
const EMPTY_MONTHS_MAX: usize = 1;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];

/// What becomes of the snapshots of one day.
#[derive(Debug, Default)]
struct Day {
    /// How many stay, by letter in the order of the rules.
    kept: BTreeMap<usize, u64>,
    removed: u64,
}

/// The letters in the order in which a day shows them, and what they mean.
const LETTERS: [(char, &str); 9] = [
    ('l', "last"),
    ('h', "hourly"),
    ('d', "daily"),
    ('w', "weekly"),
    ('m', "monthly"),
    ('y', "yearly"),
    ('p', "protected"),
    ('u', "unfinished, but the newest"),
    ('k', "kept, there is no rule"),
];

fn letter_of(mark: Mark) -> Option<usize> {
    Some(match mark {
        Mark::Keep(Some(Rule::Last)) => 0,
        Mark::Keep(Some(Rule::Hourly)) => 1,
        Mark::Keep(Some(Rule::Daily)) => 2,
        Mark::Keep(Some(Rule::Weekly)) => 3,
        Mark::Keep(Some(Rule::Monthly)) => 4,
        Mark::Keep(Some(Rule::Yearly)) => 5,
        Mark::Protected => 6,
        Mark::KeepPartial => 7,
        Mark::Keep(None) => 8,
        Mark::Remove(_) => return None,
    })
}

impl Day {
    /// `d`, `l3h12`, or a dot if nothing of the day stays.
    fn text(&self) -> String {
        if self.kept.is_empty() {
            return if self.removed > 0 { "·".into() } else { String::new() };
        }
        let mut text = String::new();
        for (letter, count) in &self.kept {
            text.extend(LETTERS.get(*letter).map(|(letter, _)| letter));
            if *count > 1 {
                text.push_str(&count.to_string());
            }
        }
        text
    }
}

/// Days with their snapshots.
#[derive(Debug, Default)]
pub struct Calendar {
    days: BTreeMap<Date, Day>,
}

impl Calendar {
    /// Adds a snapshot with its local date.
    pub fn add(&mut self, date: Date, mark: Mark) {
        let day = self.days.entry(date).or_default();
        match letter_of(mark) {
            Some(letter) => *day.kept.entry(letter).or_default() += 1,
            None => day.removed += 1,
        }
    }

    /// The months from the first to the last, as many side by side as fit into `width` columns.
    /// Months of which nothing stays are told in one line if there are several in a row.
    pub fn render(&self, width: usize) -> String {
        let Some((first, _)) = self.days.first_key_value() else { return String::new() };
        let Some((last, _)) = self.days.last_key_value() else { return String::new() };
        let mut months = Vec::new();
        let mut month = first.first_of_month();
        while month <= last.first_of_month() {
            months.push(month);
            let Ok(next) = month.checked_add(jiff::Span::new().months(1)) else { break };
            month = next;
        }
        let mark_width =
            self.days.values().map(|day| day.text().chars().count()).max().unwrap_or(1).max(1);
        let grid_width = WEEK_WIDTH + DAYS.len() * (mark_width + 3);
        let abreast = ((width + GAP) / (grid_width + GAP)).max(1);

        let mut text = String::new();
        let mut row: Vec<Vec<String>> = Vec::new();
        for run in months.chunk_by(|left, right| self.keeps(*left) == self.keeps(*right)) {
            let is_empty = run.first().is_some_and(|month| !self.keeps(*month));
            if is_empty && run.len() > EMPTY_MONTHS_MAX {
                flush(&mut row, grid_width, &mut text);
                text.push_str(&self.empty_months(run));
                continue;
            }
            for month in run {
                row.push(self.grid(*month, mark_width));
                if row.len() == abreast {
                    flush(&mut row, grid_width, &mut text);
                }
            }
        }
        flush(&mut row, grid_width, &mut text);
        text
    }

    /// What the letters in this calendar mean.
    pub fn legend(&self) -> String {
        let used: BTreeSet<usize> =
            self.days.values().flat_map(|day| day.kept.keys().copied()).collect();
        let letters = used.iter().filter_map(|letter| LETTERS.get(*letter));
        let mut meanings: Vec<String> =
            letters.map(|(letter, meaning)| format!("{letter} {meaning}")).collect();
        if self.days.values().any(|day| day.kept.is_empty()) {
            meanings.push("· all of that day go".into());
        }
        meanings.join(", ")
    }

    fn of_month(&self, month: Date) -> impl Iterator<Item = &Day> {
        self.days.range(month..=month.last_of_month()).map(|(_, day)| day)
    }

    fn keeps(&self, month: Date) -> bool {
        self.of_month(month).any(|day| !day.kept.is_empty())
    }

    fn empty_months(&self, run: &[Date]) -> String {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return String::new() };
        let going: u64 =
            run.iter().flat_map(|month| self.of_month(*month)).map(|d| d.removed).sum();
        format!("{} to {}: nothing stays, {going} go\n\n", title(*first), title(*last))
    }

    fn grid(&self, month: Date, mark_width: usize) -> Vec<String> {
        let cell_width = mark_width + 3;
        let width = WEEK_WIDTH + DAYS.len() * cell_width;
        let mut lines = vec![format!("{:^width$}", title(month))];
        let mut header = format!("{:>WEEK_WIDTH$}", "wk");
        for day in DAYS {
            header.push_str(&format!(" {day:<0$}", cell_width - 1));
        }
        lines.push(header);
        let mut line = String::new();
        for date in
            month.series(jiff::Span::new().days(1)).take_while(|d| d.month() == month.month())
        {
            let column = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
            if line.is_empty() || column == 0 {
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                line = format!("{:>WEEK_WIDTH$}", date.iso_week_date().week());
                line.push_str(&" ".repeat(column * cell_width));
            }
            let text = self.days.get(&date).map(Day::text).unwrap_or_default();
            line.push_str(&format!(" {:>2}{text:<mark_width$}", date.day()));
        }
        lines.push(line);
        lines
    }
}

fn title(month: Date) -> String {
    let index = usize::try_from(month.month() - 1).unwrap_or(0);
    format!("{} {}", MONTHS.get(index).copied().unwrap_or_default(), month.year())
}

/// Writes the grids of one row and a blank line.
fn flush(row: &mut Vec<Vec<String>>, width: usize, text: &mut String) {
    let height = row.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..height {
        let mut line = String::new();
        for (place, grid) in row.iter().enumerate() {
            let cell = grid.get(number).map_or("", String::as_str);
            let gap = if place == 0 { 0 } else { GAP };
            line.push_str(&format!("{:gap$}{cell:<width$}", ""));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if height > 0 {
        text.push('\n');
    }
    row.clear();
}

#[cfg(test)]
mod tests {
    use datastore::prune::Reason;

    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_is_a_grid_of_weeks() {
        let mut calendar = Calendar::default();
        calendar.add(date("2024-02-28"), Mark::Keep(Some(Rule::Monthly)));
        calendar.add(date("2024-03-03"), Mark::Keep(Some(Rule::Weekly)));
        calendar.add(date("2024-03-04"), Mark::Remove(Reason::Unneeded));
        calendar.add(date("2024-03-09"), Mark::Keep(Some(Rule::Daily)));
        calendar.add(date("2024-03-10"), Mark::Keep(Some(Rule::Hourly)));
        calendar.add(date("2024-03-10"), Mark::Keep(Some(Rule::Last)));
        calendar.add(date("2024-03-10"), Mark::Keep(Some(Rule::Last)));
        calendar.add(date("2024-03-10"), Mark::Remove(Reason::Unneeded));
        let wanted = "\
wk Mo    Tu    We    Th    Fr    Sa    Su
 9                          1     2     3w
10  4·    5     6     7     8     9d   10l2h
11 11    12    13    14    15    16    17
12 18    19    20    21    22    23    24
13 25    26    27    28    29    30    31

";
        assert_eq!(
            calendar.legend(),
            "l last, h hourly, d daily, w weekly, m monthly, · all of that day go"
        );
        let text = calendar.render(60);
        let march = text.split_once("\n\n").unwrap().1;
        let (title, grid) = march.split_once('\n').unwrap();
        assert_eq!(title, format!("{:17}March 2024", ""));
        assert_eq!(grid, wanted, "\n{text}");
        assert!(text.starts_with(&format!("{:15}February 2024\n", "")), "{text}");
        // Two fit beside each other.
        let wide = calendar.render(95);
        assert!(wide.lines().next().unwrap().ends_with("March 2024"), "{wide}");
        assert!(wide.lines().all(|line| line.chars().count() <= 95), "{wide}");
        assert_eq!(wide.lines().count(), 8);
    }

    #[test]
    fn empty_months_take_one_line() {
        let mut calendar = Calendar::default();
        assert_eq!(calendar.render(80), "");
        calendar.add(date("2022-12-31"), Mark::Keep(Some(Rule::Yearly)));
        for month in 1..=12 {
            calendar.add(Date::new(2023, month, 5).unwrap(), Mark::Remove(Reason::Unneeded));
        }
        calendar.add(date("2024-01-01"), Mark::Protected);
        let text = calendar.render(80);
        assert!(text.contains("January 2023 to December 2023: nothing stays, 12 go\n"), "{text}");
        assert!(text.contains("31y") && text.contains(" 1p"), "{text}");
    }
}
