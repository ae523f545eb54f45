//! The socket of a connection, with what the target needs set.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use super::limits::SEND_STALL;

/// Kernel's buffer in each direction, in bytes, where the target may set it: a few large blocks.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// A peer whose machine is gone is noticed after about two minutes.
const KEEPALIVE_IDLE_S: u32 = 60;
const KEEPALIVE_INTERVAL_S: u32 = 10;
const KEEPALIVE_PROBES: u32 = 6;

/// The reading half of a connection. While a deadline is set, reading ends with it, however slowly the
/// peer sends.
#[derive(Debug)]
pub struct Incoming {
    socket: Arc<TcpStream>,
    deadline: Option<Instant>,
}

impl Incoming {
    /// Reads from `socket` until `deadline`.
    pub fn new(socket: Arc<TcpStream>, deadline: Instant) -> Incoming {
        Incoming { socket, deadline: Some(deadline) }
    }

    /// The login is over: a session may be silent for as long as it likes.
    pub fn remove_deadline(&mut self) -> io::Result<()> {
        self.deadline = None;
        self.socket.set_read_timeout(None)
    }

    fn limit(&self) -> io::Result<()> {
        let Some(deadline) = self.deadline else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        (&*self.socket).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.limit()?;
        (&*self.socket).read_vectored(buffers)
    }
}

/// The writing half of a connection.
#[derive(Debug)]
pub struct Sender(Arc<TcpStream>);

impl Sender {
    /// Writes to `socket`.
    pub fn new(socket: Arc<TcpStream>) -> Sender {
        Sender(socket)
    }
}

impl Write for Sender {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.0).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sets what makes a connection fast, and what ends one whose peer is gone.
pub fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(SEND_STALL))?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S)?;
    setsockopt(socket, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    // Only a privileged program may go beyond the system's limit. Asking for less would be worse than
    // what the kernel finds by itself, so others ask for nothing.
    if setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER_BYTES).is_ok() {
        setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER_BYTES)?;
    }
    Ok(())
}

/// Ends a connection from any thread: whoever reads or writes it gets an end or an error.
pub fn close(socket: &TcpStream) {
    // It may have ended by itself.
    let _ = socket.shutdown(Shutdown::Both);
}

/// Ends reading from a connection, so that what is being carried out can still be answered.
pub fn close_reading(socket: &TcpStream) {
    let _ = socket.shutdown(Shutdown::Read);
}
