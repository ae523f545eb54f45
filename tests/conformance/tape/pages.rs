//! What a drive tells of itself and its cartridge, and what it can be told.

use super::{FILEMARKS, Next, space_cdb, stands_before, tape, with_fixed_blocks};
use crate::device::{Check, Device, INVALID_FIELD, Verdict};
use crate::want;

/// Checks of what the drive tells and can be told.
pub const PAGES: &[Check] = &[
    ("READ BLOCK LIMITS tells a range", block_limits),
    ("MODE SENSE without a page: header and block descriptor", mode_header),
    ("MODE SENSE cut to 4 bytes tells the whole length", mode_cut),
    ("all mode pages fit their lengths", mode_pages),
    ("the block length can be set", mode_block_length),
    ("compression can be switched", mode_compression),
    ("a mode page that does not exist is refused", mode_unknown),
    ("log page 00h lists the pages", log_pages),
    ("each log page asked for 4 bytes tells the length that it then has", log_lengths),
    ("TapeAlert has 64 flags", tape_alert),
    ("the cartridge memory has the medium's serial number", memory),
    ("the cartridge memory keeps what a host writes, and loses what it removes", memory_write),
    ("REPORT DENSITY SUPPORT describes at least one format", density),
    ("PREVENT keeps the tape in, ALLOW lets it go", prevent),
    ("a tape that was unloaded can be loaded again", reload),
];

fn block_limits(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x05, 0, 0, 0, 0, 0], 6)?.good(6)?;
    let largest = u32::from_be_bytes([0, data[1], data[2], data[3]]);
    let smallest = u16::from_be_bytes([data[4], data[5]]);
    want!(largest >= 262_144 && u32::from(smallest) <= largest, "from {smallest} to {largest}");
    Ok(())
}

fn mode_header(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x1a, 0, 0, 0, 12, 0], 12)?.good(12)?;
    want!(data[0] == 11 && data[3] == 8, "lengths are {} and {}", data[0], data[3]);
    want!(data[8..] == [0, 0, 0, 0], "the block length is {:02x?}", &data[8..]);
    Ok(())
}

fn mode_cut(device: &mut Device) -> Verdict {
    let whole = device.fetch(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0x10, 0, 0], 4096)?.good_any()?;
    let cut = device.fetch(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 4, 0], 64)?.good(4)?;
    want!(cut[..2] == whole[..2], "it tells {:02x?} and then {:02x?}", &cut[..2], &whole[..2]);
    Ok(())
}

fn mode_pages(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0x10, 0, 0], 4096)?.good_any()?;
    want!(data.len() >= 8, "{} bytes", data.len());
    let told = usize::from(u16::from_be_bytes([data[0], data[1]])) + 2;
    want!(told == data.len(), "it tells {told} bytes of {}", data.len());
    let descriptors = usize::from(u16::from_be_bytes([data[6], data[7]]));
    let mut rest = data.get(8 + descriptors..).ok_or("the descriptor is cut")?;
    let mut before = None;
    while let [code, length, ..] = rest {
        let page = code & 0x3f;
        want!(code & 0x40 == 0, "page {page:02x}h has a subpage that was not asked for");
        want!(before < Some(page), "page {page:02x}h stands behind page {before:02x?}");
        before = Some(page);
        rest = rest.get(2 + usize::from(*length)..).ok_or(format!("page {page:02x}h is cut"))?;
    }
    want!(rest.is_empty(), "{} bytes behind the last page", rest.len());
    Ok(())
}

fn mode_block_length(device: &mut Device) -> Verdict {
    with_fixed_blocks(device, |device| {
        let data = device.fetch(&[0x1a, 0, 0, 0, 12, 0], 12)?.good(12)?;
        want!(data[9..] == [0, 4, 0], "the block length is {:02x?}, not 1024", &data[9..]);
        Ok(())
    })
}

fn mode_compression(device: &mut Device) -> Verdict {
    let enabled = |device: &mut Device| -> Result<(Vec<u8>, bool), String> {
        let data = device.fetch(&[0x1a, 0, 0x0f, 0, 255, 0], 255)?.good(28)?;
        let is_enabled = data[14] & 0x80 != 0;
        Ok((data, is_enabled))
    };
    let (mut list, before) = enabled(device)?;
    for _ in 0..2 {
        // What `mt compression` sends back: header, descriptor, page.
        list[0] = 0;
        list[2] &= 0x7f;
        list[12] &= 0x3f;
        list[14] ^= 0x80;
        device.put(&[0x15, 0x10, 0, 0, 28, 0], &list)?.good(0)?;
        let (_, now) = enabled(device)?;
        want!(now == (list[14] & 0x80 != 0), "compression is {now} after it was set otherwise");
    }
    want!(enabled(device)?.1 == before, "it is not as before");
    Ok(())
}

fn mode_unknown(device: &mut Device) -> Verdict {
    device.fetch(&[0x1a, 0, 0x29, 0, 255, 0], 255)?.fails(INVALID_FIELD).map(drop)
}

fn log_cdb(page: u8, length: u16) -> [u8; 10] {
    let [high, low] = length.to_be_bytes();
    [0x4d, 0, 0x40 | page, 0, 0, 0, 0, high, low, 0]
}

fn log_list(device: &mut Device) -> Result<Vec<u8>, String> {
    let data = device.fetch(&log_cdb(0, 255), 255)?.good_any()?;
    want!(data.len() > 4 && data[0] & 0x3f == 0, "page 00h is {data:02x?}");
    Ok(data[4..].to_vec())
}

fn log_pages(device: &mut Device) -> Verdict {
    let pages = log_list(device)?;
    want!(pages.is_sorted(), "{pages:02x?} is not in order");
    for page in [0x00, 0x11, 0x12, 0x17, 0x2e, 0x31] {
        want!(pages.contains(&page), "page {page:02x}h is not in {pages:02x?}");
    }
    Ok(())
}

fn log_lengths(device: &mut Device) -> Verdict {
    for page in log_list(device)? {
        let head = device.fetch(&log_cdb(page, 4), 4)?.good(4)?;
        let told = usize::from(u16::from_be_bytes([head[2], head[3]])) + 4;
        let whole = device.fetch(&log_cdb(page, 0x2000), 0x2000)?.good_any()?;
        want!(whole.len() == told, "page {page:02x}h has {} bytes and tells {told}", whole.len());
    }
    Ok(())
}

fn tape_alert(device: &mut Device) -> Verdict {
    // The current values, whatever is asked for: PC is 0 here, as old programs send it.
    let mut cdb = log_cdb(0x2e, 0x200);
    cdb[2] = 0x2e;
    let data = device.fetch(&cdb, 0x200)?.good(4 + 64 * 5)?;
    for (number, flag) in (1u16..).zip(data[4..].chunks(5)) {
        want!(flag[..2] == number.to_be_bytes() && flag[3] == 1, "flag {number} is {flag:02x?}");
    }
    Ok(())
}

fn attribute(device: &mut Device, first: u16) -> Result<(u16, Vec<u8>), String> {
    let [high, low] = first.to_be_bytes();
    let cdb = [0x8c, 0, 0, 0, 0, 0, 0, 0, high, low, 0, 0, 0x20, 0, 0, 0];
    let data = device.fetch(&cdb, 8192)?.good_any()?;
    want!(data.len() >= 9, "{} bytes", data.len());
    let length = usize::from(u16::from_be_bytes([data[7], data[8]]));
    let value = data.get(9..9 + length).ok_or("the attribute is cut")?;
    Ok((u16::from_be_bytes([data[4], data[5]]), value.to_vec()))
}

fn memory(device: &mut Device) -> Verdict {
    let (id, value) = attribute(device, 0x0401)?;
    want!(id == 0x0401 && value.len() == 32, "attribute {id:04x}h has {} bytes", value.len());
    Ok(())
}

fn memory_write(device: &mut Device) -> Verdict {
    let put = |device: &mut Device, value: &[u8]| -> Verdict {
        let mut list = vec![0, 0, 0, 5 + value.len() as u8, 0x08, 0x03, 2, 0, value.len() as u8];
        list.extend(value);
        let length = list.len() as u8;
        device
            .put(&[0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, length, 0, 0], &list)?
            .good(0)
            .map(drop)
    };
    let mut value = b"conformance".to_vec();
    value.resize(160, b' ');
    put(device, &value)?;
    let found = attribute(device, 0x0803)?;
    want!(found == (0x0803, value), "attribute {:04x}h came back otherwise", found.0);
    put(device, &[])?;
    match attribute(device, 0x0803) {
        Ok((0x0803, _)) => Err("it is still there".to_string()),
        _ => Ok(()),
    }
}

fn density(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x44, 0, 0, 0, 0, 0, 0, 0x20, 0, 0], 8192)?.good_any()?;
    want!(data.len() >= 4 + 52, "{} bytes", data.len());
    let told = usize::from(u16::from_be_bytes([data[0], data[1]])) + 2;
    want!(
        told == data.len() && (told - 4).is_multiple_of(52),
        "it tells {told} bytes of {}",
        data.len()
    );
    Ok(())
}

const UNLOAD: [u8; 6] = [0x1b, 0, 0, 0, 0, 0];
const LOAD: [u8; 6] = [0x1b, 0, 0, 0, 1, 0];

fn prevent(device: &mut Device) -> Verdict {
    device.good(&[0x1e, 0, 0, 0, 1, 0])?;
    let refused = device.send(&UNLOAD).and_then(|answer| answer.fails((5, 0x53, 0x02)));
    device.good(&[0x1e, 0, 0, 0, 0, 0])?;
    refused?;
    device.good(&[0; 6])
}

fn reload(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(FILEMARKS, 1))?;
    device.good(&UNLOAD)?;
    let failure = device.send(&[0; 6])?.fails_any()?;
    want!(
        matches!(failure.code, (2, 0x3a, _) | (2, 0x04, 0x02)),
        "unloaded, it tells {:02x?}",
        failure.code
    );
    device.good(&LOAD)?;
    device.settle()?;
    stands_before(device, Next::Block(0))
}
