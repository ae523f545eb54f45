//! Code 39 (ISO/IEC 16388): characters as bars and spaces.
//!
//! A character is five bars and the four spaces between them; three of the nine are wide. Between two
//! characters is a narrow space. `*` begins and ends. There is no check character on LTO labels.
//!
//! The code is a table of ten columns and four rows: the column says which two of the five bars are
//! wide, the row which of the four spaces.

/// Width of a wide element in narrow ones (LTO label specification).
pub(super) const WIDE: f32 = 2.75;

/// Which bars are wide, first bar in the highest of five bits.
const BARS: [u8; 10] =
    [0b10001, 0b01001, 0b11000, 0b00101, 0b10100, 0b01100, 0b00011, 0b10010, 0b01010, 0b00110];
/// Characters of each row, and which space is wide, first space in the highest of four bits.
const ROWS: [(&[u8; 10], u8); 4] = [
    (b"1234567890", 0b0100),
    (b"ABCDEFGHIJ", 0b0010),
    (b"KLMNOPQRST", 0b0001),
    (b"UVWXYZ-. *", 0b1000),
];

/// A bar, in narrow elements from the beginning of the code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    pub start: f32,
    pub width: f32,
}

/// The bars of a text with the `*` around it, and how wide the code is, in narrow elements. `None` if the
/// text has a character that labels don't have.
pub(super) fn bars(text: &str) -> Option<(Vec<Bar>, f32)> {
    let mut bars = Vec::new();
    let mut at = 0.0;
    for byte in format!("*{text}*").bytes() {
        let is_of_label = byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'*';
        let (wide_bars, wide_spaces) = pattern(byte).filter(|_| is_of_label)?;
        if at > 0.0 {
            // The gap between two characters.
            at += 1.0;
        }
        for element in 0..5u8 {
            let width = width(wide_bars, 4 - element);
            bars.push(Bar { start: at, width });
            at += width;
            if element < 4 {
                at += self::width(wide_spaces, 3 - element);
            }
        }
    }
    Some((bars, at))
}

fn width(wide: u8, bit: u8) -> f32 {
    if wide >> bit & 1 == 1 { WIDE } else { 1.0 }
}

fn pattern(byte: u8) -> Option<(u8, u8)> {
    ROWS.iter().find_map(|(characters, spaces)| {
        let column = characters.iter().position(|character| *character == byte)?;
        Some((*BARS.get(column)?, *spaces))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The same code written down another way: nine elements a character, bars and spaces in turn, `w`
    /// for wide.
    const ELEMENTS: [(char, &str); 37] = [
        ('0', "nnnwwnwnn"),
        ('1', "wnnwnnnnw"),
        ('2', "nnwwnnnnw"),
        ('3', "wnwwnnnnn"),
        ('4', "nnnwwnnnw"),
        ('5', "wnnwwnnnn"),
        ('6', "nnwwwnnnn"),
        ('7', "nnnwnnwnw"),
        ('8', "wnnwnnwnn"),
        ('9', "nnwwnnwnn"),
        ('A', "wnnnnwnnw"),
        ('B', "nnwnnwnnw"),
        ('C', "wnwnnwnnn"),
        ('D', "nnnnwwnnw"),
        ('E', "wnnnwwnnn"),
        ('F', "nnwnwwnnn"),
        ('G', "nnnnnwwnw"),
        ('H', "wnnnnwwnn"),
        ('I', "nnwnnwwnn"),
        ('J', "nnnnwwwnn"),
        ('K', "wnnnnnnww"),
        ('L', "nnwnnnnww"),
        ('M', "wnwnnnnwn"),
        ('N', "nnnnwnnww"),
        ('O', "wnnnwnnwn"),
        ('P', "nnwnwnnwn"),
        ('Q', "nnnnnnwww"),
        ('R', "wnnnnnwwn"),
        ('S', "nnwnnnwwn"),
        ('T', "nnnnwnwwn"),
        ('U', "wwnnnnnnw"),
        ('V', "nwwnnnnnw"),
        ('W', "wwwnnnnnn"),
        ('X', "nwnnwnnnw"),
        ('Y', "wwnnwnnnn"),
        ('Z', "nwwnwnnnn"),
        ('*', "nwnnwnwnn"),
    ];

    /// Reads bars as a scanner does: from the widths of bars and of spaces between them. `narrow` is the
    /// width of a narrow element.
    pub(in super::super) fn scan(bars: &[Bar], narrow: f32) -> String {
        let mut elements = String::new();
        for (number, bar) in bars.iter().enumerate() {
            if number > 0 {
                let before = bars[number - 1];
                elements.push(letter(bar.start - before.start - before.width, narrow));
            }
            elements.push(letter(bar.width, narrow));
        }
        let characters: Vec<char> = elements.chars().collect();
        // Nine elements and the gap behind them.
        let mut text = String::new();
        for character in characters.chunks(10) {
            assert!(character.get(9).is_none_or(|gap| *gap == 'n'), "the gap is narrow");
            let nine: String = character[..9].iter().collect();
            let found = ELEMENTS.iter().find(|(_, elements)| *elements == nine);
            text.push(found.unwrap_or_else(|| panic!("{nine} is no character")).0);
        }
        text
    }

    fn letter(width: f32, narrow: f32) -> char {
        match width / narrow {
            ratio if (ratio - 1.0).abs() < 0.02 => 'n',
            ratio if (ratio - 2.75).abs() < 0.02 => 'w',
            ratio => panic!("an element is {ratio} narrow ones wide"),
        }
    }

    #[test]
    fn bars_are_read_back_with_another_table() {
        for text in ["ABC001L8", "CLNU01CU", "0123456789", "ABCDEFGHIJKLM", "NOPQRSTUVWXYZ"] {
            let (bars, width) = bars(text).unwrap();
            assert_eq!(scan(&bars, 1.0), format!("*{text}*"));
            let characters = text.len() as f32 + 2.0;
            // Six narrow and three wide elements a character, and the gaps.
            assert_eq!(width, characters * (6.0 + 3.0 * WIDE) + characters - 1.0);
        }
        assert_eq!(bars("AB C"), None);
        assert_eq!(bars("AB*C"), bars("AB*C"));
        assert_eq!(bars("abc"), None);
        assert_eq!(bars("A-B"), None);
    }
}
