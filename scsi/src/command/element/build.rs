//! Replies of READ ELEMENT STATUS as a changer that follows SMC-3 sends them.

use super::{DESCRIPTOR, Element, ElementType, IDENTIFIER_HEADER, Page, TAG, TAG_TEXT};
use crate::command::fields::{be24, padded};

/// The reply of a changer with these elements. `tags` and `identifiers` are VOLTAG and DVCID of the
/// request. Pages without elements are left out. The changer cuts the result to the allocation
/// length; the counts in it describe the whole.
pub fn build_status(pages: &[Page], tags: bool, identifiers: bool) -> Vec<u8> {
    let mut body = Vec::new();
    let elements = || pages.iter().flat_map(|page| &page.elements);
    for page in pages.iter().filter(|page| !page.elements.is_empty()) {
        let identifier_length = match (identifiers, page.kind) {
            (true, ElementType::Drive) => IDENTIFIER_HEADER + 34,
            (true, _) => IDENTIFIER_HEADER,
            (false, _) => 0,
        };
        let length = DESCRIPTOR + if tags { TAG } else { 0 } + identifier_length;
        body.extend_from_slice(&[page.kind.code(), if tags { 0x80 } else { 0 }]);
        body.extend_from_slice(&(length as u16).to_be_bytes());
        body.push(0);
        body.extend_from_slice(&be24((length * page.elements.len()) as u32));
        for element in &page.elements {
            build_descriptor(&mut body, page.kind, element, tags, identifiers);
        }
    }
    let first = elements().map(|element| element.address).min().unwrap_or(0);
    let mut bytes = first.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(elements().count().min(0xffff) as u16).to_be_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&be24(body.len() as u32));
    bytes.extend_from_slice(&body);
    bytes
}

fn build_descriptor(
    body: &mut Vec<u8>,
    kind: ElementType,
    element: &Element,
    tags: bool,
    identifiers: bool,
) {
    let (asc, ascq) = element.exception.unwrap_or((0, 0));
    let flags = u8::from(element.full)
        | u8::from(element.by_operator) << 1
        | u8::from(element.exception.is_some()) << 2
        | u8::from(element.accessible) << 3
        | u8::from(element.export_enabled) << 4
        | u8::from(element.import_enabled) << 5;
    let byte_9 = u8::from(element.source.is_some()) << 7
        | u8::from(element.disabled) << 3
        | element.medium_type & 0x07;
    body.extend_from_slice(&element.address.to_be_bytes());
    body.extend_from_slice(&[flags, 0, asc, ascq, 0, 0, 0, byte_9]);
    body.extend_from_slice(&element.source.unwrap_or(0).to_be_bytes());
    if tags {
        match &element.tag {
            Some(tag) if element.full => {
                body.extend_from_slice(&padded::<TAG_TEXT>(tag));
                body.extend_from_slice(&[0; TAG - TAG_TEXT]);
            }
            _ => body.extend_from_slice(&[0; TAG]),
        }
    }
    match (identifiers, kind, &element.identifier) {
        (false, ..) => {}
        (true, ElementType::Drive, Some(identifier)) => {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            body.extend_from_slice(&[0x02, 0x01, 0x00, 34]);
            body.extend_from_slice(&padded::<8>(&part(&identifier.vendor)));
            body.extend_from_slice(&padded::<16>(&part(&identifier.model)));
            body.extend_from_slice(&padded::<10>(&part(&identifier.serial)));
        }
        (true, ElementType::Drive, None) => {
            body.extend_from_slice(&[0; IDENTIFIER_HEADER + 34]);
        }
        (true, ..) => body.extend_from_slice(&[0; IDENTIFIER_HEADER]),
    }
}
