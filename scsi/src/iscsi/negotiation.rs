//! The negotiation of operational parameters (RFC 7143 §6, §13).
//!
//! | key | result | default |
//! |---|---|---|
//! | HeaderDigest, DataDigest | first of the proposer's list that the other takes | None |
//! | MaxRecvDataSegmentLength | each side declares its own | 8192 |
//! | MaxBurstLength, FirstBurstLength | the smaller | 262144, 65536 |
//! | InitialR2T, DataPDUInOrder, DataSequenceInOrder | Yes if one says Yes | Yes |
//! | ImmediateData | Yes if both say Yes | Yes |
//! | MaxOutstandingR2T, MaxConnections | the smaller | 1 |
//! | DefaultTime2Wait, DefaultTime2Retain | the larger, the smaller | 2, 20 seconds |
//! | ErrorRecoveryLevel | the smaller | 0 |
//!
//! This house speaks one connection a session, error recovery level 0 and data in order, so those keys are
//! answered that way and are no part of [`Parameters`]. Obsolete marker keys are answered No; a value that
//! a key can't have is answered Reject; an unknown key NotUnderstood (§6.2).
//!
//! [`Negotiation`] is free of sides and sockets: both sides feed it what arrives and send what it answers.

use super::parameters::{CRC32C, DigestWish, Parameters, Wishes};
use super::text::{IRRELEVANT, NOT_UNDERSTOOD, REJECT, Text, boolean, parse_boolean, parse_number};
use super::{Error, Result};

/// A key that is negotiated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    HeaderDigest,
    DataDigest,
    RecvDataLength,
    BurstLength,
    FirstBurstLength,
    InitialR2t,
    ImmediateData,
    OutstandingR2t,
    Time2Wait,
    Time2Retain,
    Connections,
    PduInOrder,
    SequenceInOrder,
    ErrorRecoveryLevel,
}

const KEYS: [(&str, Key); 14] = [
    ("HeaderDigest", Key::HeaderDigest),
    ("DataDigest", Key::DataDigest),
    ("MaxRecvDataSegmentLength", Key::RecvDataLength),
    ("MaxBurstLength", Key::BurstLength),
    ("FirstBurstLength", Key::FirstBurstLength),
    ("InitialR2T", Key::InitialR2t),
    ("ImmediateData", Key::ImmediateData),
    ("MaxOutstandingR2T", Key::OutstandingR2t),
    ("DefaultTime2Wait", Key::Time2Wait),
    ("DefaultTime2Retain", Key::Time2Retain),
    ("MaxConnections", Key::Connections),
    ("DataPDUInOrder", Key::PduInOrder),
    ("DataSequenceInOrder", Key::SequenceInOrder),
    ("ErrorRecoveryLevel", Key::ErrorRecoveryLevel),
];

/// Keys that only tell something, or belong to other parts of a login: no answer is due.
const DECLARATIONS: [&str; 8] = [
    "InitiatorName",
    "InitiatorAlias",
    "TargetName",
    "TargetAlias",
    "TargetAddress",
    "TargetPortalGroupTag",
    "SessionType",
    "SendTargets",
];
/// Keys of an older RFC (§13.26).
const MARKERS: [&str; 2] = ["IFMarker", "OFMarker"];
const MARKER_INTERVALS: [&str; 2] = ["IFMarkInt", "OFMarkInt"];

impl Key {
    fn named(name: &str) -> Option<Key> {
        KEYS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key)
    }

    fn name(self) -> &'static str {
        KEYS.iter().find(|(_, key)| *key == self).map_or("", |(name, _)| *name)
    }

    /// Has a meaning in a discovery session (§13: "irrelevant when SessionType=Discovery").
    fn is_for_discovery(self) -> bool {
        matches!(
            self,
            Key::HeaderDigest
                | Key::DataDigest
                | Key::RecvDataLength
                | Key::Time2Wait
                | Key::Time2Retain
                | Key::ErrorRecoveryLevel
        )
    }

    /// Smallest and largest number, for those that have one.
    fn range(self) -> Option<(u64, u64)> {
        match self {
            Key::RecvDataLength | Key::BurstLength | Key::FirstBurstLength => {
                Some((512, (1 << 24) - 1))
            }
            Key::OutstandingR2t | Key::Connections => Some((1, 65_535)),
            Key::Time2Wait | Key::Time2Retain => Some((0, 3600)),
            Key::ErrorRecoveryLevel => Some((0, 2)),
            _ => None,
        }
    }

    fn number(self, value: &str) -> Option<u32> {
        let (min, max) = self.range()?;
        let number = parse_number(value).filter(|number| (min..=max).contains(number))?;
        u32::try_from(number).ok()
    }
}

/// One side of a negotiation.
#[derive(Debug)]
pub struct Negotiation {
    wishes: Wishes,
    is_discovery: bool,
    agreed: Parameters,
    /// Proposed by this side and not answered yet.
    open: Vec<Key>,
    /// Dealt with: a key is negotiated once.
    settled: Vec<Key>,
}

impl Negotiation {
    /// Begins; in a discovery session most keys have no meaning.
    pub fn new(wishes: Wishes, is_discovery: bool) -> Negotiation {
        Negotiation {
            wishes,
            is_discovery,
            agreed: Parameters::default(),
            open: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// What this side declares without proposing anything: for a target, once the operational stage
    /// begins.
    pub fn declare(&mut self, text: &mut Text) {
        self.agreed.recv_data_bytes_max = self.wishes.recv_data_bytes_max;
        text.push(Key::RecvDataLength.name(), self.wishes.recv_data_bytes_max.to_string());
    }

    /// Everything that this side declares and proposes: for an initiator, once.
    pub fn propose(&mut self, text: &mut Text) {
        let wishes = self.wishes.clone();
        self.declare(text);
        for (name, key) in KEYS {
            let value = match key {
                Key::RecvDataLength => continue,
                _ if self.is_discovery && !matches!(key, Key::HeaderDigest | Key::DataDigest) => {
                    continue;
                }
                Key::HeaderDigest => wishes.header_digest.list().join(","),
                Key::DataDigest => wishes.data_digest.list().join(","),
                Key::BurstLength => wishes.burst_bytes_max.to_string(),
                Key::FirstBurstLength => {
                    wishes.first_burst_bytes_max.min(wishes.burst_bytes_max).to_string()
                }
                Key::InitialR2t => boolean(wishes.initial_r2t).to_string(),
                Key::ImmediateData => boolean(wishes.immediate_data).to_string(),
                Key::OutstandingR2t => wishes.outstanding_r2t_max.to_string(),
                Key::Time2Wait => wishes.time2wait_s.to_string(),
                Key::Time2Retain => wishes.time2retain_s.to_string(),
                Key::Connections => "1".to_string(),
                Key::PduInOrder | Key::SequenceInOrder => boolean(true).to_string(),
                Key::ErrorRecoveryLevel => "0".to_string(),
            };
            text.push(name, value);
            self.open.push(key);
        }
    }

    /// Takes one pair from the other side: an answer if this side proposed the key, else a proposal or
    /// declaration, whose answer goes onto `answers`.
    ///
    /// # Errors
    ///
    /// [`Error::Negotiation`] if a key comes again, if an answer refuses what this side needs or can't be
    /// one.
    pub fn receive(&mut self, key: &str, value: &str, answers: &mut Text) -> Result<()> {
        let Some(known) = Key::named(key) else {
            if MARKERS.contains(&key) {
                answers.push(key, boolean(false));
            } else if MARKER_INTERVALS.contains(&key) {
                answers.push(key, REJECT);
            } else if value == NOT_UNDERSTOOD {
                // The other side does not know a key of ours; answering that would go on for ever.
            } else if !DECLARATIONS.contains(&key) {
                answers.push(key, NOT_UNDERSTOOD);
            }
            return Ok(());
        };
        if let Some(place) = self.open.iter().position(|open| *open == known) {
            self.open.remove(place);
            self.settled.push(known);
            return self.take_answer(known, value);
        }
        if self.settled.contains(&known) && known != Key::RecvDataLength {
            return Err(Error::negotiation(key, "it was negotiated before"));
        }
        self.settled.push(known);
        if self.is_discovery && !known.is_for_discovery() {
            answers.push(key, IRRELEVANT);
            return Ok(());
        }
        if known == Key::RecvDataLength {
            let Some(bytes) = known.number(value) else {
                return Err(Error::negotiation(
                    key,
                    format!("'{value}' is no length of 512 to 16777215"),
                ));
            };
            self.agreed.send_data_bytes_max = bytes;
            return Ok(());
        }
        let answer = self.answer(known, value).unwrap_or_else(|| REJECT.to_string());
        answers.push(key, answer);
        Ok(())
    }

    /// What was agreed on, when both sides have said everything.
    ///
    /// # Errors
    ///
    /// [`Error::Negotiation`] if a proposal of this side was not answered, or a required digest was not
    /// agreed on.
    pub fn finish(self) -> Result<Parameters> {
        if let Some(key) = self.open.first() {
            return Err(Error::negotiation(key.name(), "the other side did not answer"));
        }
        let digests = self.agreed.digests;
        for (key, wish, is_agreed) in [
            (Key::HeaderDigest, self.wishes.header_digest, digests.header),
            (Key::DataDigest, self.wishes.data_digest, digests.data),
        ] {
            if wish == DigestWish::Required && !is_agreed {
                return Err(Error::negotiation(
                    key.name(),
                    "CRC32C is required here, the other side has none",
                ));
            }
        }
        let mut agreed = self.agreed;
        agreed.first_burst_bytes_max = agreed.first_burst_bytes_max.min(agreed.burst_bytes_max);
        Ok(agreed)
    }

    fn take_answer(&mut self, key: Key, value: &str) -> Result<()> {
        match value {
            // The default holds.
            NOT_UNDERSTOOD | IRRELEVANT => return Ok(()),
            REJECT => {
                return Err(Error::negotiation(key.name(), "the other side refuses our proposal"));
            }
            _ => {}
        }
        let bad =
            || Error::negotiation(key.name(), format!("'{value}' is no answer to our proposal"));
        if let Some(wish) = self.digest_wish(key) {
            if !wish.list().contains(&value) {
                return Err(bad());
            }
            self.set_digest(key, value == CRC32C);
            return Ok(());
        }
        self.answer(key, value).map(|_| ()).ok_or_else(bad)
    }

    fn digest_wish(&self, key: Key) -> Option<DigestWish> {
        match key {
            Key::HeaderDigest => Some(self.wishes.header_digest),
            Key::DataDigest => Some(self.wishes.data_digest),
            _ => None,
        }
    }

    fn set_digest(&mut self, key: Key, is_set: bool) {
        match key {
            Key::HeaderDigest => self.agreed.digests.header = is_set,
            _ => self.agreed.digests.data = is_set,
        }
    }

    /// Settles `key` from the other side's value and this side's wish, and gives the result as text.
    /// `None` for a value that the key can't have.
    fn answer(&mut self, key: Key, value: &str) -> Option<String> {
        let (wishes, agreed) = (&self.wishes, &mut self.agreed);
        let smaller = |ours: u32| key.number(value).map(|theirs| theirs.min(ours));
        // Seconds and counts have ranges below 65536.
        let short = |number: u32| u16::try_from(number).ok();
        Some(match key {
            Key::HeaderDigest | Key::DataDigest => {
                let ours = self.digest_wish(key)?.list();
                let chosen = value.split(',').find(|theirs| ours.contains(theirs))?.to_string();
                self.set_digest(key, chosen == CRC32C);
                chosen
            }
            // Declared, not negotiated: see `receive`.
            Key::RecvDataLength => return None,
            Key::BurstLength => {
                agreed.burst_bytes_max = smaller(wishes.burst_bytes_max)?;
                agreed.burst_bytes_max.to_string()
            }
            Key::FirstBurstLength => {
                agreed.first_burst_bytes_max = smaller(wishes.first_burst_bytes_max)?;
                agreed.first_burst_bytes_max.to_string()
            }
            Key::InitialR2t => {
                agreed.initial_r2t = parse_boolean(value)? || wishes.initial_r2t;
                boolean(agreed.initial_r2t).to_string()
            }
            Key::ImmediateData => {
                agreed.immediate_data = parse_boolean(value)? && wishes.immediate_data;
                boolean(agreed.immediate_data).to_string()
            }
            Key::OutstandingR2t => {
                agreed.outstanding_r2t_max = short(smaller(wishes.outstanding_r2t_max.into())?)?;
                agreed.outstanding_r2t_max.to_string()
            }
            Key::Time2Wait => {
                agreed.time2wait_s = short(key.number(value)?)?.max(wishes.time2wait_s);
                agreed.time2wait_s.to_string()
            }
            Key::Time2Retain => {
                agreed.time2retain_s = short(smaller(wishes.time2retain_s.into())?)?;
                agreed.time2retain_s.to_string()
            }
            Key::Connections => smaller(1)?.to_string(),
            Key::ErrorRecoveryLevel => smaller(0)?.to_string(),
            Key::PduInOrder | Key::SequenceInOrder => {
                parse_boolean(value)?;
                boolean(true).to_string()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn respond(wishes: &Wishes, key: &str, value: &str) -> (Option<String>, Parameters) {
        let mut negotiation = Negotiation::new(wishes.clone(), false);
        let mut answers = Text::new();
        negotiation.receive(key, value, &mut answers).unwrap();
        (answers.get(key).map(str::to_string), negotiation.finish().unwrap())
    }

    #[test]
    fn answers_to_proposals() {
        let wishes = Wishes {
            header_digest: DigestWish::Preferred,
            data_digest: DigestWish::Never,
            time2wait_s: 3,
            time2retain_s: 9,
            ..Wishes::default()
        };
        for (key, value, answer) in [
            ("HeaderDigest", "CRC32C,None", "CRC32C"),
            ("HeaderDigest", "None,CRC32C", "None"),
            ("HeaderDigest", "MD5,CRC32C", "CRC32C"),
            ("HeaderDigest", "MD5", "Reject"),
            ("DataDigest", "CRC32C,None", "None"),
            ("DataDigest", "CRC32C", "Reject"),
            ("MaxBurstLength", "262144", "262144"),
            ("MaxBurstLength", "16776192", "1048576"),
            ("MaxBurstLength", "0x40000", "262144"),
            ("MaxBurstLength", "511", "Reject"),
            ("MaxBurstLength", "16777216", "Reject"),
            ("MaxBurstLength", "x", "Reject"),
            ("FirstBurstLength", "8192", "8192"),
            ("InitialR2T", "Yes", "Yes"),
            ("InitialR2T", "No", "No"),
            ("InitialR2T", "no", "Reject"),
            ("ImmediateData", "Yes", "Yes"),
            ("ImmediateData", "No", "No"),
            ("MaxOutstandingR2T", "4", "4"),
            ("MaxOutstandingR2T", "40", "8"),
            ("MaxOutstandingR2T", "0", "Reject"),
            ("DefaultTime2Wait", "0", "3"),
            ("DefaultTime2Wait", "20", "20"),
            ("DefaultTime2Retain", "0", "0"),
            ("DefaultTime2Retain", "20", "9"),
            ("DefaultTime2Retain", "3601", "Reject"),
            ("MaxConnections", "8", "1"),
            ("ErrorRecoveryLevel", "2", "0"),
            ("ErrorRecoveryLevel", "3", "Reject"),
            ("DataPDUInOrder", "No", "Yes"),
            ("DataSequenceInOrder", "No", "Yes"),
            ("OFMarker", "Yes", "No"),
            ("IFMarkInt", "2048~8192", "Reject"),
            ("X-com.example.mystery", "1", "NotUnderstood"),
            ("TaskReporting", "RFC3720", "NotUnderstood"),
        ] {
            assert_eq!(respond(&wishes, key, value).0.as_deref(), Some(answer), "{key}={value}");
        }
        for (key, value) in [
            ("MaxRecvDataSegmentLength", "65536"),
            ("TargetAlias", "x"),
            ("SomethingOfOurs", "NotUnderstood"),
        ] {
            assert_eq!(respond(&wishes, key, value).0, None, "{key}");
        }
        assert_eq!(
            respond(&wishes, "MaxRecvDataSegmentLength", "65536").1.send_data_bytes_max,
            65_536
        );
    }

    #[test]
    fn what_a_discovery_session_has_no_use_for() {
        let mut negotiation = Negotiation::new(Wishes::default(), true);
        let mut answers = Text::new();
        for (key, value) in
            [("MaxBurstLength", "262144"), ("InitialR2T", "No"), ("DataDigest", "None")]
        {
            negotiation.receive(key, value, &mut answers).unwrap();
        }
        assert_eq!(answers.get("MaxBurstLength"), Some("Irrelevant"));
        assert_eq!(answers.get("InitialR2T"), Some("Irrelevant"));
        assert_eq!(answers.get("DataDigest"), Some("None"));
        let mut text = Text::new();
        Negotiation::new(Wishes::default(), true).propose(&mut text);
        let keys: Vec<&str> = text.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["MaxRecvDataSegmentLength", "HeaderDigest", "DataDigest"]);
    }

    fn agree(initiator: &Wishes, target: &Wishes) -> (Result<Parameters>, Result<Parameters>) {
        let mut first = Negotiation::new(initiator.clone(), false);
        let mut second = Negotiation::new(target.clone(), false);
        let (mut asked, mut told, mut rest) = (Text::new(), Text::new(), Text::new());
        first.propose(&mut asked);
        second.declare(&mut told);
        for (key, value) in asked.iter() {
            second.receive(key, value, &mut told).unwrap();
        }
        let mut outcome = Ok(());
        for (key, value) in told.iter() {
            outcome = outcome.and(first.receive(key, value, &mut rest));
        }
        assert!(rest.is_empty());
        (outcome.and_then(|()| first.finish()), second.finish())
    }

    #[test]
    fn a_required_digest_is_there_or_there_is_no_session() {
        let wish = |data_digest| Wishes { data_digest, ..Wishes::default() };
        use DigestWish::{Allowed, Never, Preferred, Required};
        for (ours, theirs, outcome) in [
            (Never, Never, Some(false)),
            (Never, Allowed, Some(false)),
            (Allowed, Allowed, Some(false)),
            (Preferred, Allowed, Some(true)),
            (Preferred, Never, Some(false)),
            (Required, Allowed, Some(true)),
            (Required, Never, None),
            (Allowed, Required, Some(true)),
            (Never, Required, None),
        ] {
            let (first, second) = agree(&wish(ours), &wish(theirs));
            match outcome {
                Some(digest) => {
                    assert_eq!(first.unwrap().digests.data, digest, "{ours:?} {theirs:?}");
                    assert_eq!(second.unwrap().digests.data, digest);
                }
                None => assert!(first.is_err(), "{ours:?} {theirs:?}"),
            }
        }
    }

    #[test]
    fn a_key_is_negotiated_once_and_every_proposal_answered() {
        let mut negotiation = Negotiation::new(Wishes::default(), false);
        let mut text = Text::new();
        negotiation.receive("MaxBurstLength", "65536", &mut text).unwrap();
        assert!(negotiation.receive("MaxBurstLength", "65536", &mut text).is_err());
        // A declaration may be renewed.
        for bytes in ["512", "1024"] {
            negotiation.receive("MaxRecvDataSegmentLength", bytes, &mut text).unwrap();
        }
        assert!(negotiation.receive("MaxRecvDataSegmentLength", "0", &mut text).is_err());

        let mut negotiation = Negotiation::new(Wishes::default(), false);
        negotiation.propose(&mut text);
        let error = negotiation.finish().unwrap_err().to_string();
        assert!(error.contains("HeaderDigest") && error.contains("did not answer"), "{error}");
    }

    #[test]
    fn answers_that_are_none() {
        for (key, value) in [
            ("HeaderDigest", "MD5"),
            ("HeaderDigest", "Reject"),
            ("MaxBurstLength", "Reject"),
            ("MaxBurstLength", "many"),
            ("InitialR2T", "Perhaps"),
        ] {
            let mut negotiation = Negotiation::new(Wishes::default(), false);
            let mut text = Text::new();
            negotiation.propose(&mut text);
            assert!(negotiation.receive(key, value, &mut text).is_err(), "{key}={value}");
        }
        let mut negotiation = Negotiation::new(Wishes::default(), false);
        let mut text = Text::new();
        negotiation.propose(&mut text);
        negotiation.receive("MaxBurstLength", "NotUnderstood", &mut text).unwrap();
        assert_eq!(negotiation.agreed.burst_bytes_max, 262_144);
    }

    prop_compose! {
        fn wishes()(
            recv in 512u32..1 << 24, burst in 512u32..1 << 24, first in 512u32..1 << 24,
            initial_r2t: bool, immediate_data: bool, r2t in 1u16.., wait in 0u16..=3600, retain in 0u16..=3600,
        ) -> Wishes {
            Wishes {
                header_digest: DigestWish::Allowed,
                data_digest: DigestWish::Preferred,
                recv_data_bytes_max: recv,
                burst_bytes_max: burst,
                first_burst_bytes_max: first,
                initial_r2t,
                immediate_data,
                outstanding_r2t_max: r2t,
                time2wait_s: wait,
                time2retain_s: retain,
            }
        }
    }

    proptest! {
        #[test]
        fn both_sides_come_to_the_same_agreement(initiator in wishes(), target in wishes()) {
            let (first, second) = agree(&initiator, &target);
            let (first, mut second) = (first.unwrap(), second.unwrap());
            prop_assert_eq!(first.recv_data_bytes_max, initiator.recv_data_bytes_max);
            prop_assert_eq!(first.send_data_bytes_max, target.recv_data_bytes_max);
            prop_assert!(first.first_burst_bytes_max <= first.burst_bytes_max);
            std::mem::swap(&mut second.recv_data_bytes_max, &mut second.send_data_bytes_max);
            prop_assert_eq!(first, second);
        }

        #[test]
        fn any_pair_is_answered_or_refused(key in "[A-Za-z0-9]{1,20}|MaxBurstLength|HeaderDigest|InitialR2T|DefaultTime2Wait", value in ".{0,20}") {
            let mut text = Text::new();
            let _ = Negotiation::new(Wishes::default(), false).receive(&key, &value, &mut text);
        }
    }
}
