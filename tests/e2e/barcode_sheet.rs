//! Labels on paper, read by strangers: `pdftoppm` draws the PDF, `zbarimg` reads the bars.

use std::process::Command;

use crate::world::{World, has_program, note, text};

/// What `zbarimg` reads on a page of the PDF, sorted; `None`, with a note, without these programs.
fn scanned(world: &World, pdf: &str, dpi: u32) -> Option<Vec<String>> {
    for (program, package) in [("pdftoppm", "poppler-utils"), ("zbarimg", "zbar-tools")] {
        if !has_program(program) {
            note(&format!("skipped: {program} is not installed (package {package})"));
            return None;
        }
    }
    let pages = world.disk(format!("{pdf}-{dpi}"));
    let drawn = Command::new("pdftoppm")
        .args(["-r", &dpi.to_string(), "-png"])
        .arg(world.disk(pdf))
        .arg(&pages)
        .output()
        .unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let mut images: Vec<_> = std::fs::read_dir(pages.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "png"))
        .filter(|path| path.to_string_lossy().starts_with(&*pages.to_string_lossy()))
        .collect();
    images.sort();
    let read = Command::new("zbarimg").args(["--quiet"]).args(&images).output().unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    let mut found: Vec<String> = read
        .lines()
        .map(|line| line.strip_prefix("CODE-39:").unwrap_or_else(|| panic!("{line}")).to_owned())
        .collect();
    found.sort();
    Some(found)
}

#[test]
fn printed_labels_are_read_by_a_stranger() {
    let world = World::new();
    let to = world.disk("series.pdf");
    let report = world.json(args![
        "tape",
        "barcode-sheet",
        "--from",
        "ABC071L8",
        "--count",
        "40",
        "--to",
        &to
    ]);
    assert_eq!(report["pages"], 2);
    let wanted: Vec<String> = (71..=110).map(|number| format!("ABC{number:03}L8")).collect();
    assert_eq!(report["labels"].as_array().unwrap().iter().map(text).collect::<Vec<_>>(), wanted);
    // A rough printer, and a good one.
    for dpi in [200, 300] {
        let Some(found) = scanned(&world, "series.pdf", dpi) else { return };
        assert_eq!(found, wanted, "{dpi}");
    }
    // Every character and kind of medium, on another sheet, without colours.
    let odd = ["QWERTYL9", "UIOPASLA", "DFGHJKPA", "ZXCVBNM8", "123456LY", "M78900LH", "CLNU01CU"];
    let mut arguments = args!["tape", "barcode-sheet", "--to", world.disk("odd.pdf")];
    arguments.extend(args!["--paper", "letter", "--colours", "none", "--no-cut-lines"]);
    arguments.extend(args!["--label-height", "15", "--label-width", "76", "--skip", "25"]);
    arguments.extend(odd.iter().map(|text| text.into()));
    world.run(arguments).says_on_stdout(&["7 labels on 2 pages", "100 %"]);
    let mut wanted = odd.map(str::to_owned);
    wanted.sort();
    assert_eq!(scanned(&world, "odd.pdf", 300).unwrap(), wanted);
}

#[test]
fn labels_that_no_library_reads_are_refused() {
    let world = World::new();
    let to = world.disk("labels.pdf");
    let sheet = |more: &[&str]| {
        let mut arguments = args!["tape", "barcode-sheet", "--to", &to];
        arguments.extend(more.iter().map(|text| text.into()));
        arguments
    };
    world.fails(sheet(&["ABC001L8", "ABC001L9"]), &["ABC001L9", "apart"]);
    world.fails(sheet(&["--from", "ABC999L8", "--count", "2"]), &["ABC999L8", "only 1"]);
    world.fails(sheet(&["ABC001L8", "--skip", "30"]), &["skip", "30 labels"]);
    world.fails(sheet(&["ABC001L8", "--rows", "17"]), &["top", "297 mm"]);
    for wrong in ["ABC001", "abc001L8", "ABC001XX", "ABC0 1L8"] {
        let run = world.attempt(sheet(&[wrong]));
        assert_eq!(run.code(), Some(2), "{wrong}");
        run.says(&[wrong]);
    }
    assert_eq!(world.attempt(sheet(&[])).code(), Some(2));
    assert!(!to.exists());
    // Nothing is written over.
    world.run(sheet(&["ABC001L8"]));
    world.fails(sheet(&["ABC002L8"]), &["labels.pdf"]);
}
