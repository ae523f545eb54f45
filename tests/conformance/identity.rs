//! What drives and changers have in common: INQUIRY, refusals, sense, lengths.

use crate::device::{Check, Device, INVALID_FIELD, INVALID_OPCODE, Verdict};
use crate::want;

/// Checks that any logical unit passes.
pub const ALL: &[Check] = &[
    ("INQUIRY sends its 36 bytes", inquiry),
    ("INQUIRY is cut to the allocation length", inquiry_cut),
    (
        "INQUIRY with more room sends what there is and leaves the rest of the buffer alone",
        inquiry_room,
    ),
    ("INQUIRY with allocation length 0 is no error", inquiry_nothing),
    ("page 00h lists the pages of INQUIRY in order", inquiry_pages),
    ("every listed page of INQUIRY answers with its code and length", inquiry_each_page),
    ("a page of INQUIRY that is not listed is refused", inquiry_unknown_page),
    ("the unit has a serial number", serial_number),
    ("page 83h has a T10 identifier", device_identification),
    ("an unknown operation code is refused", unknown_command),
    ("REQUEST SENSE tells nothing where nothing waits, and nothing twice", request_sense),
    ("REPORT LUNS lists this unit's target", report_luns),
    ("REPORT SUPPORTED OPERATION CODES lists INQUIRY", supported_commands),
];

fn inquiry(device: &mut Device) -> Verdict {
    device.fetch(&[0x12, 0, 0, 0, 36, 0], 36)?.good(36).map(drop)
}

fn inquiry_cut(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x12, 0, 0, 0, 5, 0], 64)?.good(5)?;
    want!(data[4] >= 31, "byte 4 tells {} further bytes; it must tell all there are", data[4]);
    Ok(())
}

fn inquiry_room(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x12, 0, 0, 0, 255, 0], 255)?.good_any()?;
    let told = usize::from(data.get(4).copied().unwrap_or(0)) + 5;
    want!(data.len() == told.min(255), "{} bytes came, byte 4 tells {told}", data.len());
    Ok(())
}

fn inquiry_nothing(device: &mut Device) -> Verdict {
    device.good(&[0x12, 0, 0, 0, 0, 0])
}

fn pages(device: &mut Device) -> Result<Vec<u8>, String> {
    let data = device.fetch(&[0x12, 1, 0, 0, 255, 0], 255)?.good_any()?;
    want!(data.len() >= 4 && data[1] == 0, "page 00h is {data:02x?}");
    Ok(data[4..].to_vec())
}

fn inquiry_pages(device: &mut Device) -> Verdict {
    let pages = pages(device)?;
    want!(pages.first() == Some(&0), "page 00h is not listed in {pages:02x?}");
    want!(pages.is_sorted(), "{pages:02x?} is not in order");
    Ok(())
}

fn inquiry_each_page(device: &mut Device) -> Verdict {
    for page in pages(device)? {
        let data = device.fetch(&[0x12, 1, page, 0x10, 0, 0], 4096)?.good_any()?;
        want!(
            data.len() >= 4 && data[1] == page,
            "page {page:02x}h begins with {:02x?}",
            data.get(..4)
        );
        let told = usize::from(u16::from_be_bytes([data[2], data[3]])) + 4;
        want!(data.len() == told, "page {page:02x}h has {} bytes and tells {told}", data.len());
    }
    Ok(())
}

fn inquiry_unknown_page(device: &mut Device) -> Verdict {
    want!(!pages(device)?.contains(&0x5a), "page 5Ah is listed");
    device.fetch(&[0x12, 1, 0x5a, 0, 255, 0], 255)?.fails(INVALID_FIELD).map(drop)
}

fn serial_number(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x12, 1, 0x80, 0, 255, 0], 255)?.good_any()?;
    let serial = data.get(4..).unwrap_or_default();
    want!(serial.iter().any(u8::is_ascii_graphic), "page 80h has no text: {data:02x?}");
    want!(serial.iter().all(|byte| (0x20..0x7f).contains(byte)), "it is not ASCII: {serial:02x?}");
    Ok(())
}

fn device_identification(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x12, 1, 0x83, 1, 0, 0], 256)?.good_any()?;
    let mut rest = data.get(4..).unwrap_or_default();
    while let [code_set, kind, _, length, tail @ ..] = rest {
        want!(tail.len() >= usize::from(*length), "a descriptor is cut: {rest:02x?}");
        if code_set & 0x0f == 2 && kind & 0x3f == 1 {
            return Ok(());
        }
        rest = &tail[usize::from(*length)..];
    }
    Err(format!("none in {data:02x?}"))
}

fn unknown_command(device: &mut Device) -> Verdict {
    // 22h is defined for no kind of device.
    device.send(&[0x22, 0, 0, 0, 0, 0, 0, 0, 0, 0])?.fails(INVALID_OPCODE).map(drop)
}

fn request_sense(device: &mut Device) -> Verdict {
    device.send(&[0x22, 0, 0, 0, 0, 0, 0, 0, 0, 0])?.fails_any()?;
    for _ in 0..2 {
        let data = device.fetch(&[0x03, 0, 0, 0, 252, 0], 252)?.good_any()?;
        want!(data.len() >= 18 && data[0] & 0x7f == 0x70, "it is {data:02x?}");
        want!(
            data[2] & 0x0f == 0 || data[2] & 0x0f == 2,
            "it tells sense key {:x}h",
            data[2] & 0x0f
        );
        want!(data[12] != 0x20, "it tells the old condition again");
    }
    Ok(())
}

fn report_luns(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0], 1024)?.good_any()?;
    want!(data.len() >= 16, "{} bytes", data.len());
    let told = u32::from_be_bytes([data[0], data[1], data[2], data[3]]) as usize;
    want!(
        told + 8 == data.len() && told.is_multiple_of(8),
        "it tells {told} bytes of {}",
        data.len()
    );
    Ok(())
}

fn supported_commands(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192)?.good_any()?;
    want!(data.len() > 4, "{} bytes", data.len());
    let told = u32::from_be_bytes([data[0], data[1], data[2], data[3]]) as usize;
    want!(
        told + 4 == data.len() && told.is_multiple_of(8),
        "it tells {told} bytes of {}",
        data.len() - 4
    );
    want!(
        data[4..].chunks(8).any(|one| one[0] == 0x12),
        "INQUIRY is not among {} commands",
        told / 8
    );
    Ok(())
}
