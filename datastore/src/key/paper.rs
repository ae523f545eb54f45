//! Keys on paper, and back (`docs/formats/keys.md`, "Paper key").
//!
//! Paper outlives disks, and needs no program to be read: everything that the QR codes hold is
//! printed as text too. What comes off a scanner or a keyboard is read by [`Document::parse`], which
//! takes text with anything around the markers, the HTML form, and the bare content of a QR code;
//! lines of a private key must be there each once and in order.
//!
//! A paper key is as secret as the file that it was made of: a locked key stays locked.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::qr::Qr;
use super::{KEY_FILE_MODE, KeyConfig, write_new};
use crate::error::{Error, Result};
use crate::storage::Storage;

const BEGIN_KEY: &str = "-----BEGIN PROXMOX BACKUP KEY-----";
const END_KEY: &str = "-----END PROXMOX BACKUP KEY-----";
/// The kinds of private key that are printed: first and last line.
const PRIVATE_KEYS: [(&str, &str); 2] = [
    ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----"),
    ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"),
];
/// Fewest lines of a private key; fewer is a fragment.
const PEM_LINES_MIN: usize = 20;
/// Lines of a private key in one QR code, as text and in HTML.
const PEM_BLOCK_LINES_TEXT: usize = 5;
const PEM_BLOCK_LINES_HTML: usize = 20;

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text with QR codes of block characters.
    Text,
    /// A page for a browser, with QR codes as images inside.
    Html,
}

/// What is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// A key file.
    Key(KeyConfig),
    /// A private key, encrypted or of RSA's own form.
    PrivateKey(PrivateKeyPem),
}

/// A private key in PEM, checked to be whole at both ends.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKeyPem {
    lines: Zeroizing<Vec<String>>,
}

impl std::fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKeyPem({} lines)", self.lines.len())
    }
}

impl PrivateKeyPem {
    fn from_lines(lines: Zeroizing<Vec<String>>) -> Result<PrivateKeyPem> {
        let first = lines.first().map(String::as_str).unwrap_or_default();
        let Some((_, end)) = PRIVATE_KEYS.iter().find(|(begin, _)| *begin == first) else {
            return Err(bad("it is neither a key file nor an encrypted private key (PEM)"));
        };
        if lines.last().map(String::as_str) != Some(*end) {
            return Err(bad(&format!("the private key does not end with '{end}'")));
        }
        if lines.len() < PEM_LINES_MIN {
            return Err(bad(&format!(
                "the private key has {} lines, at least {PEM_LINES_MIN} are needed",
                lines.len()
            )));
        }
        Ok(PrivateKeyPem { lines })
    }

    /// Writes a new file that only its owner may read. One that is there is never overwritten.
    pub fn save_new(&self, storage: &dyn Storage, path: &Path) -> Result<()> {
        write_new(storage, path, self.to_pem().as_bytes(), KEY_FILE_MODE, "private key")
    }

    /// The text of the file.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(
            self.lines.iter().map(|line| line.len() + 1).sum(),
        ));
        for line in self.lines.iter() {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

fn bad(reason: &str) -> Error {
    Error::Key { reason: reason.to_owned() }
}

impl Document {
    /// Reads a key file, a private key, or either as it was printed, as text or as HTML.
    pub fn parse(text: &str) -> Result<Document> {
        let html = text.trim_start();
        let is_html = html.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
        let plain = if is_html { without_tags(html) } else { Zeroizing::new(text.to_owned()) };
        if let Some((_, rest)) = plain.split_once(BEGIN_KEY) {
            let (json, _) = rest
                .split_once(END_KEY)
                .ok_or_else(|| bad(&format!("the line '{END_KEY}' is missing")))?;
            return Ok(Document::Key(KeyConfig::from_json(json.trim().as_bytes())?));
        }
        let trimmed = plain.trim();
        if trimmed.starts_with('{') {
            return Ok(Document::Key(KeyConfig::from_json(trimmed.as_bytes())?));
        }
        if trimmed.starts_with("-----BEGIN ") {
            let lines = trimmed.lines().map(|line| line.trim_end().to_owned());
            let lines = Zeroizing::new(lines.filter(|line| !line.is_empty()).collect());
            return Ok(Document::PrivateKey(PrivateKeyPem::from_lines(lines)?));
        }
        numbered_lines(&plain).and_then(PrivateKeyPem::from_lines).map(Document::PrivateKey)
    }

    /// Prints it, with a first line that says what it is of.
    pub fn print(&self, subject: Option<&str>, format: Format) -> Result<Zeroizing<String>> {
        // A subject with line breaks could look like a part of the key.
        if subject.is_some_and(|subject| subject.chars().any(char::is_control)) {
            return Err(bad("the subject of a paper key is one line of text"));
        }
        match (self, format) {
            (Document::Key(key), Format::Text) => key_as_text(key, subject),
            (Document::Key(key), Format::Html) => key_as_html(key, subject),
            (Document::PrivateKey(pem), Format::Text) => pem_as_text(pem, subject),
            (Document::PrivateKey(pem), Format::Html) => pem_as_html(pem, subject),
        }
    }
}

/// The lines that begin with a number and a colon, in the order of the paper. Everything else, such
/// as QR codes, is passed over.
fn numbered_lines(text: &str) -> Result<Zeroizing<Vec<String>>> {
    let mut lines = Zeroizing::new(Vec::new());
    for line in text.lines() {
        let line = line.trim().trim_start_matches('\u{c}');
        let Some((number, content)) = line.split_once(':') else { continue };
        let Ok(number) = number.trim().parse::<usize>() else { continue };
        if number != lines.len() {
            return Err(bad(&format!(
                "line {} of the private key is missing or not in its place (found {number})",
                lines.len()
            )));
        }
        lines.push(content.trim().to_owned());
    }
    Ok(lines)
}

/// What a browser shows of our own pages: they have no other entities than these.
fn without_tags(html: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(String::with_capacity(html.len()));
    let mut in_tag = false;
    for letter in html.chars() {
        match letter {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ if in_tag => {}
            _ => plain.push(letter),
        }
    }
    Zeroizing::new(plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

fn escaped(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

fn key_as_text(key: &KeyConfig, subject: Option<&str>) -> Result<Zeroizing<String>> {
    let json = key.to_json_pretty()?;
    let art = Qr::new(&json)?.art();
    let mut text = Zeroizing::new(String::with_capacity(json.len() + art.len() + 512));
    if let Some(subject) = subject {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "Subject: {subject}\n");
    }
    let _ = write!(text, "{BEGIN_KEY}\n{}\n{END_KEY}\n{}", *json, *art);
    Ok(text)
}

fn pem_as_text(pem: &PrivateKeyPem, subject: Option<&str>) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(256 << 10));
    if let Some(subject) = subject {
        let _ = writeln!(text, "Subject: {subject}\n");
    }
    let mut number = 0;
    for block in pem.lines.chunks(PEM_BLOCK_LINES_TEXT) {
        for line in block {
            let _ = writeln!(text, "{number:>2}: {line}");
            number += 1;
        }
        text.push_str(&Qr::new(&Zeroizing::new(block.join("\n")))?.art());
        text.push_str("\u{c}\n");
    }
    Ok(text)
}

const HTML_HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>Paper key</title>
<style>
p { font-size: 12pt; font-family: monospace; white-space: pre-wrap; overflow-wrap: break-word; }
img { display: block; margin: 8mm auto; width: 13cm; height: 13cm; image-rendering: pixelated; }
div { break-inside: avoid; }
</style>
</head>
<body>
";

fn html_page(
    subject: Option<&str>,
    body: impl FnOnce(&mut String) -> Result<()>,
) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(512 << 10));
    text.push_str(HTML_HEAD);
    if let Some(subject) = subject {
        let _ = writeln!(text, "<p>Subject: {}</p>", *escaped(subject));
    }
    body(&mut text)?;
    text.push_str("</body>\n</html>\n");
    Ok(text)
}

fn push_image(text: &mut String, content: &str) -> Result<()> {
    text.push_str("<img alt=\"QR code\" src=\"data:image/svg+xml;base64,");
    let svg = Qr::new(content)?.svg();
    text.push_str(&Zeroizing::new(STANDARD_NO_PAD.encode(svg.as_bytes())));
    text.push_str("\">\n");
    Ok(())
}

fn key_as_html(key: &KeyConfig, subject: Option<&str>) -> Result<Zeroizing<String>> {
    let json = key.to_json_pretty()?;
    html_page(subject, |text| {
        let _ = writeln!(text, "<div><p>{BEGIN_KEY}\n{}\n{END_KEY}</p>", *escaped(&json));
        push_image(text, &json)?;
        text.push_str("</div>\n");
        Ok(())
    })
}

fn pem_as_html(pem: &PrivateKeyPem, subject: Option<&str>) -> Result<Zeroizing<String>> {
    html_page(subject, |text| {
        let mut number = 0;
        for block in pem.lines.chunks(PEM_BLOCK_LINES_HTML) {
            text.push_str("<div><p>");
            for line in block {
                let _ = writeln!(text, "{number:02}: {}", *escaped(line));
                number += 1;
            }
            text.push_str("</p>\n");
            push_image(text, &Zeroizing::new(block.join("\n")))?;
            text.push_str("</div>\n");
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
