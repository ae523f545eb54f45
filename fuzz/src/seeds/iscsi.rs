//! Streams of messages, one of each kind that has a shape of its own.

use scsi::iscsi::frame::{Digests, Outgoing, Writer};
use scsi::iscsi::negotiation::Negotiation;
use scsi::iscsi::parameters::Wishes;
use scsi::iscsi::pdu::{AsyncEvent, Attributes, RejectReason, ServiceResponse};
use scsi::iscsi::pdu::{
    Asynchronous, Counters, DataIn, DataOut, LoginRequest, LoginResponse, LoginStatus, NO_TAG,
    NopIn, NopOut, ReadyToTransfer, Reject, Request, Residual, Response, ScsiCommand, ScsiResponse,
    Stage, Transit,
};
use scsi::iscsi::text::Text;

/// Both halves of iSCSI sessions, without and with digests.
pub fn iscsi_streams() -> Vec<Vec<u8>> {
    let mut proposals = Text::new();
    proposals.push("InitiatorName", "iqn.2026-01.test:a").push("AuthMethod", "CHAP,None");
    Negotiation::new(Wishes::default(), false).propose(&mut proposals);
    let mut chap = Text::new();
    chap.push("CHAP_A", "5")
        .push("CHAP_I", "7")
        .push("CHAP_C", "0x00112233445566778899aabbccddeeff");
    chap.push("CHAP_N", "a").push("CHAP_R", "0bAAAAAAAAAAAAAAAAAAAAAA==");
    let (proposals, chap) = (proposals.to_bytes(), chap.to_bytes());
    let counters = Counters { stat_sn: 1, exp_cmd_sn: 1, max_cmd_sn: 9 };
    let transit = Transit {
        current: Stage::Operational,
        next: Some(Stage::FullFeature),
        is_continued: false,
    };
    let requests: [(Request, &[u8]); 5] = [
        (
            LoginRequest {
                transit,
                version_max: 0,
                version_min: 0,
                isid: [0x80, 0, 0, 0, 0, 1],
                tsih: 0,
                task_tag: 0,
                connection: 0,
                cmd_sn: 1,
                exp_stat_sn: 0,
            }
            .into(),
            &proposals,
        ),
        (
            ScsiCommand {
                is_immediate: false,
                is_final: false,
                is_read: false,
                is_write: true,
                attributes: Attributes::Simple,
                lun: 1,
                task_tag: 1,
                expected_bytes: 9,
                cmd_sn: 1,
                exp_stat_sn: 2,
                cdb: [0x0a, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            }
            .into(),
            b"data",
        ),
        (
            DataOut {
                is_final: true,
                lun: 0,
                task_tag: 1,
                transfer_tag: NO_TAG,
                exp_stat_sn: 2,
                data_sn: 0,
                offset: 4,
            }
            .into(),
            b"more!",
        ),
        (
            NopOut {
                is_immediate: true,
                lun: 0,
                task_tag: 2,
                transfer_tag: NO_TAG,
                cmd_sn: 2,
                exp_stat_sn: 2,
            }
            .into(),
            b"",
        ),
        (
            scsi::iscsi::pdu::TextRequest {
                is_immediate: false,
                is_final: true,
                is_continued: false,
                lun: 0,
                task_tag: 3,
                transfer_tag: NO_TAG,
                cmd_sn: 2,
                exp_stat_sn: 2,
            }
            .into(),
            &chap,
        ),
    ];
    let sense = ScsiResponse::segment_of(&scsi::Sense::FILEMARK.to_fixed());
    let responses: [(Response, &[u8]); 7] = [
        (
            LoginResponse {
                transit,
                version_max: 0,
                version_active: 0,
                isid: [0x80, 0, 0, 0, 0, 1],
                tsih: 1,
                task_tag: 0,
                counters,
                status: LoginStatus::SUCCESS,
            }
            .into(),
            &proposals,
        ),
        (
            DataIn {
                is_final: true,
                is_acknowledged: false,
                status: None,
                lun: 0,
                task_tag: 1,
                transfer_tag: NO_TAG,
                counters,
                data_sn: 0,
                offset: 0,
            }
            .into(),
            b"a block",
        ),
        (
            ScsiResponse {
                response: ServiceResponse::Completed,
                status: 2,
                task_tag: 1,
                snack_tag: 0,
                counters,
                exp_data_sn: 1,
                residual: Residual::Underflow(5),
            }
            .into(),
            &sense,
        ),
        (
            ReadyToTransfer {
                lun: 1,
                task_tag: 1,
                transfer_tag: 7,
                counters,
                r2t_sn: 0,
                offset: 4,
                desired_bytes: 5,
            }
            .into(),
            b"",
        ),
        (NopIn { lun: 0, task_tag: NO_TAG, transfer_tag: 3, counters }.into(), b""),
        (
            Asynchronous {
                event: AsyncEvent::Scsi,
                vendor_code: 0,
                lun: 1,
                counters,
                parameters: [0; 3],
            }
            .into(),
            &sense,
        ),
        (Reject { reason: RejectReason::Protocol, counters, data_sn: 0 }.into(), &[0; 48]),
    ];
    let requests: Vec<Outgoing<'_>> =
        requests.iter().map(|(message, data)| Outgoing::new(message.build(), data)).collect();
    let responses: Vec<Outgoing<'_>> =
        responses.iter().map(|(message, data)| Outgoing::new(message.build(), data)).collect();
    let mut seeds = vec![[&[0][..], &proposals].concat(), [&[0][..], &chap].concat()];
    for (flags, digests) in [(0, Digests::default()), (3, Digests { header: true, data: true })] {
        for messages in [&requests, &responses] {
            let mut writer = Writer::new(vec![flags]);
            writer.set_digests(digests);
            writer.send(messages).unwrap();
            seeds.push(writer.stream().clone());
        }
    }
    seeds
}
