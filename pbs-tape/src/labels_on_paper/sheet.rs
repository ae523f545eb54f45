//! Where labels lie on a sheet. All sizes are in millimetres, from the top left corner.

use crate::error::{Error, Result};

/// Width of a label at most: the recess of the cartridge.
pub const LABEL_WIDTH_MAX_MM: f32 = 80.0;
/// Width below which there is no room for quiet zones of 5.25 mm beside the bars.
pub const LABEL_WIDTH_MIN_MM: f32 = 76.0;
/// Height at most.
pub const LABEL_HEIGHT_MAX_MM: f32 = 17.0;
/// Height below which there is no room for text above bars of 11.1 mm.
pub const LABEL_HEIGHT_MIN_MM: f32 = 15.0;

/// A sheet of labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sheet {
    /// Width of the paper.
    pub page_width_mm: f32,
    /// Height of the paper.
    pub page_height_mm: f32,
    /// Labels beside each other.
    pub columns: u32,
    /// Labels below each other.
    pub rows: u32,
    /// Width of a label.
    pub label_width_mm: f32,
    /// Height of a label.
    pub label_height_mm: f32,
    /// From the left edge of the paper to the first label.
    pub left_mm: f32,
    /// From the top edge of the paper to the first label.
    pub top_mm: f32,
    /// From label to label, side by side.
    pub pitch_x_mm: f32,
    /// From label to label, downwards.
    pub pitch_y_mm: f32,
}

impl Sheet {
    /// A4, two columns of 15, to be cut.
    pub const A4: Sheet = Sheet {
        page_width_mm: 210.0,
        page_height_mm: 297.0,
        columns: 2,
        rows: 15,
        label_width_mm: 79.0,
        label_height_mm: 17.0,
        left_mm: 21.0,
        top_mm: 14.0,
        pitch_x_mm: 89.0,
        pitch_y_mm: 18.0,
    };

    /// US Letter, two columns of 14, to be cut.
    pub const LETTER: Sheet = Sheet {
        page_width_mm: 215.9,
        page_height_mm: 279.4,
        columns: 2,
        rows: 14,
        label_width_mm: 79.0,
        label_height_mm: 17.0,
        left_mm: 23.95,
        top_mm: 14.2,
        pitch_x_mm: 89.0,
        pitch_y_mm: 18.0,
    };

    /// Labels on one page.
    pub fn labels(&self) -> u32 {
        self.columns.saturating_mul(self.rows)
    }

    /// Fails if labels would not be readable, lie on each other, or leave the paper.
    pub fn check(&self) -> Result<()> {
        let bad = |what: &'static str, value: f32, reason: String| {
            Err(Error::BadArgument { what, value: format!("{value}"), reason })
        };
        let sizes = [
            ("label width", self.label_width_mm, LABEL_WIDTH_MIN_MM, LABEL_WIDTH_MAX_MM),
            ("label height", self.label_height_mm, LABEL_HEIGHT_MIN_MM, LABEL_HEIGHT_MAX_MM),
        ];
        for (what, value, min, max) in sizes {
            // Written so that NaN fails.
            if !(min..=max).contains(&value) {
                return bad(what, value, format!("it must be {min} to {max} mm"));
            }
        }
        let axes = [
            (
                "left",
                self.left_mm,
                self.columns,
                self.pitch_x_mm,
                self.label_width_mm,
                self.page_width_mm,
            ),
            (
                "top",
                self.top_mm,
                self.rows,
                self.pitch_y_mm,
                self.label_height_mm,
                self.page_height_mm,
            ),
        ];
        for (what, margin, count, pitch, label, page) in axes {
            if count == 0 {
                return bad(what, 0.0, "there is no label on the sheet".into());
            }
            if count > 1 && !(pitch >= label && pitch.is_finite()) {
                return bad(
                    "pitch",
                    pitch,
                    format!("labels of {label} mm would lie on each other"),
                );
            }
            let end = margin + (count - 1) as f32 * pitch + label;
            // A hair for sheets whose margins were rounded.
            if !(margin >= 0.0 && end <= page + 0.01) {
                return bad(
                    what,
                    margin,
                    format!("{count} labels end at {end:.1} mm, on paper of {page} mm"),
                );
            }
        }
        Ok(())
    }

    /// Top left corner of a label, by its number on the page: row by row.
    pub(super) fn place(&self, number: u32) -> (f32, f32) {
        let (row, column) = (number / self.columns.max(1), number % self.columns.max(1));
        (self.left_mm + column as f32 * self.pitch_x_mm, self.top_mm + row as f32 * self.pitch_y_mm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_that_cannot_be_printed_are_refused() {
        Sheet::A4.check().unwrap();
        Sheet::LETTER.check().unwrap();
        let wrong = |change: fn(&mut Sheet), what: &str| {
            let mut sheet = Sheet::A4;
            change(&mut sheet);
            let error = sheet.check().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        wrong(|s| s.columns = 0, "no label");
        wrong(|s| s.columns = 3, "end at 278.0 mm");
        wrong(|s| s.rows = 17, "on paper of 297 mm");
        wrong(|s| s.pitch_y_mm = 16.0, "lie on each other");
        wrong(|s| s.pitch_x_mm = f32::NAN, "lie on each other");
        wrong(|s| s.label_width_mm = 70.0, "76 to 80 mm");
        wrong(|s| s.label_height_mm = f32::NAN, "15 to 17 mm");
        wrong(|s| s.left_mm = -1.0, "left");
        wrong(|s| s.top_mm = f32::INFINITY, "top");
        wrong(|s| s.rows = u32::MAX, "top");
    }

    #[test]
    fn labels_follow_row_by_row() {
        let places: Vec<_> = (0..3).map(|number| Sheet::A4.place(number)).collect();
        assert_eq!(places, [(21.0, 14.0), (110.0, 14.0), (21.0, 32.0)]);
    }
}
