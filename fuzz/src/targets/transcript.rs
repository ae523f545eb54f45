//! Any bytes are a transcript or an error; a transcript is written and read again the same, can be masked, and is played
//! by the changer without a panic.

use scsi::transcript::Transcript;

/// See the module.
pub fn run(data: &[u8]) {
    let Ok(transcript) = Transcript::parse(data) else { return };
    let bytes: usize = transcript.exchanges.iter().map(|one| one.data_in.len()).sum();
    // A repetition asks for much with few letters; what follows is only interesting for small ones.
    if bytes > 1 << 16 {
        return;
    }
    let text = transcript.to_text();
    assert_eq!(text.parse::<Transcript>().unwrap(), transcript);
    let mut masked = transcript;
    masked.mask();
    assert!(masked.to_text().parse::<Transcript>().unwrap().is_masked);
}
