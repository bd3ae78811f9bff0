//! A message allocates nothing once a session is warm: neither side, neither way. A counting
//! allocator knows.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moorline::{SessionRef, Stream, register_message};
use serde::{Deserialize, Serialize};
use support::{Ask, Late, Told, Wire, run_on_one_thread};

/// Messages before counting begins: more than one cycle of whatever happens now and then.
const WARM_UP: u64 = 2_000;

/// Messages that are counted.
const COUNTED: u64 = 1_000;

/// A post without anything that would itself be allocated on arrival.
#[derive(Serialize, Deserialize)]
struct Step {
    number: u64,
}
register_message!(Step as "e2e.Step");

/// Opens a stream of numbers that come back.
#[derive(Serialize, Deserialize)]
struct Echoes;
register_message!(stream Echoes as "e2e.Echoes": u64 => u64);

thread_local! {
    /// By thread, because the test runner's own threads allocate as they please.
    static ALLOCATIONS: Cell<Option<u64>> = const { Cell::new(None) };
    /// Where the first one came from.
    static FIRST: RefCell<Option<Backtrace>> = const { RefCell::new(None) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    let Ok(Some(so_far)) = ALLOCATIONS.try_with(Cell::get) else { return };
    // What follows allocates as well, and is not counted.
    ALLOCATIONS.set(None);
    if so_far == 0 {
        FIRST.set(Some(Backtrace::force_capture()));
    }
    ALLOCATIONS.set(Some(so_far + 1));
}

// SAFETY: every call goes to the system's allocator as it came; the counter is a thread-local
// without a destructor and without an allocation of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`, which is the system's.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Does something often, and counts what the later times allocate.
async fn allocations_of(round: impl AsyncFn(u64)) -> (Option<u64>, String) {
    for number in 0..WARM_UP {
        round(number).await;
    }
    ALLOCATIONS.set(Some(0));
    for number in 0..COUNTED {
        round(number).await;
    }
    let allocations = ALLOCATIONS.replace(None);
    (allocations, FIRST.take().map(|trace| trace.to_string()).unwrap_or_default())
}

async fn assert_nothing_allocated(what: &str, round: impl AsyncFn(u64)) {
    let (mut allocations, mut first) = (None, String::new());
    // A pool that meets a rare coincidence may grow once more; what is allocated for each message
    // is allocated in every window.
    for _ in 0..3 {
        (allocations, first) = allocations_of(&round).await;
        if allocations == Some(0) {
            return;
        }
    }
    panic!("{what}: {allocations:?} in {COUNTED} rounds; the first one:\n{first}");
}

async fn nothing_is_allocated(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    server.handle(|_, late: Late| async move { Ok(Told { number: late.number }) });
    client.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    server.handle_stream(|_, _: Echoes, mut stream: Stream<u64, u64>| async move {
        while let Ok(Some(number)) = stream.recv().await {
            stream.send_wait(&number).await.unwrap();
        }
        stream.finish().unwrap();
    });
    let arrived = Arc::new(AtomicU64::new(0));
    let arriving = Arc::clone(&arrived);
    server.on(move |_, step: Step| arriving.store(step.number, Ordering::Relaxed));
    let pair = wire.open(&server, &client).await;
    let ask = async |session: &SessionRef, number| {
        assert_eq!(session.request(Ask { number }).await.unwrap().number, number);
    };
    let stream = tokio::sync::Mutex::new(pair.here.open(&Echoes).unwrap());
    assert_nothing_allocated("a stream, there and back", async |number| {
        let mut stream = stream.lock().await;
        stream.send(&number).unwrap();
        assert_eq!(stream.recv().await.unwrap(), Some(number));
    })
    .await;
    stream.lock().await.finish().unwrap();
    assert_nothing_allocated("handle_now", async |number| ask(&pair.here, number).await).await;
    assert_nothing_allocated("handle_now, back", async |number| ask(&pair.there, number).await)
        .await;
    assert_nothing_allocated("handle", async |number| {
        assert_eq!(pair.here.request(Late { number }).await.unwrap().number, number);
    })
    .await;
    let posts = async |numbers: std::ops::RangeInclusive<u64>| {
        let last = *numbers.end();
        for number in numbers {
            pair.here.send(&Step { number }).unwrap();
        }
        while arrived.load(Ordering::Relaxed) != last {
            tokio::task::yield_now().await;
        }
    };
    assert_nothing_allocated("on", async |number| posts(number..=number).await).await;
    assert_nothing_allocated("on, many at once", async |number| {
        posts(number * 100 + 1..=number * 100 + 100).await;
    })
    .await;
    pair.end().await;
}

#[test]
fn the_counter_counts() {
    run_on_one_thread(async {
        let (allocations, first) =
            allocations_of(async |number| drop(std::hint::black_box(Box::new(number)))).await;
        assert_eq!(allocations, Some(COUNTED));
        assert!(first.contains("the_counter_counts"), "{first}");
    });
}

/// Timers ring meanwhile: those of idle sessions, and of calls that do not wait for ever.
#[test]
fn nothing_is_allocated_as_time_goes_by() {
    run_on_one_thread(async {
        let wire = Wire::new("mem", "msgpack");
        let (server, client) = (wire.service(), wire.service());
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        let for_a_while = async |time| {
            let begun = Instant::now();
            while begun.elapsed() < time {
                pair.here.request(Ask { number: 1 }).await.unwrap();
            }
        };
        for_a_while(Duration::from_millis(1_200)).await;
        ALLOCATIONS.set(Some(0));
        for_a_while(Duration::from_millis(2_200)).await;
        let allocations = ALLOCATIONS.replace(None);
        // Pools may grow by a block where rare things coincide; thousands of calls went by.
        assert!(
            allocations.is_some_and(|count| count <= 16),
            "{allocations:?}: {:?}",
            FIRST.take()
        );
        pair.end().await;
    });
}

/// A client that is up costs no more than the session it has.
#[test]
fn nothing_is_allocated_by_a_client() {
    run_on_one_thread(async {
        let wire = Wire::usual();
        let (server, service) = (wire.service(), wire.service());
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let arrived = Arc::new(AtomicU64::new(0));
        let arriving = Arc::clone(&arrived);
        server.on(move |_, step: Step| arriving.store(step.number, Ordering::Relaxed));
        let acceptor = wire.accept(&server).await;
        let client = service.client(&acceptor.url().to_string(), wire.protocol);
        let client = client.connect().await.unwrap();
        assert_nothing_allocated("a request", async |number| {
            assert_eq!(client.request(Ask { number }).await.unwrap().number, number);
        })
        .await;
        assert_nothing_allocated("posts", async |number| {
            for step in number * 100 + 1..=number * 100 + 100 {
                client.send(&Step { number: step }).unwrap();
            }
            while arrived.load(Ordering::Relaxed) != number * 100 + 100 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        service.shutdown().await.unwrap();
        server.shutdown().await.unwrap();
    });
}

#[test]
fn nothing_is_allocated_over_mem() {
    run_on_one_thread(async { nothing_is_allocated(&Wire::new("mem", "msgpack")).await });
}

#[test]
fn nothing_is_allocated_over_tcp() {
    run_on_one_thread(async { nothing_is_allocated(&Wire::usual()).await });
}

#[test]
fn nothing_is_allocated_in_clear() {
    run_on_one_thread(async { nothing_is_allocated(&Wire::new("tcp", "msgpack-plain")).await });
}
