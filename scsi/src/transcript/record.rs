//! A transport that writes down what goes through it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{BYTES_MAX, End, Exchange, Transcript};
use crate::transport::{Data, Error, Reply, Status, Transport};

/// Records the commands that go to another transport, and their answers.
///
/// Nothing is changed on the way. What is beyond [`BYTES_MAX`] is carried and not recorded.
pub struct Recorder<T> {
    inner: T,
    transcript: Arc<Mutex<Transcript>>,
    bytes: usize,
}

impl<T: Transport> Recorder<T> {
    /// Records what goes to `inner`.
    pub fn new(inner: T) -> Recorder<T> {
        let transcript = Transcript { origin: "recorded".to_string(), ..Transcript::default() };
        Recorder { inner, transcript: Arc::new(Mutex::new(transcript)), bytes: 0 }
    }

    /// Where the record is kept: it can be taken at any time, also after the recorder is gone.
    pub fn transcript(&self) -> Arc<Mutex<Transcript>> {
        Arc::clone(&self.transcript)
    }

    fn note(&mut self, exchange: Exchange) {
        let sense = match &exchange.end {
            End::Status { sense, .. } => sense.len(),
            End::Timeout { .. } => 0,
            End::Failed { reason } => reason.len(),
        };
        let bytes = exchange.cdb.len() + exchange.data_in.len() + exchange.data_out.len() + sense;
        if self.bytes.saturating_add(bytes) > BYTES_MAX {
            return;
        }
        self.bytes += bytes;
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).exchanges.push(exchange);
    }
}

impl<T: Transport> Transport for Recorder<T> {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        let cdb_kept = cdb.to_vec();
        let mut data_out = Vec::new();
        let mut data_in = Vec::new();
        let ended = match data {
            Data::In(buffer) => {
                let ended = self.inner.execute(cdb, Data::In(&mut *buffer), timeout);
                if let Ok(reply) = &ended {
                    data_in.extend_from_slice(buffer.get(..reply.transferred).unwrap_or(buffer));
                }
                ended
            }
            Data::Out(sent) => {
                data_out.extend_from_slice(sent);
                self.inner.execute(cdb, Data::Out(sent), timeout)
            }
            Data::None => self.inner.execute(cdb, Data::None, timeout),
        };
        let end = match &ended {
            Ok(Reply { status, sense, .. }) => End::Status {
                status: status.to_byte(),
                sense: sense.map(|sense| sense.to_fixed().to_vec()).unwrap_or_default(),
            },
            Err(Error::Timeout { timeout, .. }) => End::Timeout { seconds: timeout.as_secs() },
            Err(error) => End::Failed { reason: error.to_string() },
        };
        self.note(Exchange { cdb: cdb_kept, data_out, data_in, end });
        ended
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}

/// The reply that an end on the wire stands for.
pub(super) fn reply_of(end: &End, transferred: usize) -> Option<Reply> {
    match end {
        End::Status { status, sense } => Some(Reply {
            status: Status::from_byte(*status),
            transferred,
            sense: crate::Sense::parse(sense),
        }),
        End::Timeout { .. } | End::Failed { .. } => None,
    }
}
