//! Drawing labels: text on coloured fields above, bars below.
//!
//! ```text
//! ┌───────────────────────────────┐
//! │ [A] [B] [C] [0] [0] [1]  [L8] │  fields with the text
//! │      ▌▌ ▌▌▌ ▌▌ ▌ ▌▌▌ ▌▌       │  bars, 11.1 mm, in the middle; white beside them
//! └───────────────────────────────┘
//! ```
//!
//! The font is one that every viewer and printer has (Courier Bold, a fixed width of 0.6), so nothing
//! has to be embedded.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};

use super::code39::bars;
use super::sheet::Sheet;
use super::text::LabelText;
use crate::error::{Error, Result};

/// Width of a narrow bar or space: 0.017 inch.
const NARROW_MM: f32 = 0.4318;
/// Height of the bars.
const BAR_HEIGHT_MM: f32 = 11.1;
/// From the lower edge of the label to the bars.
const BAR_BOTTOM_MM: f32 = 0.4;
/// From the bars to the fields, and from the fields to the edges.
const FIELD_GAP_MM: f32 = 0.4;
/// The field of the media identifier is so much wider than the others.
const MEDIUM_FIELD_WIDTH: f32 = 1.5;
const VOLUME_FIELDS: f32 = 6.0;
const FONT: Name<'static> = Name(b"F1");
/// Width of each character as a part of the font's size.
const FONT_ADVANCE: f32 = 0.6;
/// Height of capital letters likewise. Viewers take other fonts of this width, with letters as high as
/// 0.73.
const FONT_CAPITALS: f32 = 0.65;
const FONT_CAPITALS_MAX: f32 = 0.73;
const POINTS_PER_MM: f32 = 72.0 / 25.4;
/// Lines at which to cut.
const CUT_LINE_WIDTH_POINTS: f32 = 0.25;
const CUT_LINE_GREY: f32 = 0.6;

/// What the fields of the text look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colours {
    /// Digits have the colours that labels of this kind usually have, letters are on white.
    #[default]
    Digits,
    /// Black on white.
    None,
}

/// Red, green and blue of the field of each digit: red, yellow, light green, sky blue, grey, orange,
/// pink, green, light orange, violet. All are light enough for black text.
const DIGIT_COLOURS: [[f32; 3]; 10] = [
    [0.93, 0.25, 0.22],
    [1.00, 0.94, 0.20],
    [0.62, 0.86, 0.30],
    [0.33, 0.75, 0.95],
    [0.70, 0.71, 0.73],
    [0.97, 0.55, 0.15],
    [0.97, 0.55, 0.75],
    [0.28, 0.68, 0.33],
    [1.00, 0.75, 0.40],
    [0.70, 0.50, 0.85],
];

/// A PDF with a label for each text, on as many pages as needed. The first `skip` places stay empty: a
/// sheet of which some labels are used goes into the printer again. `cut_lines` draws a frame around
/// each label.
pub fn barcode_sheet(
    texts: &[LabelText],
    sheet: &Sheet,
    colours: Colours,
    skip: u32,
    cut_lines: bool,
) -> Result<Vec<u8>> {
    sheet.check()?;
    let per_page = sheet.labels();
    if skip >= per_page {
        return Err(Error::BadArgument {
            what: "number of places to skip",
            value: skip.to_string(),
            reason: format!("a page has {per_page} labels"),
        });
    }
    let mut pages: Vec<Content> = Vec::new();
    for (place, text) in (skip..).zip(texts) {
        let (page, place) = ((place / per_page) as usize, place % per_page);
        while pages.len() <= page {
            pages.push(Content::new());
        }
        if let Some(content) = pages.get_mut(page) {
            Label { content, sheet, origin: sheet.place(place) }.draw(text, colours, cut_lines)?;
        }
    }
    Ok(document(pages, sheet))
}

/// One label on a page.
struct Label<'a> {
    content: &'a mut Content,
    sheet: &'a Sheet,
    /// Its top left corner on the paper.
    origin: (f32, f32),
}

impl Label<'_> {
    fn draw(&mut self, text: &LabelText, colours: Colours, cut_lines: bool) -> Result<()> {
        let (width, height) = (self.sheet.label_width_mm, self.sheet.label_height_mm);
        if cut_lines {
            self.content.set_stroke_gray(CUT_LINE_GREY).set_line_width(CUT_LINE_WIDTH_POINTS);
            self.rect(0.0, 0.0, width, height);
            self.content.stroke();
        }
        self.fields(text, colours);
        let (bars, code_width) = bars(text.as_str()).ok_or_else(|| Error::BadArgument {
            what: "label text",
            value: text.to_string(),
            reason: "it can't be written as Code 39".into(),
        })?;
        let left = (width - code_width * NARROW_MM) / 2.0;
        let top = height - BAR_BOTTOM_MM - BAR_HEIGHT_MM;
        self.content.set_fill_gray(0.0);
        for bar in bars {
            let at = left + bar.start * NARROW_MM;
            self.rect(at, top, bar.width * NARROW_MM, BAR_HEIGHT_MM);
        }
        self.content.fill_nonzero();
        Ok(())
    }

    fn fields(&mut self, text: &LabelText, colours: Colours) {
        let width = self.sheet.label_width_mm - 2.0 * FIELD_GAP_MM;
        let height =
            self.sheet.label_height_mm - BAR_BOTTOM_MM - BAR_HEIGHT_MM - 2.0 * FIELD_GAP_MM;
        let unit = width / (VOLUME_FIELDS + MEDIUM_FIELD_WIDTH);
        let mut left = FIELD_GAP_MM;
        for character in text.volume().chars() {
            let digit = character.to_digit(10).and_then(|digit| DIGIT_COLOURS.get(digit as usize));
            if let (Colours::Digits, Some([red, green, blue])) = (colours, digit) {
                self.content.set_fill_rgb(*red, *green, *blue);
                self.rect(left, FIELD_GAP_MM, unit, height);
                self.content.fill_nonzero();
            }
            self.text(&character.to_string(), (left, unit), (FIELD_GAP_MM, height));
            left += unit;
        }
        self.text(text.medium(), (left, MEDIUM_FIELD_WIDTH * unit), (FIELD_GAP_MM, height));
    }

    /// Text in the middle of a field, given by its left edge and width, and top edge and height.
    fn text(&mut self, text: &str, (left, width): (f32, f32), (top, height): (f32, f32)) {
        // Capitals as high as the field allows, with a little air.
        let size = 0.9 * height / FONT_CAPITALS_MAX;
        let text_width = size * FONT_ADVANCE * text.len() as f32;
        let x = left + (width - text_width) / 2.0;
        let baseline = top + (height + size * FONT_CAPITALS) / 2.0;
        let (x, y) = self.point(x, baseline);
        self.content.set_fill_gray(0.0);
        self.content
            .begin_text()
            .set_font(FONT, size * POINTS_PER_MM)
            .next_line(x, y)
            .show(Str(text.as_bytes()))
            .end_text();
    }

    /// A rectangle by its top left corner in the label.
    fn rect(&mut self, left: f32, top: f32, width: f32, height: f32) {
        let (x, y) = self.point(left, top + height);
        self.content.rect(x, y, width * POINTS_PER_MM, height * POINTS_PER_MM);
    }

    /// PDF counts from the lower edge of the paper, in points.
    fn point(&self, left: f32, top: f32) -> (f32, f32) {
        let (origin_left, origin_top) = self.origin;
        (
            (origin_left + left) * POINTS_PER_MM,
            (self.sheet.page_height_mm - origin_top - top) * POINTS_PER_MM,
        )
    }
}

fn document(pages: Vec<Content>, sheet: &Sheet) -> Vec<u8> {
    const CATALOG: Ref = Ref::new(1);
    const PAGES: Ref = Ref::new(2);
    const FONT_OBJECT: Ref = Ref::new(3);
    const FIRST_PAGE: i32 = 4;
    let page_count = i32::try_from(pages.len()).unwrap_or(i32::MAX);
    let page_refs = (0..page_count).map(|number| Ref::new(FIRST_PAGE + 2 * number));
    let mut pdf = Pdf::new();
    let mut catalog = pdf.catalog(CATALOG);
    catalog.pages(PAGES);
    // Printers' dialogues like to shrink pages, which makes bars too narrow.
    catalog.viewer_preferences().pair(Name(b"PrintScaling"), Name(b"None"));
    catalog.finish();
    pdf.pages(PAGES).kids(page_refs.clone()).count(page_count);
    pdf.type1_font(FONT_OBJECT).base_font(Name(b"Courier-Bold"));
    let media_box = Rect::new(
        0.0,
        0.0,
        sheet.page_width_mm * POINTS_PER_MM,
        sheet.page_height_mm * POINTS_PER_MM,
    );
    for (page, content) in page_refs.zip(pages) {
        let content_ref = Ref::new(page.get() + 1);
        let mut object = pdf.page(page);
        object.parent(PAGES).media_box(media_box).contents(content_ref);
        object.resources().fonts().pair(FONT, FONT_OBJECT);
        object.finish();
        pdf.stream(content_ref, &content.finish());
    }
    pdf.finish()
}

#[cfg(test)]
mod tests {
    use super::super::code39::{Bar, tests::scan};
    use super::*;

    fn texts(texts: &[&str]) -> Vec<LabelText> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The black rectangles of a finished PDF that are as high as bars, page by page: left, bottom, width.
    fn drawn_bars(pdf: &[u8]) -> Vec<Vec<[f32; 3]>> {
        let text = String::from_utf8_lossy(pdf);
        let pages = text.split("stream\n").filter(|part| part.contains(" re\n"));
        pages
            .map(|page| {
                let mut fill = String::new();
                let mut bars = Vec::new();
                for line in page.lines() {
                    if line.ends_with(" g") || line.ends_with(" rg") {
                        fill = line.to_owned();
                    }
                    let Some(numbers) = line.strip_suffix(" re") else { continue };
                    let numbers: Vec<f32> =
                        numbers.split(' ').map(|number| number.parse().unwrap()).collect();
                    if (numbers[3] - BAR_HEIGHT_MM * POINTS_PER_MM).abs() < 0.001 {
                        assert_eq!(fill, "0 g", "bars are black");
                        bars.push([numbers[0], numbers[1], numbers[2]]);
                    }
                }
                bars
            })
            .collect()
    }

    /// Reads the labels of a page as a scanner that is moved from left to right over each row.
    fn scanned(bars: &[[f32; 3]]) -> Vec<(String, f32, f32)> {
        bars.chunk_by(|a, b| a[1] == b[1] && b[0] - a[0] < 20.0)
            .map(|label| {
                let bars: Vec<Bar> = label
                    .iter()
                    .map(|[start, _, width]| Bar { start: *start, width: *width })
                    .collect();
                let (first, last) = (label[0], label[label.len() - 1]);
                let text = scan(&bars, NARROW_MM * POINTS_PER_MM);
                (text, first[0] / POINTS_PER_MM, (last[0] + last[2]) / POINTS_PER_MM)
            })
            .collect()
    }

    #[test]
    fn the_finished_pdf_is_scanned_with_another_table() {
        let from: LabelText = "ABC001L8".parse().unwrap();
        let wanted = from.series(70).unwrap();
        for (sheet, per_page) in [(Sheet::A4, 30), (Sheet::LETTER, 28)] {
            let pdf = barcode_sheet(&wanted, &sheet, Colours::Digits, 3, true).unwrap();
            let pages = drawn_bars(&pdf);
            assert_eq!(pages.len(), 73usize.div_ceil(per_page));
            let labels: Vec<_> = pages.iter().flat_map(|page| scanned(page)).collect();
            let expected: Vec<String> = wanted.iter().map(|text| format!("*{text}*")).collect();
            assert_eq!(labels.iter().map(|(text, ..)| text.clone()).collect::<Vec<_>>(), expected);
            for (number, (text, left, right)) in labels.iter().enumerate() {
                let (label_left, _) = sheet.place((number + 3) as u32 % sheet.labels());
                let quiet = (left - label_left, label_left + sheet.label_width_mm - right);
                assert!(quiet.0 > 5.25 && quiet.1 > 5.25, "{text}: quiet zones of {quiet:?} mm");
            }
        }
    }

    #[test]
    fn every_digit_has_its_colour_and_letters_have_none() {
        let pdf = |colours| {
            let texts = texts(&["A01234L8", "B56789L8"]);
            let bytes = barcode_sheet(&texts, &Sheet::A4, colours, 0, false).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let coloured = pdf(Colours::Digits);
        assert_eq!(coloured.lines().filter(|line| line.ends_with(" rg")).count(), 10);
        assert_eq!(pdf(Colours::None).lines().filter(|line| line.ends_with(" rg")).count(), 0);
        for character in ["(A) Tj", "(0) Tj", "(9) Tj", "(L8) Tj"] {
            assert!(coloured.contains(character), "{character}");
        }
        // Black text can be read on each (relative luminance of WCAG; 4.5:1 is enough).
        for [red, green, blue] in DIGIT_COLOURS {
            let linear = |part: f32| ((part + 0.055) / 1.055).powf(2.4);
            let light = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
            assert!((light + 0.05) / 0.05 > 4.5, "{red} {green} {blue}");
        }
    }

    #[test]
    fn the_smallest_label_has_room_for_all_of_it() {
        let mut sheet = Sheet::A4;
        (sheet.label_width_mm, sheet.label_height_mm) = (76.0, 15.0);
        let pdf = barcode_sheet(&texts(&["ABC001L8"]), &sheet, Colours::Digits, 0, false).unwrap();
        let (text, left, right) = scanned(&drawn_bars(&pdf)[0]).remove(0);
        assert_eq!(text, "*ABC001L8*");
        assert!(left - 21.0 > 5.0 && 21.0 + 76.0 - right > 5.0);
    }

    #[test]
    fn what_does_not_fit_on_a_page_is_refused() {
        let error = barcode_sheet(&texts(&["ABC001L8"]), &Sheet::A4, Colours::None, 30, false);
        assert!(error.unwrap_err().to_string().contains("a page has 30 labels"));
        assert!(barcode_sheet(&[], &Sheet::A4, Colours::None, 0, false).is_ok());
        let mut sheet = Sheet::A4;
        sheet.rows = 40;
        assert!(barcode_sheet(&[], &sheet, Colours::None, 0, false).is_err());
    }
}
