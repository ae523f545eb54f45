//! Worked bytes, written by hand from the layouts of RFC 7143 §11, and the properties of all messages.

use proptest::prelude::*;

use super::*;

/// A header from hexadecimal words; spaces are for the reader.
fn header(hex: &str) -> Header {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    assert_eq!(digits.len(), 2 * HEADER_BYTES, "{hex}");
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    Header::from_bytes(bytes.try_into().unwrap())
}

fn is_request(hex: &str, message: impl Into<Request>) {
    let message = message.into();
    assert_eq!(Request::parse(&header(hex)).unwrap(), message);
    assert_eq!(message.build(), header(hex), "{message:?}");
}

fn is_response(hex: &str, message: impl Into<Response>) {
    let message = message.into();
    assert_eq!(Response::parse(&header(hex)).unwrap(), message);
    assert_eq!(message.build(), header(hex), "{message:?}");
}

const COUNTERS: Counters = Counters { stat_sn: 0x0102_0304, exp_cmd_sn: 0x10, max_cmd_sn: 0x2f };

#[test]
fn requests() {
    is_request(
        // I, NOP-Out | F | LUN 2 | ITT none | TTT | CmdSN | ExpStatSN
        "40 80 0000 00000000 0002000000000000 ffffffff 0000abcd 00000007 00000009
         00000000 00000000 00000000 00000000",
        NopOut {
            is_immediate: true,
            lun: 2,
            task_tag: NO_TAG,
            transfer_tag: 0xabcd,
            cmd_sn: 7,
            exp_stat_sn: 9,
        },
    );
    is_request(
        // SCSI Command | F, W, simple | LUN 1 | ITT | EDTL 262144 | CmdSN | ExpStatSN | WRITE(6)
        "01 a1 0000 00000000 0001000000000000 00000011 00040000 00000005 00000006
         0a000400 00000000 00000000 00000000",
        ScsiCommand {
            is_immediate: false,
            is_final: true,
            is_read: false,
            is_write: true,
            attributes: Attributes::Simple,
            lun: 1,
            task_tag: 0x11,
            expected_bytes: 0x40000,
            cmd_sn: 5,
            exp_stat_sn: 6,
            cdb: [0x0a, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        },
    );
    is_request(
        // I, Task Management | F, LOGICAL UNIT RESET | LUN 300 flat | ITT | RTT | CmdSN | ExpStatSN | RefCmdSN
        "42 85 0000 00000000 412c000000000000 00000012 ffffffff 00000008 00000009
         00000007 00000000 00000000 00000000",
        TaskManagementRequest {
            is_immediate: true,
            function: TaskFunction::LogicalUnitReset,
            lun: 300,
            task_tag: 0x12,
            referenced_tag: NO_TAG,
            cmd_sn: 8,
            exp_stat_sn: 9,
            ref_cmd_sn: 7,
            exp_data_sn: 0,
        },
    );
    is_request(
        // I, Login | T, CSG 0, NSG 1 | versions | ISID | TSIH | ITT | CID | CmdSN | ExpStatSN
        "43 81 0000 00000000 80123456789a 0000 00000001 0002 0000 00000003 00000004
         00000000 00000000 00000000 00000000",
        LoginRequest {
            transit: Transit {
                current: Stage::Security,
                next: Some(Stage::Operational),
                is_continued: false,
            },
            version_max: 0,
            version_min: 0,
            isid: [0x80, 0x12, 0x34, 0x56, 0x78, 0x9a],
            tsih: 0,
            task_tag: 1,
            connection: 2,
            cmd_sn: 3,
            exp_stat_sn: 4,
        },
    );
    is_request(
        // Text | F
        "04 80 0000 00000000 0000000000000000 00000013 ffffffff 00000005 00000006
         00000000 00000000 00000000 00000000",
        TextRequest {
            is_immediate: false,
            is_final: true,
            is_continued: false,
            lun: 0,
            task_tag: 0x13,
            transfer_tag: NO_TAG,
            cmd_sn: 5,
            exp_stat_sn: 6,
        },
    );
    is_request(
        // Data-Out | F | LUN | ITT | TTT | reserved | ExpStatSN | reserved | DataSN | offset | reserved
        "05 80 0000 00000000 0001000000000000 00000011 000000aa 00000000 00000006
         00000000 00000003 00030000 00000000",
        DataOut {
            is_final: true,
            lun: 1,
            task_tag: 0x11,
            transfer_tag: 0xaa,
            exp_stat_sn: 6,
            data_sn: 3,
            offset: 0x30000,
        },
    );
    is_request(
        // I, Logout | F, close session | ITT | CID
        "46 80 0000 00000000 0000000000000000 00000014 0001 0000 00000005 00000006
         00000000 00000000 00000000 00000000",
        LogoutRequest {
            is_immediate: true,
            reason: LogoutReason::CloseSession,
            task_tag: 0x14,
            connection: 1,
            cmd_sn: 5,
            exp_stat_sn: 6,
        },
    );
    is_request(
        // SNACK | F, status | ITT | tag | ExpStatSN | BegRun | RunLength
        "10 81 0000 00000000 0000000000000000 ffffffff 00000000 00000000 00000006
         00000000 00000000 00000004 00000002",
        Snack {
            kind: 1,
            lun: 0,
            task_tag: NO_TAG,
            snack_tag: 0,
            exp_stat_sn: 6,
            first: 4,
            count: 2,
        },
    );
}

#[test]
fn responses() {
    is_response(
        // NOP-In | F | LUN | ITT none | TTT | counters
        "20 80 0000 00000000 0000000000000000 ffffffff 00000055 01020304 00000010 0000002f
         00000000 00000000 00000000",
        NopIn { lun: 0, task_tag: NO_TAG, transfer_tag: 0x55, counters: COUNTERS },
    );
    is_response(
        // SCSI Response | F, U | completed, CHECK CONDITION | ITT | counters | ExpDataSN | residuals
        "21 82 00 02 00000000 0000000000000000 00000011 00000000 01020304 00000010 0000002f
         00000001 00000000 00040000",
        ScsiResponse {
            response: ServiceResponse::Completed,
            status: 2,
            task_tag: 0x11,
            snack_tag: 0,
            counters: COUNTERS,
            exp_data_sn: 1,
            residual: Residual::Underflow(0x40000),
        },
    );
    is_response(
        "22 80 01 00 00000000 0000000000000000 00000012 00000000 01020304 00000010 0000002f
         00000000 00000000 00000000",
        TaskManagementResponse { result: TaskResult::NoTask, task_tag: 0x12, counters: COUNTERS },
    );
    is_response(
        // Login Response | T, CSG 1, NSG 3 | versions | ISID | TSIH | ITT | counters | status
        "23 87 0000 00000000 80123456789a 0007 00000001 00000000 01020304 00000010 0000002f
         0201 0000 00000000 00000000",
        LoginResponse {
            transit: Transit {
                current: Stage::Operational,
                next: Some(Stage::FullFeature),
                is_continued: false,
            },
            version_max: 0,
            version_active: 0,
            isid: [0x80, 0x12, 0x34, 0x56, 0x78, 0x9a],
            tsih: 7,
            task_tag: 1,
            counters: COUNTERS,
            status: LoginStatus::AUTHENTICATION_FAILED,
        },
    );
    is_response(
        // Text Response | C, not final
        "24 40 0000 00000000 0000000000000000 00000013 00000077 01020304 00000010 0000002f
         00000000 00000000 00000000",
        TextResponse {
            is_final: false,
            is_continued: true,
            lun: 0,
            task_tag: 0x13,
            transfer_tag: 0x77,
            counters: COUNTERS,
        },
    );
    is_response(
        // Data-In | F, U, S | status GOOD | counters | DataSN | offset | residual
        "25 83 00 00 00000000 0000000000000000 00000011 ffffffff 01020304 00000010 0000002f
         00000002 00020000 00000008",
        DataIn {
            is_final: true,
            is_acknowledged: false,
            status: Some(DataInStatus { status: 0, residual: Residual::Underflow(8) }),
            lun: 0,
            task_tag: 0x11,
            transfer_tag: NO_TAG,
            counters: COUNTERS,
            data_sn: 2,
            offset: 0x20000,
        },
    );
    is_response(
        "26 80 00 00 00000000 0000000000000000 00000014 00000000 01020304 00000010 0000002f
         00000000 0002 0014 00000000",
        LogoutResponse {
            result: LogoutResult::Closed,
            task_tag: 0x14,
            counters: COUNTERS,
            time2wait: 2,
            time2retain: 20,
        },
    );
    is_response(
        // R2T | F | LUN | ITT | TTT | counters | R2TSN | offset | desired
        "31 80 0000 00000000 0001000000000000 00000011 000000aa 01020304 00000010 0000002f
         00000001 00010000 00030000",
        ReadyToTransfer {
            lun: 1,
            task_tag: 0x11,
            transfer_tag: 0xaa,
            counters: COUNTERS,
            r2t_sn: 1,
            offset: 0x10000,
            desired_bytes: 0x30000,
        },
    );
    is_response(
        // Async | F | LUN | ffffffff | reserved | counters | event, code, parameters | reserved
        "32 80 0000 00000000 0000000000000000 ffffffff 00000000 01020304 00000010 0000002f
         01 00 0000 0000 000a 00000000",
        Asynchronous {
            event: AsyncEvent::LogoutRequested,
            vendor_code: 0,
            lun: 0,
            counters: COUNTERS,
            parameters: [0, 0, 10],
        },
    );
    is_response(
        "3f 80 04 00 00000000 0000000000000000 ffffffff 00000000 01020304 00000010 0000002f
         00000003 00000000 00000000",
        Reject { reason: RejectReason::Protocol, counters: COUNTERS, data_sn: 3 },
    );
}

#[test]
fn lengths_are_in_the_header_and_no_field() {
    let mut bytes = *header(
        "21 80 00 00 00000000 0000000000000000 00000011 00000000 01020304 00000010 0000002f
         00000000 00000000 00000000",
    )
    .as_bytes();
    let bare = Response::parse(&Header::from_bytes(bytes)).unwrap();
    bytes[4..8].copy_from_slice(&[2, 0, 1, 0x14]);
    let full = Header::from_bytes(bytes);
    assert_eq!((full.additional_bytes(), full.data_bytes()), (8, 0x114));
    assert_eq!(Response::parse(&full).unwrap(), bare);
}

#[test]
fn what_travels_the_other_way_is_refused() {
    for code in 0..=0x3fu8 {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = code;
        let header = Header::from_bytes(bytes);
        let is_request = matches!(code, 0x00..=0x06 | 0x10);
        let is_response = matches!(code, 0x20..=0x26 | 0x31 | 0x32 | 0x3f);
        assert_eq!(Request::parse(&header).is_ok(), is_request, "{code:02x}");
        assert_eq!(Response::parse(&header).is_ok(), is_response, "{code:02x}");
    }
}

#[test]
fn stages_of_a_login_go_forward() {
    for (flags, is_sound) in [
        (0x00, true),  // security, not ready
        (0x40, true),  // text goes on
        (0x81, true),  // security to operational
        (0x83, true),  // security to full feature
        (0x87, true),  // operational to full feature
        (0x04, true),  // operational, not ready
        (0x02, true),  // the next stage without transit means nothing
        (0x80, false), // security to security
        (0x82, false), // to the reserved stage
        (0x84, false), // back to security
        (0x85, false), // operational to operational
        (0x08, false), // in the reserved stage
        (0x0c, false), // in the full feature phase
        (0xc1, false), // transit with text to come
    ] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&[0x43, flags]);
        let parsed = Request::parse(&Header::from_bytes(bytes));
        assert_eq!(parsed.is_ok(), is_sound, "{flags:02x}: {parsed:?}");
        // A response that says why a login failed is read whatever its flags are.
        (bytes[0], bytes[36]) = (0x23, 2);
        Response::parse(&Header::from_bytes(bytes)).unwrap();
    }
}

#[test]
fn both_residual_flags_at_once_count_as_none() {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..2].copy_from_slice(&[0x21, 0x86]);
    bytes[47] = 9;
    let Response::Command(response) = Response::parse(&Header::from_bytes(bytes)).unwrap() else {
        panic!("no SCSI Response");
    };
    assert_eq!(response.residual, Residual::None);
}

#[test]
fn residuals_of_what_was_expected_and_what_there_is() {
    for (expected, actual, residual) in [
        (10, 10, Residual::None),
        (10, 4, Residual::Underflow(6)),
        (4, 10, Residual::Overflow(6)),
        (0, 1 << 40, Residual::Overflow(u32::MAX)),
    ] {
        assert_eq!(Residual::between(expected, actual), residual);
    }
}

#[test]
fn sense_in_a_data_segment() {
    let sense = [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0];
    let segment = ScsiResponse::segment_of(&sense);
    assert_eq!(segment[..3], [0, 18, 0x70]);
    assert_eq!(ScsiResponse::sense_in(&segment), sense);
    // Response data behind the sense data is not sense; a length beyond the segment is cut.
    assert_eq!(ScsiResponse::sense_in(&[0, 1, 0x70, 0xff]), [0x70]);
    assert_eq!(ScsiResponse::sense_in(&[0xff, 0xff, 0x70]), [0x70]);
    assert_eq!(ScsiResponse::sense_in(&[7]), [0u8; 0]);
    assert!(ScsiResponse::segment_of(&[]).is_empty());
}

#[test]
fn which_messages_count_as_a_status() {
    let nop = |task_tag| NopIn { lun: 0, task_tag, transfer_tag: 1, counters: COUNTERS };
    assert!(!Response::from(nop(NO_TAG)).has_status());
    assert!(Response::from(nop(5)).has_status());
}

proptest! {
    #[test]
    fn whatever_is_parsed_is_built_to_the_same_message(
        bytes in prop::collection::vec(any::<u8>(), HEADER_BYTES),
        opcode in prop::sample::select(vec![0u8, 1, 2, 3, 4, 5, 6, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f]),
    ) {
        let mut bytes: [u8; HEADER_BYTES] = bytes.try_into().unwrap();
        bytes[0] = bytes[0] & !OPCODE_MASK | opcode;
        let header = Header::from_bytes(bytes);
        if let Ok(message) = Request::parse(&header) {
            prop_assert_eq!(Request::parse(&message.build()).unwrap(), message);
        }
        if let Ok(message) = Response::parse(&header) {
            prop_assert_eq!(Response::parse(&message.build()).unwrap(), message);
        }
    }
}
