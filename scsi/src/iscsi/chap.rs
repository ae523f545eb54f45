//! CHAP (RFC 7143 §12.1.3; RFC 1994): each side shows that it knows a secret without sending it.
//!
//! | step | from | keys |
//! |--:|---|---|
//! | 1 | initiator | CHAP_A: algorithms it knows, the one it likes best first |
//! | 2 | target | CHAP_A: the one chosen; CHAP_I identifier, CHAP_C challenge |
//! | 3 | initiator | CHAP_N name, CHAP_R response; to have the target show who it is, CHAP_I, CHAP_C of its own |
//! | 4 | target | CHAP_N, CHAP_R, if asked |
//!
//! The response is the hash of identifier, secret and challenge. Algorithm 5 is MD5, which every peer has; 7
//! is SHA-256, for targets that refuse MD5. What is guaranteed:
//!
//! * Challenges are fresh random bytes of the system, one for each exchange.
//! * Nobody gets through by sending a challenge back: a challenge that equals ours is refused, and the
//!   two directions may not have the same secret.
//! * Responses are compared in constant time, and a wrong name costs the same as a wrong secret.
//! * Secrets are wiped from memory and appear in no message.
//!
//! CHAP guards the login only, not the data behind it: on a network of strangers use a tunnel.

use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::text::{NONE, Text, binary, parse_binary, parse_number};
use super::{Error, Result};

/// Value of AuthMethod.
pub const METHOD: &str = "CHAP";
/// Longest challenge or response in bytes that is taken (§12.1.3).
const BINARY_BYTES_MAX: usize = 1024;

/// Hash of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 5.
    Md5,
    /// 7.
    Sha256,
}

impl Algorithm {
    /// In the order in which they are offered. MD5 is first although it is the weaker one: to some targets
    /// (tgt) 7 means SHA-1, as it did before it was registered, and a login that chose it would fail.
    const ALL: [Algorithm; 2] = [Algorithm::Md5, Algorithm::Sha256];

    /// Number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Algorithm::Md5 => 5,
            Algorithm::Sha256 => 7,
        }
    }

    fn challenge_bytes(self) -> usize {
        match self {
            Algorithm::Md5 => 16,
            Algorithm::Sha256 => 32,
        }
    }

    fn from_value(value: &str) -> Option<Algorithm> {
        let number = parse_number(value)?;
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.number() == number)
    }

    /// The response to a challenge.
    pub fn response(self, identifier: u8, secret: &[u8], challenge: &[u8]) -> Vec<u8> {
        match self {
            Algorithm::Md5 => Md5::new()
                .chain_update([identifier])
                .chain_update(secret)
                .chain_update(challenge)
                .finalize()
                .to_vec(),
            Algorithm::Sha256 => Sha256::new()
                .chain_update([identifier])
                .chain_update(secret)
                .chain_update(challenge)
                .finalize()
                .to_vec(),
        }
    }
}

/// A name and its secret.
#[derive(Clone)]
pub struct Credentials {
    name: String,
    secret: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Credentials {
    /// A name and its secret, as agreed with the other side.
    pub fn new(name: impl Into<String>, secret: impl Into<Vec<u8>>) -> Credentials {
        Credentials { name: name.into(), secret: Zeroizing::new(secret.into()) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn check_pair(ours: &Credentials, theirs: Option<&Credentials>) -> Result<()> {
        if ours.secret.is_empty() || theirs.is_some_and(|theirs| theirs.secret.is_empty()) {
            return Err(Error::authentication("a secret is empty"));
        }
        if theirs.is_some_and(|theirs| *theirs.secret == *ours.secret) {
            return Err(Error::authentication(
                "both directions have the same secret, which would let anybody send it back; give \
                 the target another one",
            ));
        }
        Ok(())
    }
}

/// A challenge and what it was asked with.
#[derive(Debug, Clone)]
struct Challenge {
    algorithm: Algorithm,
    identifier: u8,
    bytes: Vec<u8>,
}

impl Challenge {
    fn fresh(algorithm: Algorithm) -> Result<Challenge> {
        let mut bytes = vec![0; 1 + algorithm.challenge_bytes()];
        getrandom::fill(&mut bytes).map_err(|error| Error::Random { reason: error.to_string() })?;
        let identifier = bytes.pop().unwrap_or_default();
        Ok(Challenge { algorithm, identifier, bytes })
    }

    fn read(algorithm: Algorithm, text: &Text) -> Result<Challenge> {
        let identifier = parse_number(required(text, "CHAP_I")?)
            .and_then(|number| u8::try_from(number).ok())
            .ok_or_else(|| Error::authentication("CHAP_I is no number of 0 to 255"))?;
        let bytes = parse_binary(required(text, "CHAP_C")?, BINARY_BYTES_MAX)
            .filter(|bytes| !bytes.is_empty())
            .ok_or_else(|| Error::authentication("CHAP_C is no challenge of 1 to 1024 bytes"))?;
        Ok(Challenge { algorithm, identifier, bytes })
    }

    fn write(&self, text: &mut Text) {
        text.push("CHAP_I", self.identifier.to_string());
        text.push("CHAP_C", binary(&self.bytes));
    }

    fn answer(&self, by: &Credentials, text: &mut Text) {
        let response = self.algorithm.response(self.identifier, &by.secret, &self.bytes);
        text.push("CHAP_N", by.name.clone());
        text.push("CHAP_R", binary(&response));
    }

    /// True if `text` answers this challenge with the right name and secret.
    fn is_answered_by(&self, who: &Credentials, text: &Text) -> Result<bool> {
        let name = required(text, "CHAP_N")?;
        let response = parse_binary(required(text, "CHAP_R")?, BINARY_BYTES_MAX)
            .ok_or_else(|| Error::authentication("CHAP_R is no binary value"))?;
        let expected = self.algorithm.response(self.identifier, &who.secret, &self.bytes);
        let is_right = name.as_bytes().ct_eq(who.name.as_bytes()) & response.ct_eq(&expected);
        Ok(bool::from(is_right))
    }
}

fn required<'a>(text: &'a Text, key: &str) -> Result<&'a str> {
    text.get(key).ok_or_else(|| Error::authentication(format!("{key} is missing")))
}

/// The initiator's part.
#[derive(Debug)]
pub struct InitiatorChap {
    ours: Credentials,
    theirs: Option<Credentials>,
    asked: Option<Challenge>,
}

impl InitiatorChap {
    /// Shows the target `ours`; with `theirs` the target must show that it knows those.
    ///
    /// # Errors
    ///
    /// [`Error::Authentication`] if both have the same secret, or one is empty.
    pub fn new(ours: Credentials, theirs: Option<Credentials>) -> Result<InitiatorChap> {
        Credentials::check_pair(&ours, theirs.as_ref())?;
        Ok(InitiatorChap { ours, theirs, asked: None })
    }

    /// Step 1.
    pub fn offer(&self) -> Text {
        let numbers = Algorithm::ALL.map(|algorithm| algorithm.number().to_string());
        let mut text = Text::new();
        text.push("CHAP_A", numbers.join(","));
        text
    }

    /// Step 3, from what the target sent in step 2.
    pub fn respond(&mut self, text: &Text) -> Result<Text> {
        let chosen = required(text, "CHAP_A")?;
        let algorithm = Algorithm::from_value(chosen).ok_or_else(|| {
            Error::authentication(format!(
                "the target wants algorithm '{chosen}'; 5 (MD5) and 7 (SHA-256) are known here"
            ))
        })?;
        let challenge = Challenge::read(algorithm, text)?;
        let mut answer = Text::new();
        challenge.answer(&self.ours, &mut answer);
        if self.theirs.is_some() {
            let asked = Challenge::fresh(algorithm)?;
            asked.write(&mut answer);
            self.asked = Some(asked);
        }
        Ok(answer)
    }

    /// Step 4: who the target is, if that was asked.
    ///
    /// # Errors
    ///
    /// [`Error::Authentication`] if the target did not show it, or showed something else.
    pub fn verify(&self, text: &Text) -> Result<()> {
        let Some(theirs) = &self.theirs else { return Ok(()) };
        let Some(asked) = &self.asked else {
            return Err(Error::authentication("the target ended before it was asked who it is"));
        };
        if !asked.is_answered_by(theirs, text)? {
            return Err(Error::authentication(
                "the target does not know its own name or secret as they are configured here; it may be \
                 an impostor",
            ));
        }
        Ok(())
    }
}

/// The target's part.
#[derive(Debug)]
pub struct TargetChap {
    theirs: Credentials,
    ours: Option<Credentials>,
    asked: Option<Challenge>,
}

impl TargetChap {
    /// The initiator must show that it knows `theirs`; if it asks, `ours` are shown to it.
    ///
    /// # Errors
    ///
    /// [`Error::Authentication`] if both have the same secret, or one is empty.
    pub fn new(theirs: Credentials, ours: Option<Credentials>) -> Result<TargetChap> {
        Credentials::check_pair(&theirs, ours.as_ref())?;
        Ok(TargetChap { theirs, ours, asked: None })
    }

    /// Step 2, from the initiator's step 1.
    pub fn challenge(&mut self, text: &Text) -> Result<Text> {
        let offered = required(text, "CHAP_A")?;
        let algorithm = offered.split(',').find_map(Algorithm::from_value).ok_or_else(|| {
            Error::authentication(format!(
                "the initiator offers the algorithms '{offered}'; 5 and 7 are known here"
            ))
        })?;
        let asked = Challenge::fresh(algorithm)?;
        let mut answer = Text::new();
        answer.push("CHAP_A", algorithm.number().to_string());
        asked.write(&mut answer);
        self.asked = Some(asked);
        Ok(answer)
    }

    /// Step 4, from the initiator's step 3: empty if it asked nothing. The challenge is used up: there is
    /// no second guess.
    ///
    /// # Errors
    ///
    /// [`Error::Authentication`]: the login must fail.
    pub fn check(&mut self, text: &Text) -> Result<Text> {
        let Some(asked) = self.asked.take() else {
            return Err(Error::authentication("an answer without a challenge"));
        };
        if !asked.is_answered_by(&self.theirs, text)? {
            return Err(Error::authentication("wrong name or secret"));
        }
        let mut answer = Text::new();
        if text.get("CHAP_C").is_none() {
            return Ok(answer);
        }
        let challenge = Challenge::read(asked.algorithm, text)?;
        if challenge.bytes == asked.bytes {
            return Err(Error::authentication("the initiator sent our own challenge back"));
        }
        let Some(ours) = &self.ours else {
            return Err(Error::authentication(
                "the initiator asks who this target is, and no secret is configured for that",
            ));
        };
        challenge.answer(ours, &mut answer);
        Ok(answer)
    }
}

/// What AuthMethod an initiator offers, by whether it has credentials.
pub fn methods(has_credentials: bool) -> &'static str {
    if has_credentials { METHOD } else { NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(name: &str, secret: &str) -> Credentials {
        Credentials::new(name, secret)
    }

    fn exchange(mut initiator: InitiatorChap, mut target: TargetChap) -> Result<()> {
        let asked = target.challenge(&initiator.offer())?;
        let answered = initiator.respond(&asked)?;
        let shown = target.check(&answered)?;
        initiator.verify(&shown)
    }

    #[test]
    fn worked_responses() {
        // Computed with an independent program: printf '\x01secretABCD' | md5sum, sha256sum.
        let hex = |algorithm: Algorithm| binary(&algorithm.response(1, b"secret", b"ABCD"));
        assert_eq!(hex(Algorithm::Md5), MD5_OF_IT);
        assert_eq!(hex(Algorithm::Sha256), SHA256_OF_IT);
    }

    const MD5_OF_IT: &str = "0x1673236645fb8b38c1399fb740bdc669";
    const SHA256_OF_IT: &str = "0x3b0349fa0c7cb8795528a26d3908d4a82ec5206756e3081ee0423b4d55d7f337";

    #[test]
    fn one_way_and_both_ways() {
        let ours = || credentials("backup", "initiator-secret");
        let theirs = || credentials("library", "target-secret-1");
        for (mine, expected, works) in [
            (ours(), None, true),
            (ours(), Some(theirs()), true),
            (credentials("backup", "wrong"), None, false),
            (credentials("stranger", "initiator-secret"), None, false),
            (ours(), Some(credentials("library", "another")), false),
            (ours(), Some(credentials("impostor", "target-secret-1")), false),
        ] {
            let initiator = InitiatorChap::new(mine.clone(), expected.clone()).unwrap();
            let target = TargetChap::new(ours(), Some(theirs())).unwrap();
            assert_eq!(exchange(initiator, target).is_ok(), works, "{mine:?} {expected:?}");
        }
    }

    #[test]
    fn a_target_that_shows_nothing_is_refused() {
        let mut initiator =
            InitiatorChap::new(credentials("a", "1"), Some(credentials("b", "2"))).unwrap();
        let mut target = TargetChap::new(credentials("a", "1"), None).unwrap();
        let asked = target.challenge(&initiator.offer()).unwrap();
        let answered = initiator.respond(&asked).unwrap();
        assert!(target.check(&answered).is_err());
        assert!(initiator.verify(&Text::new()).is_err());
        // Skipping the challenge does not get around it.
        let fresh = InitiatorChap::new(credentials("a", "1"), Some(credentials("b", "2"))).unwrap();
        assert!(fresh.verify(&Text::new()).is_err());
    }

    #[test]
    fn a_challenge_sent_back_is_refused_and_so_is_one_secret_for_both() {
        let mut initiator = InitiatorChap::new(credentials("a", "1"), None).unwrap();
        let mut target =
            TargetChap::new(credentials("a", "1"), Some(credentials("b", "2"))).unwrap();
        let asked = target.challenge(&initiator.offer()).unwrap();
        let mut answered = initiator.respond(&asked).unwrap();
        answered.push("CHAP_I", asked.get("CHAP_I").unwrap());
        answered.push("CHAP_C", asked.get("CHAP_C").unwrap());
        let error = target.check(&answered).unwrap_err().to_string();
        assert!(error.contains("sent our own challenge back"), "{error}");
        // And the challenge is used up.
        assert!(target.check(&answered).is_err());

        let same = || credentials("x", "the same");
        assert!(InitiatorChap::new(same(), Some(credentials("y", "the same"))).is_err());
        assert!(TargetChap::new(same(), Some(credentials("y", "the same"))).is_err());
        assert!(InitiatorChap::new(credentials("x", ""), None).is_err());
    }

    #[test]
    fn the_first_common_algorithm_is_used() {
        for (offer, chosen) in
            [("5", Some("5")), ("7,5", Some("7")), ("6,5", Some("5")), ("6,8", None)]
        {
            let mut target = TargetChap::new(credentials("a", "1"), None).unwrap();
            let mut text = Text::new();
            text.push("CHAP_A", offer);
            let answer = target.challenge(&text);
            assert_eq!(answer.ok().as_ref().and_then(|text| text.get("CHAP_A")), chosen, "{offer}");
        }
        let mut initiator = InitiatorChap::new(credentials("a", "1"), None).unwrap();
        assert_eq!(initiator.offer().get("CHAP_A"), Some("5,7"));
        let mut text = Text::new();
        text.push("CHAP_A", "8").push("CHAP_I", "1").push("CHAP_C", "0x00");
        assert!(initiator.respond(&text).is_err());
    }

    #[test]
    fn malformed_challenges_are_refused() {
        for (identifier, challenge) in [
            ("256", "0x00"),
            ("-1", "0x00"),
            ("1", "0x"),
            ("1", "00"),
            ("1", "0xzz"),
            ("1", &format!("0x{}", "00".repeat(1025))),
        ] {
            let mut initiator = InitiatorChap::new(credentials("a", "1"), None).unwrap();
            let mut text = Text::new();
            text.push("CHAP_A", "5").push("CHAP_I", identifier).push("CHAP_C", challenge);
            assert!(initiator.respond(&text).is_err(), "{identifier} {challenge}");
        }
    }

    #[test]
    fn no_message_shows_a_secret() {
        let chap = InitiatorChap::new(credentials("a", "s3cr3t"), None).unwrap();
        assert!(!format!("{chap:?}").contains("s3cr3t"));
    }
}
