//! All that Capstan asks a library to learn what is where, recorded: so that the owner of an odd one can send its
//! answers, and so that they can be looked at without it.
//!
//! Nothing is moved and nothing is changed: INQUIRY, vital product data, mode pages and READ ELEMENT STATUS, in every
//! form in which it is ever asked. Pages whose reading clears them (TapeAlert) are left alone.

use std::sync::PoisonError;
use std::time::Duration;

use scsi::command::element::{ElementType, StatusRequest};
use scsi::command::inquiry::{self, Inquiry};
use scsi::command::mode::{self, Size};
use scsi::transcript::{Recorder, Replay, Transcript};
use scsi::{Data, Transport};

use crate::error::{Error, Result};
use crate::library::{Changer, Patience};
use crate::status::Status;

/// Mode pages of changers: element addresses, transport geometry, capabilities.
const MODE_PAGES: [u8; 3] = [0x1d, 0x1e, 0x1f];

/// So many conditions may be pending at once.
const UNIT_ATTENTIONS: u32 = 8;

/// A transcript is not waited for, but what was asked again is asked again.
const REPLAY_PATIENCE: Patience = Patience {
    poll_interval: Duration::from_millis(1),
    answer_within: Duration::from_millis(100),
    ready_within: Duration::from_millis(100),
    clean_within: Duration::ZERO,
};

/// What a library answered, and what is made of it.
#[derive(Debug)]
pub struct Survey {
    /// Questions and answers.
    pub transcript: Transcript,
    /// What Capstan makes of them.
    pub status: Result<Status>,
}

/// Asks the library behind `transport` everything and writes it down.
///
/// # Errors
///
/// [`Error::NotAChanger`]; or the device cannot be asked what it is. Whatever it answers later is part of the record.
pub fn record(transport: Box<dyn Transport>) -> Result<Survey> {
    let name = transport.name().to_string();
    let mut recorder = Recorder::new(transport);
    let kept = recorder.transcript();
    let inquiry = Inquiry::request(&mut recorder).map_err(|source| Error::Scsi {
        changer: name.clone(),
        doing: "asking what it is",
        source,
    })?;
    if inquiry.kind != inquiry::TYPE_CHANGER {
        return Err(Error::NotAChanger { changer: name, kind: inquiry.kind });
    }
    for page in [inquiry::VPD_SUPPORTED, inquiry::VPD_SERIAL, inquiry::VPD_IDENTIFICATION] {
        // A refusal is an answer, and recorded.
        let _ = inquiry::request_vpd(&mut recorder, page);
    }
    for page in MODE_PAGES {
        // Something may be pending since the last command; it is gone by having been told.
        for _ in 0..UNIT_ATTENTIONS {
            match mode::sense_sized(&mut recorder, Size::Six, page, 0, true) {
                Err(error) if error.sense().is_some_and(scsi::Sense::is_unit_attention) => {}
                _ => break,
            }
        }
    }
    let mut changer = Changer::open(Box::new(recorder))?;
    let status = changer.status();
    ask_in_other_forms(&mut changer.into_transport());
    let mut transcript = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
    transcript.vendor = inquiry.vendor;
    transcript.product = inquiry.product;
    transcript.revision = inquiry.revision;
    Ok(Survey { transcript, status })
}

/// What Capstan makes of a transcript. `name` stands for the library in messages.
pub fn replay(name: &str, transcript: Transcript) -> Result<Status> {
    Changer::open(Box::new(Replay::new(name, transcript)))?.with_patience(REPLAY_PATIENCE).status()
}

/// Element status in the forms that other libraries need; whatever comes is recorded and not used.
fn ask_in_other_forms(transport: &mut dyn Transport) {
    let usual = StatusRequest {
        kind: None,
        tags: true,
        identifiers: false,
        current: false,
        first: 0,
        count: 1000,
        allocation: StatusRequest::ALLOCATION_MAX,
    };
    let forms = [
        // How much there is.
        StatusRequest { allocation: 8, ..usual },
        usual,
        StatusRequest { tags: false, ..usual },
        StatusRequest { identifiers: true, kind: Some(ElementType::Drive), ..usual },
        StatusRequest { count: 64, allocation: 0x1000, kind: Some(ElementType::Storage), ..usual },
    ];
    for form in forms {
        let mut buffer = vec![0; form.allocation as usize];
        let timeout = scsi::command::timeout::ELEMENT_STATUS;
        let _ = transport.execute(&form.cdb(), Data::In(&mut buffer), timeout);
    }
}
