//! Feeds over real datastores. A feed that hangs fails its test by a limit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datastore::progress::Silent;

use super::*;
use crate::media::set::SetCatalogs;
use crate::testing::{World, add_snapshot, noise};
use crate::write::known::Known;
use crate::write::streams::queue::{Dealt, GroupQueue};

/// Deals a job's groups to its only stream.
struct All(GroupQueue);

impl Dealer for All {
    fn next(&self) -> Dealt {
        self.0.take(0)
    }

    fn is_all_dealt(&self) -> bool {
        self.0.waiting() == 0
    }
}

fn plan(store: &Arc<Datastore>, order: ChunkOrder) -> Plan {
    let root = datastore::Namespace::root();
    let groups = store.groups(&root).unwrap().into_iter().map(|group| (root.clone(), group));
    let dealer = Arc::new(All(GroupQueue::new(groups, 1)));
    let known = vec![Arc::new(Known::new(SetCatalogs::default()))];
    let mut plan = Plan::new(Arc::clone(store), "main".into(), dealer, known);
    plan.order = order;
    plan
}

/// One word a step.
fn tell(step: &Step) -> String {
    match step {
        Step::Warning(text) => format!("warning {text}"),
        Step::Skipped => "skipped".into(),
        Step::Unreadable(at, _) => format!("unreadable {}", at.snapshot.group()),
        Step::Begin(snapshot) => format!("begin {}", snapshot.at.snapshot.group()),
        Step::End(snapshot) => format!("end {}", snapshot.at.snapshot.group()),
        Step::GroupDone(number) => format!("group {}", number + 1),
        Step::Idle => "idle".into(),
        Step::Failed(error) => format!("failed {error}"),
        Step::Chunk(chunk) => format!("chunk {}", chunk.blob.encoded_len()),
        Step::BadChunk(_) => "bad".into(),
    }
}

fn within_a_minute<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> R {
    let (done_in, done) = crossbeam_channel::bounded(1);
    thread::spawn(move || _ = done_in.send(run()));
    done.recv_timeout(Duration::from_secs(60)).expect("it hangs, or panicked")
}

#[test]
fn one_feed_goes_over_snapshots_and_gives_each_chunk_once() {
    within_a_minute(|| {
        let world = World::new();
        let store = world.store("source");
        let chunk = |number: u64| noise(number, 100 + number as usize);
        add_snapshot(&store, "", "a", 1_700_000_000, &[chunk(1), chunk(2)]);
        add_snapshot(&store, "", "b", 1_700_000_000, &[chunk(2), chunk(3), chunk(1)]);
        add_snapshot(&store, "", "c", 1_700_000_000, &[chunk(3), chunk(1)]);
        for readers in [None, Some(1), Some(7)] {
            let feed = plan(&store, ChunkOrder::Index);
            let mut feed = Feed::start(feed, BufferSize::Fixed(1 << 20), readers, &Silent);
            let mut told = Vec::new();
            while let Some(step) = feed.next_step().unwrap() {
                told.push(tell(&step));
            }
            // A blob has 12 bytes more than these chunks.
            let expected = [
                "begin host/a",
                "chunk 113",
                "chunk 114",
                "end host/a",
                "group 1",
                "begin host/b",
                "chunk 115",
                "end host/b",
                "group 2",
                "begin host/c",
                "end host/c",
                "group 3",
            ];
            assert_eq!(told, expected, "{readers:?}");
        }
    });
}

/// The second snapshot counts on a chunk of the first; when that turns out to be bad, the plan is made anew and the
/// second one does not count on it.
#[test]
fn a_plan_that_counted_on_a_bad_chunk_is_made_anew() {
    within_a_minute(|| {
        let world = World::new();
        let store = world.store("source");
        let chunks: Vec<Vec<u8>> =
            (1..5).map(|number| noise(number, 100 + number as usize)).collect();
        add_snapshot(&store, "", "a", 1_700_000_000, &chunks[..3]);
        add_snapshot(&store, "", "b", 1_700_000_000, &chunks[2..]);
        let path = store.chunks().path(&Digest::of(&chunks[1]));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[50] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let feed = plan(&store, ChunkOrder::Index);
        let mut feed = Feed::start(feed, BufferSize::Fixed(1 << 20), Some(2), &Silent);
        let mut told = Vec::new();
        let mut current = None;
        while let Some(step) = feed.next_step().unwrap() {
            told.push(tell(&step));
            match step {
                Step::Begin(snapshot) => current = Some(snapshot),
                Step::BadChunk(error) => {
                    assert!(error.to_string().contains("main:host/a"), "{error}");
                    feed.restart_behind(&current.take().unwrap());
                }
                _ => {}
            }
        }
        // Chunk 3 of the first snapshot was planned and not given out.
        let expected = [
            "begin host/a",
            "chunk 113",
            "bad",
            "group 1",
            "begin host/b",
            "chunk 115",
            "chunk 116",
            "end host/b",
            "group 2",
        ];
        assert_eq!(told, expected);
    });
}

/// What is held stays within the limit with the largest chunks that there are; and so it does with one that is larger than the buffer.
#[test]
fn memory_is_bounded_with_the_largest_chunks() {
    // The most that a datastore takes.
    const CHUNK: usize = 16 << 20;
    within_a_minute(|| {
        let world = World::new();
        let store = world.store("source");
        let block = noise(1, CHUNK);
        let chunks: Vec<Vec<u8>> = (0..6_u8)
            .map(|number| {
                let mut chunk = block.clone();
                chunk[0] = number;
                chunk
            })
            .collect();
        add_snapshot(&store, "", "a", 1_700_000_000, &chunks);
        let blob = CHUNK as u64 + 12;
        for (capacity, held) in [(3 * blob + 5, 3 * blob), (1 << 20, blob)] {
            let feed = plan(&store, ChunkOrder::Inode);
            let mut feed = Feed::start(feed, BufferSize::Fixed(capacity), Some(4), &Silent);
            let mut count = 0;
            while let Some(step) = feed.next_step().unwrap() {
                count += u32::from(matches!(step, Step::Chunk(_)));
            }
            assert_eq!(count, 6);
            assert_eq!(feed.measured(|_, _, peak| peak), held, "{capacity}");
        }
    });
}

struct Stop(AtomicBool);

impl Progress for Stop {
    fn is_aborted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// However many steps were taken before an abort: it is told, and dropping the feed joins all threads.
#[test]
fn an_abort_at_any_step_ends_the_feed() {
    within_a_minute(|| {
        let world = World::new();
        let store = world.store("source");
        for name in ["a", "b", "c"] {
            let seed = u64::from(name.as_bytes()[0]) * 10;
            let chunks: Vec<Vec<u8>> = (0..6).map(|number| noise(seed + number, 50_000)).collect();
            add_snapshot(&store, "", name, 1_700_000_000, &chunks);
        }
        for steps in 0..26 {
            let stop = Stop(AtomicBool::new(false));
            // Room for two chunks: the plan waits most of the time.
            let feed = plan(&store, ChunkOrder::Inode);
            let mut feed = Feed::start(feed, BufferSize::Fixed(110_000), Some(3), &stop);
            for _ in 0..steps {
                assert!(feed.next_step().unwrap().is_some());
            }
            stop.0.store(true, Ordering::Relaxed);
            assert!(feed.next_step().is_err_and(|error| error.is_aborted()), "{steps}");
            drop(feed);
        }
    });
}

/// Threads that died without a word have not read everything.
#[test]
fn an_early_end_is_an_error() {
    within_a_minute(|| {
        let world = World::new();
        let store = world.store("source");
        add_snapshot(&store, "", "a", 1_700_000_000, &[noise(1, 100)]);
        let mut feed = Feed::start(
            plan(&store, ChunkOrder::Index),
            BufferSize::Fixed(1 << 20),
            Some(1),
            &Silent,
        );
        assert!(matches!(feed.next_step(), Ok(Some(Step::Begin(_)))));
        let ring = Arc::new(Ring::new(
            Measured {
                gate: Gate::new(BufferSize::Fixed(1)),
                readers: ReaderCount::new(Some(1)),
                peak_bytes: 0,
            },
            Instant::now(),
        ));
        feed.stop();
        feed.ring = Arc::clone(&ring);
        let died = thread::spawn(move || {
            guarded(&ring, || {
                panic!("a thread of the feed dies; this message belongs to the test")
            });
        });
        died.join().unwrap_err();
        let error = feed.next_step().err().unwrap();
        assert!(matches!(error, Error::FeedEnded { .. }), "{error}");
        assert!(error.to_string().contains("main:host/a"), "{error}");
    });
}
