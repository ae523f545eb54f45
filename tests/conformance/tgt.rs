//! What `tgt` 1.0.85 (Debian 12) gets wrong, as this suite sees it. Everything else about it is as the standards say, and so is our
//! initiator's part in it.

/// The check, and what tgt does instead.
pub const KNOWN: &[(&str, &str)] = &[
    (
        "changer: a move to an element that does not exist is refused",
        "5/24/00 for a bad element address",
    ),
    ("changer: drives tell vendor, model and serial number", "the transfer is 8 bytes short"),
    (
        "changer: eight bytes are enough to ask for the size of an element status",
        "the allocation length is ignored",
    ),
    (
        "changer: element status begins where it is told to and ends after as many as asked for",
        "the number of elements is ignored, and the transfer is 8 bytes short",
    ),
    ("changer: element status behind the last element is refused", "an empty reply instead"),
    (
        "changer: element status of all types at once has them all once",
        "pages overwrite each other",
    ),
    (
        "changer: element status of each type has as many elements as page 1Dh tells",
        "the transfer is 8 bytes short",
    ),
    (
        "changer: every byte that the header of an element status announces arrives",
        "the transfer is 8 bytes short",
    ),
    ("drive: ERASE ends the tape where it stands", "no ERASE"),
    ("drive: FIXED needs a block length", "tries to read blocks of no length"),
    ("drive: LOCATE beyond the end stops at the end of data", "no LOCATE"),
    ("drive: LOCATE goes to a file", "no LOCATE"),
    ("drive: LOCATE goes to an object", "no LOCATE"),
    ("drive: LOCATE in its short form goes to an object", "no LOCATE"),
    (
        "drive: MODE SENSE without a page: header and block descriptor",
        "the mode data length is 2 too large",
    ),
    (
        "drive: PREVENT keeps the tape in, ALLOW lets it go",
        "UNLOAD has no effect and is never refused",
    ),
    ("drive: READ POSITION in its short form tells the object", "a stub: always the same bytes"),
    ("drive: READ POSITION tells object and file", "a stub: always the same bytes"),
    ("drive: REPORT DENSITY SUPPORT describes at least one format", "no REPORT DENSITY SUPPORT"),
    ("drive: SILI hides that a block is longer, with variable blocks", "SILI is ignored"),
    ("drive: SILI hides that a block is shorter", "SILI is ignored"),
    ("drive: SPACE back over blocks stops before a filemark", "filemarks count as blocks"),
    ("drive: SPACE back over filemarks ends before the last one", "off by one record"),
    (
        "drive: SPACE beyond the beginning tells how many are missing",
        "no sense at the beginning of the tape",
    ),
    ("drive: SPACE beyond the end of data tells how many are missing", "key 0 at the end of data"),
    ("drive: SPACE goes to the end of data", "8/00/00 at the end of data"),
    ("drive: SPACE over blocks stops behind a filemark", "filemarks count as blocks"),
    ("drive: TapeAlert has 64 flags", "no LOG SENSE"),
    (
        "drive: a block longer than asked for: its first part, ILI and the excess",
        "no data with a negative INFORMATION",
    ),
    (
        "drive: a block shorter than asked for: all of it, ILI and the residual",
        "length and residual are swapped",
    ),
    (
        "drive: a filemark among fixed blocks: what was before it, and how many are missing",
        "the whole buffer is sent, with old bytes",
    ),
    (
        "drive: a filemark is told without data, and passed",
        "the whole buffer is sent, with old bytes",
    ),
    ("drive: a tape that was unloaded can be loaded again", "UNLOAD has no effect"),
    ("drive: all mode pages fit their lengths", "page 0Ah comes with a subpage unasked"),
    ("drive: compression can be switched", "pages in MODE SELECT are refused"),
    ("drive: each log page asked for 4 bytes tells the length that it then has", "no LOG SENSE"),
    ("drive: log page 00h lists the pages", "no LOG SENSE"),
    (
        "drive: reading and writing nothing moves nothing",
        "a READ of no bytes is told as a wrong length",
    ),
    ("drive: the cartridge memory has the medium's serial number", "no READ ATTRIBUTE"),
    (
        "drive: the cartridge memory keeps what a host writes, and loses what it removes",
        "no WRITE ATTRIBUTE",
    ),
    ("drive: the end of data is told as often as it is read", "8/00/00 with EOM"),
    ("drive: writing makes everything behind go away", "8/00/00 at the end of data"),
];
