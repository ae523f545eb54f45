//! The device against a driver that answers from a list.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::ioctl::Completion;
use super::*;
use crate::{Sense, SenseKey, Status};

const READ: [u8; 6] = [0x08, 0x02, 0, 0x10, 0, 0];
const WRITE: [u8; 6] = [0x0a, 0, 0, 0x10, 0, 0];
const TIMEOUT: Duration = Duration::from_secs(9);

/// What a driver was asked: command, data sent (or length asked for), whether its buffer was aligned.
type Asked = Arc<Mutex<Vec<(Vec<u8>, Vec<u8>, bool)>>>;

struct Fake {
    answers: VecDeque<(io::Result<Completion>, Vec<u8>, Vec<u8>)>,
    asked: Asked,
    version: i32,
    limit_bytes: Option<u64>,
}

impl Driver for Fake {
    fn submit(
        &mut self,
        cdb: &[u8],
        phase: Phase<'_>,
        sense: &mut [u8; SENSE_BYTES],
        timeout: Duration,
    ) -> io::Result<Completion> {
        assert_eq!(timeout, TIMEOUT);
        let (completion, data, sensed) = self.answers.pop_front().expect("no command more");
        sense[..sensed.len()].copy_from_slice(&sensed);
        let (seen, is_aligned) = match phase {
            Phase::None => (Vec::new(), true),
            Phase::ToDevice(bytes) => (bytes.to_vec(), is_aligned(bytes)),
            Phase::FromDevice(bytes) => {
                bytes[..data.len()].copy_from_slice(&data);
                (vec![0; bytes.len()], is_aligned(bytes))
            }
        };
        self.asked.lock().unwrap().push((cdb.to_vec(), seen, is_aligned));
        completion
    }

    fn version(&mut self) -> io::Result<i32> {
        Ok(self.version)
    }

    fn reserve(&mut self) {}

    fn transfer_bytes_max(&mut self) -> Option<u64> {
        self.limit_bytes
    }
}

fn device(answers: Vec<(io::Result<Completion>, &[u8], &[u8])>) -> (SgDevice, Asked) {
    let asked = Asked::default();
    let fake = Fake {
        answers: answers
            .into_iter()
            .map(|(completion, data, sense)| (completion, data.to_vec(), sense.to_vec()))
            .collect(),
        asked: Arc::clone(&asked),
        version: 30536,
        limit_bytes: Some(65_536),
    };
    (SgDevice::over(Box::new(fake), "/dev/sg0".into()).unwrap(), asked)
}

fn outcome(completion: Completion, sense: &[u8]) -> Result<Reply, Error> {
    let (mut device, _) = device(vec![(Ok(completion), &[], sense)]);
    device.execute(&READ, Data::In(&mut [0; 4096]), TIMEOUT)
}

const GOOD: Completion =
    Completion { status: 0, host_status: 0, driver_status: 0, residual: 0, sense_length: 0 };

#[test]
fn residual_and_sense() {
    let reply = outcome(Completion { residual: 96, ..GOOD }, &[]).unwrap();
    assert_eq!((reply.status, reply.transferred), (Status::Good, 4000));
    for (residual, moved) in [(-5, 4096), (5000, 0)] {
        assert_eq!(outcome(Completion { residual, ..GOOD }, &[]).unwrap().transferred, moved);
    }
    let sense = Sense::FILEMARK.with_information(4096).to_fixed();
    let check = Completion {
        status: 2,
        driver_status: 0x08,
        residual: 4096,
        sense_length: sense.len(),
        ..GOOD
    };
    let reply = outcome(check, &sense).unwrap();
    assert_eq!((reply.status, reply.transferred), (Status::CheckCondition, 0));
    assert!(reply.sense.unwrap().is_filemark());
    // Sense that the driver did not deliver is not invented from an old buffer.
    let bare = outcome(Completion { sense_length: 0, ..check }, &sense).unwrap();
    assert_eq!(bare.sense, None);
    assert_eq!(Sense::parse(&sense).unwrap().key, SenseKey::NoSense);
}

#[test]
fn failures_of_adapter_and_driver_are_no_device_status() {
    for (host_status, driver_status) in [(3, 0), (0, 0x06), (0, 0x26)] {
        let error = outcome(Completion { host_status, driver_status, ..GOOD }, &[]);
        assert!(matches!(error, Err(Error::Timeout { opcode: 0x08, .. })), "{error:?}");
    }
    let error = outcome(Completion { host_status: 1, ..GOOD }, &[]).unwrap_err().to_string();
    assert!(error.starts_with("/dev/sg0: ") && error.contains("not reachable"), "{error}");
    assert!(outcome(Completion { driver_status: 0x04, ..GOOD }, &[]).is_err());
    // Only where the kernel says that nothing was sent may everything be sent again.
    for host_status in 1..=0x14 {
        let error = outcome(Completion { host_status, ..GOOD }, &[]).unwrap_err();
        let not_carried = matches!(error, Error::NotCarried { .. });
        assert_eq!(not_carried, matches!(host_status, 0x0c | 0x0d), "{error}");
    }
}

#[test]
fn only_what_arrived_reaches_the_caller() {
    let (mut device, asked) = device(vec![(Ok(Completion { residual: 5, ..GOOD }), &[7; 8], &[])]);
    let mut buffer = [1u8; 8];
    let reply = device.execute(&READ, Data::In(&mut buffer), TIMEOUT).unwrap();
    assert_eq!(reply.transferred, 3);
    assert_eq!(buffer, [7, 7, 7, 1, 1, 1, 1, 1]);
    assert!(asked.lock().unwrap()[0].2, "the kernel gets an aligned buffer");
}

#[test]
fn data_to_the_device_is_moved_to_a_page_if_it_does_not_begin_at_one() {
    let (mut device, asked) = device(vec![(Ok(GOOD), &[], &[]), (Ok(GOOD), &[], &[])]);
    let bytes: Vec<u8> = (0..=255).cycle().take(8193).collect();
    for start in [0, 1] {
        device.execute(&WRITE, Data::Out(&bytes[start..]), TIMEOUT).unwrap();
        let asked = asked.lock().unwrap();
        let (cdb, sent, is_aligned) = asked.last().unwrap();
        assert_eq!((cdb.as_slice(), sent.as_slice()), (&WRITE[..], &bytes[start..]));
        assert!(is_aligned);
    }
}

#[test]
fn a_transfer_beyond_the_adapter_is_told_with_its_limit() {
    let refusal = || Err(io::Error::from_raw_os_error(libc::EINVAL));
    let (mut device, _) = device(vec![(refusal(), &[], &[]), (refusal(), &[], &[])]);
    let error = device.execute(&WRITE, Data::Out(&[0; 262_144]), TIMEOUT).unwrap_err();
    assert!(
        matches!(error, Error::TransferTooLong { bytes: 262_144, limit_bytes: 65_536, .. }),
        "{error}"
    );
    // The same refusal of a small transfer has another reason.
    let error = device.execute(&WRITE, Data::Out(&[0; 512]), TIMEOUT).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn an_ancient_driver_is_refused() {
    let fake = Fake {
        answers: VecDeque::new(),
        asked: Asked::default(),
        version: 20135,
        limit_bytes: None,
    };
    let error = SgDevice::over(Box::new(fake), "/dev/sg0".into()).unwrap_err().to_string();
    assert!(error.contains("too old (version 20135)"), "{error}");
}
