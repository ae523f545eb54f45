//! Logical block protection (SSC-5 §4.2.29): a check value that travels with each block between host and
//! drive, so that what the drive records is what the host sent.
//!
//! The value is the last four bytes of a block on its way. A drive checks it before it records the
//! block (4/10/01 if it is wrong), and makes it anew when it reads one; a host checks that. It is not part of what
//! other hosts read.
//!
//! | method | | in the block |
//! |--:|---|---|
//! | 1 | Reed-Solomon CRC, LTO-5 and newer | most significant byte first |
//! | 2 | CRC-32C (Castagnoli), LTO-7 and newer | least significant byte first |
//!
//! | control data protection mode page 0Ah/F0h | off | size |
//! |---|--:|--:|
//! | 4Ah, F0h | 0 | 2 |
//! | page length 001Ch | 2 | 2 |
//! | method, 0 for none | 4 | 1 |
//! | length of the value, 4, in bits 5–0 | 5 | 1 |
//! | LBP_W 80h, LBP_R 40h, RBDP 20h | 6 | 1 |
//! | reserved | 7 | 25 |
//!
//! | VPD page B5h, behind its header | off | size |
//! |---|--:|--:|
//! | reserved | 0 | 4 |
//! | descriptors | 4 | 8 each |
//!
//! | descriptor | off | size |
//! |---|--:|--:|
//! | length of the rest, 07h | 0 | 1 |
//! | method | 1 | 1 |
//! | length of the value in bits 5–0 | 2 | 1 |
//! | LBP_W_C 80h, LBP_R_C 40h, RBDP_C 20h | 3 | 1 |
//! | reserved | 4 | 4 |

use super::fields::Fields;
use super::mode::Parameters;
use super::opcode;
use crate::transport::Error;

/// Bytes of a check value.
pub const CHECK_BYTES: usize = 4;
/// Mode page.
pub const PAGE: u8 = 0x0a;
/// Its subpage.
pub const SUBPAGE: u8 = 0xf0;
/// VPD page of what a drive can do.
pub const VPD_PROTECTION: u8 = 0xb5;

const PAGE_BYTES: usize = 32;
const DESCRIPTOR: usize = 8;
const WRITES: u8 = 0x80;
const READS: u8 = 0x40;
const RECOVERED: u8 = 0x20;

/// How the check value is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Reed-Solomon CRC.
    ReedSolomon,
    /// CRC-32C.
    Crc32c,
}

impl Method {
    /// From the number on the wire.
    pub const fn from_byte(byte: u8) -> Option<Method> {
        match byte {
            1 => Some(Method::ReedSolomon),
            2 => Some(Method::Crc32c),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn to_byte(self) -> u8 {
        match self {
            Method::ReedSolomon => 1,
            Method::Crc32c => 2,
        }
    }

    /// The check value of a block, as it stands behind it.
    pub fn check(self, data: &[u8]) -> [u8; CHECK_BYTES] {
        match self {
            Method::ReedSolomon => reed_solomon(data).to_be_bytes(),
            Method::Crc32c => crc32c::crc32c(data).to_le_bytes(),
        }
    }

    /// The data of a block that ends in its check value; `None` if the value does not match, or if there is
    /// no data.
    pub fn verified(self, block: &[u8]) -> Option<&[u8]> {
        let (data, check) = block.split_last_chunk::<CHECK_BYTES>()?;
        (!data.is_empty() && self.check(data) == *check).then_some(data)
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Method::ReedSolomon => "Reed-Solomon CRC",
            Method::Crc32c => "CRC-32C",
        })
    }
}

/// Product in GF(256) modulo 11Dh.
const fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a as u16, b, 0u16);
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a <<= 1;
        if a & 0x100 != 0 {
            a ^= 0x11d;
        }
        b >>= 1;
    }
    product as u8
}

/// What a byte adds to the register.
const FEEDBACK: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let k = byte as u8;
        table[byte] = u32::from_be_bytes([
            multiply(k, 0x38),
            multiply(k, 0xcf),
            multiply(k, 0x38),
            multiply(k, 0x01),
        ]);
        byte += 1;
    }
    table
};

/// The Reed-Solomon CRC (SSC-5 annex D).
pub fn reed_solomon(data: &[u8]) -> u32 {
    data.iter().fold(0u32, |register, byte| {
        let [top, ..] = register.to_be_bytes();
        let feedback = FEEDBACK.get(usize::from(byte ^ top)).copied().unwrap_or(0);
        (register << 8) ^ feedback
    })
}

/// The mode page: what is in force for the host that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    /// `None`: off.
    pub method: Option<Method>,
    /// Blocks to the drive carry a value (LBP_W).
    pub writes: bool,
    /// Blocks from the drive carry one (LBP_R).
    pub reads: bool,
    /// Blocks recovered from the buffer carry one (RBDP).
    pub recovered: bool,
}

impl Protection {
    /// A value with each block, both ways.
    pub const fn full(method: Method) -> Protection {
        Protection { method: Some(method), writes: true, reads: true, recovered: false }
    }

    /// From a reply that contains the page.
    pub fn parse(parameters: &Parameters) -> Result<Protection, Error> {
        let bytes = parameters.page(PAGE, SUBPAGE).unwrap_or(&[]);
        let fields = Fields::new(opcode::MODE_SENSE_10, "control data protection mode page", bytes);
        fields.slice(0, PAGE_BYTES)?;
        Protection::of_fields(&fields)
    }

    /// From the page's bytes behind its header, as a drive gets them with MODE SELECT.
    pub fn parse_body(body: &[u8]) -> Result<Protection, Error> {
        let page = [&[0; 4], body].concat();
        Protection::of_fields(&Fields::new(
            opcode::MODE_SELECT_10,
            "control data protection mode page",
            &page,
        ))
    }

    fn of_fields(fields: &Fields<'_>) -> Result<Protection, Error> {
        let (method, length, flags) = (fields.u8(4)?, fields.u8(5)? & 0x3f, fields.u8(6)?);
        let method = match (method, length) {
            // Some drives leave a length although the method is none.
            (0, _) => None,
            (method, 4) => Some(
                Method::from_byte(method)
                    .ok_or_else(|| fields.malformed(format_args!("method {method}")))?,
            ),
            (method, length) => {
                return Err(fields
                    .malformed(format_args!("method {method} with a value of {length} bytes")));
            }
        };
        Ok(Protection {
            method,
            writes: method.is_some() && flags & WRITES != 0,
            reads: method.is_some() && flags & READS != 0,
            recovered: method.is_some() && flags & RECOVERED != 0,
        })
    }

    /// The page.
    pub fn build(&self) -> [u8; PAGE_BYTES] {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let mut page = [0; PAGE_BYTES];
        let head = [0x40 | PAGE, SUBPAGE, 0, (PAGE_BYTES - 4) as u8];
        let body = match self.method {
            None => [0; 3],
            Some(method) => [
                method.to_byte(),
                CHECK_BYTES as u8,
                flag(self.writes, WRITES)
                    | flag(self.reads, READS)
                    | flag(self.recovered, RECOVERED),
            ],
        };
        for (place, byte) in page.iter_mut().zip(head.into_iter().chain(body)) {
            *place = byte;
        }
        page
    }
}

/// VPD page B5h behind its header: no protection, then each of these methods both ways.
pub fn build_support(methods: &[Method]) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend([0x07, 0, 0, 0, 0, 0, 0, 0]);
    for method in methods {
        body.extend([0x07, method.to_byte(), CHECK_BYTES as u8, WRITES | READS, 0, 0, 0, 0]);
    }
    body
}

/// The methods that a drive offers both ways, from VPD page B5h behind its header.
pub fn parse_support(body: &[u8]) -> Vec<Method> {
    let mut methods = Vec::new();
    let mut rest = body.get(4..).unwrap_or_default();
    while let [length, method, information, flags, ..] = rest {
        let both = WRITES | READS;
        if flags & both == both
            && usize::from(information & 0x3f) == CHECK_BYTES
            && let Some(method) = Method::from_byte(*method)
        {
            methods.push(method);
        }
        let next = usize::from(*length) + 1;
        rest = rest.get(next.max(DESCRIPTOR)..).unwrap_or_default();
    }
    methods
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGITS: &[u8] = b"123456789";

    #[test]
    fn check_values_are_those_of_the_standards() {
        assert_eq!(Method::Crc32c.check(DIGITS), [0x83, 0x92, 0x06, 0xe3]);
        assert_eq!(Method::ReedSolomon.check(DIGITS), [0x4b, 0x4f, 0x67, 0x3a]);
        assert_eq!(reed_solomon(&[]), 0);
    }

    #[test]
    fn a_block_is_verified_whole_or_not_at_all() {
        for method in [Method::ReedSolomon, Method::Crc32c] {
            let block = [DIGITS, &method.check(DIGITS)].concat();
            assert_eq!(method.verified(&block), Some(DIGITS));
            for at in 0..block.len() {
                let mut bad = block.clone();
                bad[at] ^= 1;
                assert_eq!(method.verified(&bad), None, "{method} byte {at}");
                assert_eq!(method.verified(&block[..at]), None, "{method} {at} bytes");
            }
            // A value alone is a value of nothing.
            assert_eq!(method.verified(&method.check(&[])), None);
        }
    }

    #[test]
    fn pages_are_those_of_the_facts() {
        let page = Protection::full(Method::Crc32c).build();
        assert_eq!(page[..8], [0x4a, 0xf0, 0, 0x1c, 2, 4, 0xc0, 0]);
        assert_eq!(page.len(), 32);
        let parameters = |page: &[u8]| Parameters { pages: page.to_vec(), ..Default::default() };
        assert_eq!(
            Protection::parse(&parameters(&page)).unwrap(),
            Protection::full(Method::Crc32c)
        );
        assert_eq!(Protection::parse_body(&page[4..]).unwrap(), Protection::full(Method::Crc32c));
        let off = Protection::default().build();
        assert_eq!(off[4..], [0; 28]);
        assert_eq!(Protection::parse(&parameters(&off)).unwrap(), Protection::default());
        for bad in [[3, 4, 0xc0], [2, 8, 0xc0]] {
            let mut page = page;
            page[4..7].copy_from_slice(&bad);
            assert!(Protection::parse(&parameters(&page)).is_err(), "{bad:?}");
        }
        assert!(Protection::parse(&parameters(&page[..31])).is_err());
        assert!(Protection::parse(&parameters(&[])).is_err());

        let support = build_support(&[Method::ReedSolomon, Method::Crc32c]);
        assert_eq!(
            support,
            [
                0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 7, 1, 4, 0xc0, 0, 0, 0, 0, 7, 2, 4, 0xc0, 0, 0,
                0, 0
            ]
        );
        assert_eq!(parse_support(&support), [Method::ReedSolomon, Method::Crc32c]);
        // One way only is of no use here; other lengths and methods are not known.
        let odd = [
            0, 0, 0, 0, 7, 1, 4, 0x80, 0, 0, 0, 0, 7, 2, 8, 0xc0, 0, 0, 0, 0, 7, 3, 4, 0xc0, 0, 0,
            0, 0, 7, 2,
        ];
        assert_eq!(parse_support(&odd), []);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_support(&bytes);
            let _ = Protection::parse_body(&bytes);
            let _ = Protection::parse(&Parameters { pages: bytes, ..Default::default() });
        }

        #[test]
        fn the_table_equals_the_definition(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut register = [0u8; 4];
            for byte in &bytes {
                let k = byte ^ register[0];
                register = [
                    register[1] ^ multiply(k, 0x38),
                    register[2] ^ multiply(k, 0xcf),
                    register[3] ^ multiply(k, 0x38),
                    multiply(k, 0x01),
                ];
            }
            prop_assert_eq!(reed_solomon(&bytes), u32::from_be_bytes(register));
        }
    }
}
