//! A tree into an archive and back, and nothing else: for counting system calls.
//!
//! ```text
//! cargo build -p pxar --example tree
//! strace -c target/debug/examples/tree create /usr/share/doc /tmp/doc.pxar
//! strace -c target/debug/examples/tree extract /tmp/doc.pxar /tmp/doc
//! target/debug/examples/tree list /tmp/doc.pxar
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::fs::File;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use pxar::decoder::{Decoder, Event};
use pxar::{Monitor, Warning, create, extract, listing};

struct Print;

impl Monitor for Print {
    fn warning(&self, warning: &Warning) {
        eprintln!("{warning}");
    }
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    match arguments {
        ["create", source, archive] => {
            let mut archive = File::create_new(archive)?;
            let options = create::Options::default();
            let summary = create::create(Path::new(source), &mut archive, None, &options, &Print)?;
            println!("{summary:?}");
        }
        ["extract", archive, target] => {
            let options = extract::Options::default();
            let archive = File::open(archive)?;
            let summary = extract::extract(archive, None, Path::new(target), &options, &Print)?;
            println!("{summary:?}");
        }
        ["list", archive] => {
            let mut decoder = Decoder::new(File::open(archive)?)?;
            let zone = jiff::tz::TimeZone::system();
            let mut out = stdout().lock();
            while let Some(event) = decoder.next_event()? {
                if let Event::Entry(entry) = event {
                    let path = decoder.path();
                    let line = listing::entry_line(path, &entry.metadata, &entry.kind, &zone);
                    writeln!(out, "{line}")?;
                }
            }
        }
        _ => {
            return Err(
                "usage: tree create SOURCE ARCHIVE | extract ARCHIVE TARGET | list ARCHIVE".into(),
            );
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
