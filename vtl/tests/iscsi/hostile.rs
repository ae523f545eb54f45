//! Peers that send garbage, while another session streams.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use scsi::iscsi::pdu::{HEADER_BYTES, Header};

use super::client::{DRIVE, pattern, world};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }
}

fn seed() -> u64 {
    let seed = match std::env::var("CAPSTAN_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1,
    };
    println!("repeat with CAPSTAN_SEED={seed}");
    seed
}

/// A header of a known type with everything else random, and lengths that are mostly small.
fn header(random: &mut Random) -> [u8; HEADER_BYTES] {
    let mut bytes: [u8; HEADER_BYTES] = std::array::from_fn(|_| random.next() as u8);
    let known = [0, 1, 2, 3, 4, 5, 6, 0x10];
    if random.below(4) > 0 {
        bytes[0] = known[random.below(8) as usize] | (random.next() as u8 & 0x40);
    }
    if random.below(4) > 0 {
        bytes[4] = 0;
        bytes[5..8].copy_from_slice(&[0, 0, random.below(40) as u8]);
    }
    if random.below(2) > 0 {
        // A unit that exists, and a command that drives know.
        bytes[8..16].copy_from_slice(&[0, random.below(4) as u8, 0, 0, 0, 0, 0, 0]);
        let commands = [0x00, 0x08, 0x0a, 0x12, 0x5a, 0x8c, 0xa0, 0x34, 0x4d];
        bytes[32] = commands[random.below(9) as usize];
    }
    bytes
}

#[test]
fn garbage_harms_no_other_session() {
    let seed = seed();
    let world = world();
    let mut raw = world.loaded_session(250);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..4u64 {
            let (world, done) = (&world, &done);
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_mul(2 * number + 3) | 1);
                while !done.load(Ordering::Relaxed) {
                    match random.below(3) {
                        // Noise, before any login.
                        0 => {
                            let mut stream = TcpStream::connect(world.target.address()).unwrap();
                            let noise: Vec<u8> =
                                (0..random.below(2000)).map(|_| random.next() as u8).collect();
                            let _ = stream.write_all(&noise);
                        }
                        // A login cut anywhere.
                        1 => {
                            let mut stream = TcpStream::connect(world.target.address()).unwrap();
                            for _ in 0..random.below(4) {
                                let mut bytes = header(&mut random);
                                bytes[0] = 0x43;
                                let length = usize::from(bytes[7]);
                                let text = vec![b'a'; length.div_ceil(4) * 4];
                                let _ = stream.write_all(&bytes);
                                let _ = stream.write_all(&text);
                            }
                        }
                        // Random messages in a session: right numbers, wrong everything else.
                        _ => {
                            let mut peer = world.session(number as u8);
                            let socket = peer.socket().try_clone().unwrap();
                            socket.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
                            for _ in 0..random.below(30) {
                                let mut bytes = header(&mut random);
                                // It must not move or overwrite the tape that the other one writes.
                                if bytes[0] & 0x3f == 1 {
                                    bytes[8..16].fill(0);
                                    bytes[9] = 2;
                                }
                                if bytes[0] & 0x3f == 2 {
                                    bytes[1] = 0x81;
                                }
                                bytes[24..28].copy_from_slice(&peer.cmd_sn.to_be_bytes());
                                peer.cmd_sn = peer.cmd_sn.wrapping_add(1);
                                let length = Header::from_bytes(bytes).data_bytes();
                                let data = vec![0u8; (length.div_ceil(4) * 4).min(5000)];
                                if (&socket).write_all(&bytes).is_err()
                                    || (&socket).write_all(&data).is_err()
                                {
                                    break;
                                }
                            }
                        }
                    }
                }
            });
        }
        let blocks: Vec<_> = (0..200).map(|number| pattern(number, 60_000)).collect();
        for block in &blocks {
            raw.write_block(block);
        }
        raw.rewind();
        for block in &blocks {
            assert!(raw.read_block(60_000).data == *block, "seed {seed}");
        }
        done.store(true, Ordering::Relaxed);
    });
    // They are all gone, and the target takes new ones.
    let mut last = world.session(251);
    last.settle(DRIVE);
    assert_eq!(last.position(), 200);
}

#[test]
fn connections_beyond_the_limit_are_closed_and_room_comes_back() {
    let world = world();
    let mut raw = world.session(1);
    let idle: Vec<_> =
        (0..250).map(|_| TcpStream::connect(world.target.address()).unwrap()).collect();
    raw.settle(DRIVE);
    let mut closed = 0;
    for stream in &idle {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        closed += usize::from(matches!(std::io::Read::read(&mut &*stream, &mut [0]), Ok(0)));
    }
    assert!(closed >= 250 - 192, "{closed} closed");
    drop(idle);
    // Logins that come to nothing end when their peers go: soon a connection is not closed at once.
    for _ in 0..100 {
        let stream = TcpStream::connect(world.target.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        if std::io::Read::read(&mut &stream, &mut [0]).is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        }) {
            break;
        }
    }
    world.session(2).settle(DRIVE);
}
