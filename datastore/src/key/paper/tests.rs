//! Tests of paper keys: what is printed is read back, as text and by an independent QR decoder.

use base64::Engine as _;

use super::*;
use crate::key::KdfKind;
use crate::key::master::MasterKey;

fn locked() -> KeyConfig {
    KeyConfig::generate(KdfKind::Pbkdf2, b"secret", Some("<the> \"usual\" & more".into())).unwrap()
}

fn pem() -> PrivateKeyPem {
    let key = MasterKey::generate(2304).unwrap();
    let text = key.to_encrypted_pem(b"secret").unwrap();
    match Document::parse(std::str::from_utf8(&text).unwrap()).unwrap() {
        Document::PrivateKey(pem) => pem,
        Document::Key(_) => panic!("not a key file"),
    }
}

/// What a decoder that shares no code with ours reads in modules that are dark where told.
fn decode(width: usize, dark: impl Fn(usize, usize) -> bool) -> String {
    let grid = rqrr::SimpleGrid::from_func(width, dark);
    let (meta, content) = rqrr::Grid::new(grid).decode().unwrap();
    assert_eq!(meta.ecc_level, 0, "level M has the number 0 in the symbol");
    content
}

/// Reads block characters as a printer puts them on white paper: full blocks are dark.
fn decode_art(art: &str) -> String {
    let lines: Vec<Vec<char>> = art.lines().map(|line| line.chars().collect()).collect();
    let width = lines[0].len();
    assert!(lines.iter().all(|line| line.len() == width), "the lines differ in length");
    assert_eq!(lines.len(), width.div_ceil(2));
    // No margin: the finder pattern begins in the corner.
    assert_eq!(lines[0][0], '█');
    decode(width, |x, y| match (lines[y / 2][x], y % 2) {
        ('█', _) | ('▀', 0) | ('▄', 1) => true,
        (' ' | '▀' | '▄', _) => false,
        (other, _) => panic!("'{other}' is no block character"),
    })
}

/// Reads one of our SVG images.
fn decode_svg(encoded: &str) -> String {
    assert!(!encoded.contains('='), "the base64 is padded");
    let svg = String::from_utf8(STANDARD_NO_PAD.decode(encoded).unwrap()).unwrap();
    let between = |start: &str, end: &str| {
        let rest = svg.split_once(start).unwrap_or_else(|| panic!("{start} in {svg}")).1;
        rest.split_once(end).unwrap().0.to_owned()
    };
    let width: usize = between("width=\"", "\"").parse().unwrap();
    let mut dark = vec![false; width * width];
    for run in between(" d=\"", "\"").split_terminator('z') {
        let run = run.strip_prefix('M').unwrap();
        let (x, run) = run.split_once(' ').unwrap();
        let (y, run) = run.split_once('h').unwrap();
        let (len, _) = run.split_once("v1").unwrap();
        let (x, y, len) = (
            x.parse::<usize>().unwrap(),
            y.parse::<usize>().unwrap(),
            len.parse::<usize>().unwrap(),
        );
        dark[y * width + x..y * width + x + len].fill(true);
    }
    decode(width, |x, y| dark[y * width + x])
}

#[test]
fn a_key_on_paper_is_text_and_a_qr_code_of_it() {
    let key = locked();
    let text = Document::Key(key.clone()).print(Some("the archive"), Format::Text).unwrap();
    let json = key.to_json_pretty().unwrap();
    let head = format!("Subject: the archive\n\n{BEGIN_KEY}\n{}\n{END_KEY}\n", *json);
    let art = text.strip_prefix(head.as_str()).unwrap();
    assert_eq!(decode_art(art), *json);
    assert!(json.starts_with("{\n  \"kdf\": {\n    \"PBKDF2\": {\n      \"iter\": 65535,"));
    // The text, the text with scribbles around it, and the code alone are each enough.
    for paper in [&**text, &format!("scanned\n{}\npage 1", *text), &decode_art(art)] {
        assert_eq!(Document::parse(paper).unwrap(), Document::Key(key.clone()));
    }
    let plain = Document::Key(key.clone()).print(None, Format::Text).unwrap();
    assert!(plain.starts_with(BEGIN_KEY));
    assert_eq!(Document::parse(&plain).unwrap(), Document::Key(key));
}

#[test]
fn a_key_as_a_page_holds_the_same() {
    let key = locked();
    let html = Document::Key(key.clone()).print(Some("<b>&"), Format::Html).unwrap();
    assert!(html.contains("Subject: &lt;b&gt;&amp;"), "markup in the subject");
    let image = html.split_once("base64,").unwrap().1.split_once('"').unwrap().0;
    assert_eq!(decode_svg(image), *key.to_json_pretty().unwrap());
    assert_eq!(Document::parse(&html).unwrap(), Document::Key(key));
}

#[test]
fn a_private_key_is_printed_in_numbered_blocks() {
    let pem = pem();
    let lines: Vec<&str> = pem.lines.iter().map(String::as_str).collect();
    let document = Document::PrivateKey(pem.clone());

    let text = document.print(Some("master"), Format::Text).unwrap();
    let rest = text.strip_prefix("Subject: master\n\n").unwrap();
    let blocks: Vec<&str> = rest.split_terminator("\u{c}\n").collect();
    assert_eq!(blocks.len(), lines.len().div_ceil(5));
    let mut number = 0;
    for (block, wanted) in blocks.iter().zip(lines.chunks(5)) {
        let mut rest = *block;
        for line in wanted {
            rest = rest.strip_prefix(&format!("{number:>2}: {line}\n")).unwrap();
            number += 1;
        }
        assert_eq!(decode_art(rest), wanted.join("\n"));
    }
    assert_eq!(Document::parse(&text).unwrap(), document);

    let html = document.print(None, Format::Html).unwrap();
    assert!(html.contains("<p>00: -----BEGIN ENCRYPTED PRIVATE KEY-----\n01: "));
    let images = html.split("base64,").skip(1).map(|rest| rest.split_once('"').unwrap().0);
    let decoded: Vec<String> = images.map(decode_svg).collect();
    assert_eq!(decoded.len(), lines.len().div_ceil(20));
    assert_eq!(decoded.join("\n"), lines.join("\n"));
    assert_eq!(Document::parse(&html).unwrap(), document);
    // The codes one after the other are the file.
    assert_eq!(Document::parse(&decoded.join("\n")).unwrap(), document);
    assert_eq!(Document::parse(&pem.to_pem()).unwrap(), document);
}

#[test]
fn a_private_key_that_is_not_whole_is_refused() {
    let document = Document::PrivateKey(pem());
    let text = document.print(None, Format::Text).unwrap();
    let without = |line: &str| {
        let kept: Vec<&str> = text.lines().filter(|l| !l.trim().starts_with(line)).collect();
        kept.join("\n")
    };
    let error = Document::parse(&without("7: ")).unwrap_err().to_string();
    assert!(error.contains("line 7"), "{error}");
    assert!(Document::parse(&without("0: ")).is_err());
    let whole = Document::parse(&text).unwrap();
    assert_eq!(whole, document);
    let last = match &whole {
        Document::PrivateKey(pem) => pem.lines.len() - 1,
        Document::Key(_) => unreachable!(),
    };
    let error = Document::parse(&without(&format!("{last}: "))).unwrap_err().to_string();
    assert!(error.contains("does not end"), "{error}");
    let short = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert!(Document::parse(short).unwrap_err().to_string().contains("20"));
}

#[test]
fn what_is_no_key_is_refused() {
    for text in
        ["", "x", "{}", "-----BEGIN CERTIFICATE-----\n", BEGIN_KEY, "<!doctype html>", "1: x"]
    {
        assert!(Document::parse(text).is_err(), "{text}");
    }
    let broken = format!("{BEGIN_KEY}\n{{\n{END_KEY}");
    assert!(Document::parse(&broken).is_err());
    // More than a QR code holds is said, not cut.
    let mut key = locked();
    key.hint = Some("x".repeat(2400));
    for format in [Format::Text, Format::Html] {
        let error = Document::Key(key.clone()).print(None, format).unwrap_err();
        assert!(error.to_string().contains("QR"), "{error}");
    }
    let document = Document::Key(locked());
    assert!(document.print(Some("a\nb"), Format::Text).is_err());
}

#[test]
fn golden_key_files_survive_the_paper() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    for name in ["enc-none", "enc-scrypt", "enc-pbkdf2"] {
        let path = golden.join(format!("keys/{name}.json"));
        let text = std::fs::read_to_string(path).unwrap();
        let document = Document::parse(&text).unwrap();
        for format in [Format::Text, Format::Html] {
            let paper = document.print(Some(name), format).unwrap();
            let Document::Key(back) = Document::parse(&paper).unwrap() else { panic!("{name}") };
            assert_eq!(back.to_json().unwrap().as_str(), text.trim_end());
        }
    }
}

#[test]
fn any_text_is_answered() {
    use proptest::prelude::*;
    proptest!(|(text in "(-----BEGIN [A-Z ]{0,20}-----\n)?([ 0-9]{0,3}: ?[A-Za-z+/]{0,8}\n|\\PC{0,20}\n){0,30}")| {
        let _ = Document::parse(&text);
        let _ = Document::parse(&format!("<!doctype html>{text}"));
    });
}
