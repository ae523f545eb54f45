//! QR codes for paper keys: block characters for a terminal or a line printer, and SVG.
//!
//! Both are drawn without a margin, one unit a module, error correction level M, dark on light:
//! made for white paper. On a dark terminal the art is a negative; scanners of telephones read that
//! too, but it is meant to be printed.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The modules of one code.
pub(super) struct Qr {
    width: usize,
    dark: Zeroizing<Vec<bool>>,
}

impl Qr {
    /// The code of `text`, which at level M has room for 2331 bytes.
    pub(super) fn new(text: &str) -> Result<Qr> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| {
            Error::Key { reason: format!("{} bytes are too many for a QR code", text.len()) }
        })?;
        let width = code.width();
        let dark = code.into_colors().into_iter().map(|color| color == Color::Dark).collect();
        Ok(Qr { width, dark: Zeroizing::new(dark) })
    }

    fn rows(&self) -> impl Iterator<Item = &[bool]> {
        self.dark.chunks_exact(self.width.max(1))
    }

    /// Lines of block characters, each for two rows of modules.
    pub(super) fn art(&self) -> Zeroizing<String> {
        let rows: Vec<_> = self.rows().collect();
        // Three bytes a character, so that the string never moves and leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(self.dark.len() * 2 + rows.len()));
        for pair in rows.chunks(2) {
            let upper = pair.first().copied().unwrap_or_default();
            let lower = pair.get(1).copied().unwrap_or_default();
            for (column, upper) in upper.iter().enumerate() {
                let lower = lower.get(column).copied().unwrap_or(false);
                text.push(match (upper, lower) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push('\n');
        }
        text
    }

    /// A drawing of its own: one path of squares on a white ground.
    pub(super) fn svg(&self) -> Zeroizing<String> {
        let size = self.width;
        // A run takes at most 24 bytes.
        let mut text = Zeroizing::new(String::with_capacity(256 + self.dark.len() * 12));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"{size}\" \
             height=\"{size}\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\">\
             <rect width=\"{size}\" height=\"{size}\" fill=\"#ffffff\"/>\
             <path fill=\"#000000\" d=\""
        );
        for (y, row) in self.rows().enumerate() {
            let mut x = 0;
            while let Some(rest) = row.get(x..).filter(|rest| !rest.is_empty()) {
                let same = rest.iter().take_while(|dark| *dark == &rest[0]).count();
                if rest[0] {
                    let _ = write!(text, "M{x} {y}h{same}v1h-{same}z");
                }
                x += same;
            }
        }
        text.push_str("\"/></svg>\n");
        text
    }
}
