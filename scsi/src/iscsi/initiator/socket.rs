//! A TCP connection on which nothing waits longer than it may.
//!
//! The system's time-out for one call is a short tick; a call that ends with nothing after a tick is
//! repeated until the deadline. So a deadline of hours costs no system calls on the fast path, and one of
//! milliseconds is kept too.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::Portal;

/// Longest time that one system call waits.
const TICK: Duration = Duration::from_millis(500);
const TICK_MIN: Duration = Duration::from_millis(1);
/// A dead host is noticed after `KEEPALIVE_IDLE_S` + `KEEPALIVE_PROBES` × `KEEPALIVE_INTERVAL_S` seconds
/// without a sign of life, also while a long command runs.
const KEEPALIVE_IDLE_S: u32 = 30;
const KEEPALIVE_INTERVAL_S: u32 = 10;
const KEEPALIVE_PROBES: u32 = 6;

/// Which way a half goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Half {
    stream: TcpStream,
    way: Way,
    deadline: Instant,
    /// What the system was told.
    tick: Duration,
}

/// Connects; every address of the host gets its own time.
pub(super) fn connect(portal: &Portal, timeout: Duration) -> io::Result<(Half, Half)> {
    let addresses = (portal.host.as_str(), portal.port).to_socket_addrs()?;
    let mut last = io::Error::new(ErrorKind::NotFound, "the host name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return split(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Sets a connection up and splits it.
pub(super) fn split(stream: TcpStream) -> io::Result<(Half, Half)> {
    // Each message is sent whole; waiting for more of it would only cost time.
    stream.set_nodelay(true)?;
    setsockopt(&stream, sockopt::KeepAlive, &true)?;
    setsockopt(&stream, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
    setsockopt(&stream, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S)?;
    setsockopt(&stream, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(TICK))?;
    let half = |stream, way| Half { stream, way, deadline: Instant::now(), tick: TICK };
    Ok((half(stream.try_clone()?, Way::In), half(stream, Way::Out)))
}

impl Half {
    /// From now on calls may wait until `deadline`.
    pub(super) fn arm(&mut self, deadline: Instant) -> io::Result<()> {
        self.deadline = deadline;
        self.set_tick(deadline.saturating_duration_since(Instant::now()))
    }

    /// True if a call would not wait: data, an end or an error is there.
    pub(super) fn is_ready(&self) -> io::Result<bool> {
        let mut descriptors = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut descriptors, PollTimeout::ZERO)? > 0)
    }

    /// Ends both directions at once: a thread of the other side that waits is woken.
    pub(super) fn shut_down(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn set_tick(&mut self, left: Duration) -> io::Result<()> {
        let tick = left.clamp(TICK_MIN, TICK);
        // Longer than needed only if that costs nothing.
        if tick == self.tick {
            return Ok(());
        }
        match self.way {
            Way::In => self.stream.set_read_timeout(Some(tick))?,
            Way::Out => self.stream.set_write_timeout(Some(tick))?,
        }
        self.tick = tick;
        Ok(())
    }

    /// Repeats `call` until it gives something or the deadline is over.
    fn until_deadline(
        &mut self,
        mut call: impl FnMut(&mut TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match call(&mut self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = self.deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    self.set_tick(left)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.until_deadline(|stream| stream.read(buffer))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.until_deadline(|stream| stream.read_vectored(buffers))
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until_deadline(|stream| stream.write(bytes))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.until_deadline(|stream| stream.write_vectored(buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> ((Half, Half), TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let portal =
            Portal { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let halves = connect(&portal, Duration::from_secs(5)).unwrap();
        (halves, listener.accept().unwrap().0)
    }

    #[test]
    fn a_read_ends_at_its_deadline_and_can_go_on() {
        let ((mut input, _output), mut other) = pair();
        input.arm(Instant::now() + Duration::from_millis(20)).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(input.read(&mut buffer).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(!input.is_ready().unwrap());
        other.write_all(b"late").unwrap();
        input.arm(Instant::now() + Duration::from_secs(10)).unwrap();
        assert_eq!(input.read(&mut buffer).unwrap(), 4);
    }

    #[test]
    fn a_write_that_nobody_takes_ends_at_its_deadline() {
        let ((_input, mut output), _other) = pair();
        output.arm(Instant::now() + Duration::from_millis(50)).unwrap();
        let block = vec![0; 1 << 20];
        let error =
            std::iter::repeat_with(|| output.write(&block)).take(1000).find_map(Result::err);
        assert_eq!(error.unwrap().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_refused_connection_is_an_error_at_once() {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let portal = Portal { host: "127.0.0.1".into(), port: free };
        let error = connect(&portal, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
