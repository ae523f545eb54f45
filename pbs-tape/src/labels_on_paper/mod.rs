//! Labels on paper: bar codes to print and stick on cartridges, as a PDF.
//!
//! A library knows cartridges by these labels alone, so what is printed must be what it reads:
//!
//! * [`text`] refuses what is no label of an LTO cartridge before anything is drawn;
//! * [`code39`] makes the bars; a test decodes them with a table of its own, another from the finished
//!   PDF, and `zbarimg` from its rendering;
//! * [`sheet`] says where labels lie on paper, and refuses sheets on which they would lie on each other;
//! * [`pdf`] draws. Nothing is drawn into the quiet zones beside the bars.
//!
//! Sizes are those of the LTO Ultrium cartridge label (bar codes of 0.017 inch and 1:2.75, at least
//! 11.1 mm high, labels of up to 79 × 17 mm for the recess of the cartridge).

mod code39;
mod pdf;
pub mod sheet;
pub mod text;

pub use pdf::{Colours, barcode_sheet};
pub use sheet::Sheet;
pub use text::LabelText;
