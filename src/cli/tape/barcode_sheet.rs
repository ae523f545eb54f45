//! `capstan tape barcode-sheet`

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use pbs_tape::labels_on_paper::{Colours, LabelText, Sheet, barcode_sheet};
use serde::Serialize;

use crate::cli::Outcome;
use crate::output::OutputArgs;

/// Make a PDF of bar-code labels to stick on cartridges
///
/// The labels have the size and code of the LTO cartridge label: Code 39 with bars of 0.43 and 1.19 mm, 11.1 mm high. Print
/// them at 100 %, not fitted to the page, on matt paper, and let the library read one before you stick the rest.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    capstan tape barcode-sheet --from ABC001L8 --count 30 --to labels.pdf\n  \
    capstan tape barcode-sheet CLNU01CU ABC001LY --paper letter --skip 4 --to labels.pdf\n  \
    capstan tape barcode-sheet --from ABC001L9 --count 16 --rows 16 --pitch-y 17 --top 12.5 --to - | lpr")]
pub struct BarcodeSheetArgs {
    /// What labels say: six characters and a media identifier (L1 to L9, LA, PA, M8; WORM LT to LZ, LH; CU for CLN…)
    #[arg(value_name = "TEXT", required_unless_present = "from")]
    texts: Vec<LabelText>,
    /// First label of a series; the number at the end goes up
    #[arg(long, value_name = "TEXT", requires = "count")]
    from: Option<LabelText>,
    /// Labels in the series
    #[arg(long, value_name = "N", requires = "from", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: Option<u32>,
    /// File to make, or - for the standard output
    #[arg(long, value_name = "FILE|-")]
    to: PathBuf,
    /// Colours of the fields that the text stands in
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    colours: ColoursArg,
    /// Leave out so many labels of the first page, which are used already
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u32,
    /// Draw no lines to cut along, for sheets of labels that are cut
    #[arg(long)]
    no_cut_lines: bool,
    #[command(flatten)]
    paper: PaperArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The sheet; sizes in millimetres.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sheet, for other sheets of labels than the paper's own")]
struct PaperArgs {
    /// Paper: a4 has 2 × 15 labels, letter 2 × 14
    #[arg(long, value_enum, default_value_t, value_name = "PAPER")]
    paper: Paper,
    /// Labels beside each other
    #[arg(long, value_name = "N")]
    columns: Option<u32>,
    /// Labels below each other
    #[arg(long, value_name = "N")]
    rows: Option<u32>,
    /// From the left edge of the paper to the first label [mm]
    #[arg(long, value_name = "MM")]
    left: Option<f32>,
    /// From the top edge of the paper to the first label [mm]
    #[arg(long, value_name = "MM")]
    top: Option<f32>,
    /// From label to label, side by side [mm]
    #[arg(long, value_name = "MM")]
    pitch_x: Option<f32>,
    /// From label to label, downwards [mm]
    #[arg(long, value_name = "MM")]
    pitch_y: Option<f32>,
    /// Width of a label, 76 to 80 [mm]
    #[arg(long, value_name = "MM")]
    label_width: Option<f32>,
    /// Height of a label, 15 to 17 [mm]
    #[arg(long, value_name = "MM")]
    label_height: Option<f32>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Paper {
    #[default]
    A4,
    Letter,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ColoursArg {
    /// A colour for each digit, as labels of cartridges usually have
    #[default]
    Digits,
    /// Black on white
    None,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    labels: Vec<String>,
    pages: u32,
}

pub fn run(args: &BarcodeSheetArgs) -> Result<Outcome> {
    let mut texts = args.texts.clone();
    if let (Some(from), Some(count)) = (&args.from, args.count) {
        texts.extend(from.series(count)?);
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = texts.iter().find(|text| !seen.insert(text.volume())) {
        bail!(
            "label {twice}: its first six characters are on another label, too; a library can't tell these cartridges apart"
        );
    }
    let sheet = args.paper.sheet();
    let colours = match args.colours {
        ColoursArg::Digits => Colours::Digits,
        ColoursArg::None => Colours::None,
    };
    let pdf = barcode_sheet(&texts, &sheet, colours, args.skip, !args.no_cut_lines)?;
    if args.to == Path::new("-") {
        let mut stdout = std::io::stdout();
        if stdout.is_terminal() {
            bail!("a terminal can't show a PDF; send the output to a file or a printer");
        }
        stdout.write_all(&pdf).and_then(|()| stdout.flush()).context("cannot write the PDF")?;
        return Ok(Outcome::Complete);
    }
    write_new(&args.to, &pdf)?;
    let report = Report {
        labels: texts.iter().map(LabelText::to_string).collect(),
        pages: (args.skip + texts.len() as u32).div_ceil(sheet.labels()),
    };
    args.output.print(&report, |report| {
        let pages = if report.pages == 1 { "page" } else { "pages" };
        format!(
            "{}: {} labels on {} {pages}; print at 100 %, not fitted to the page",
            args.to.display(),
            report.labels.len(),
            report.pages
        )
    })?;
    Ok(Outcome::Complete)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot make {}", path.display());
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)
}

impl PaperArgs {
    fn sheet(&self) -> Sheet {
        let own = match self.paper {
            Paper::A4 => Sheet::A4,
            Paper::Letter => Sheet::LETTER,
        };
        Sheet {
            columns: self.columns.unwrap_or(own.columns),
            rows: self.rows.unwrap_or(own.rows),
            left_mm: self.left.unwrap_or(own.left_mm),
            top_mm: self.top.unwrap_or(own.top_mm),
            pitch_x_mm: self.pitch_x.unwrap_or(own.pitch_x_mm),
            pitch_y_mm: self.pitch_y.unwrap_or(own.pitch_y_mm),
            label_width_mm: self.label_width.unwrap_or(own.label_width_mm),
            label_height_mm: self.label_height.unwrap_or(own.label_height_mm),
            ..own
        }
    }
}
