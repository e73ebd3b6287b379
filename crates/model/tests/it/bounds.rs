//! The bounds that a hostile file must stay within: one second, 64 MiB, no panic.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};
use terang_model::Error;

const BYTES_MAX: usize = 64 << 20;
const TIME_MAX: Duration = Duration::from_secs(1);

/// The system's allocator, with each thread's bytes in use and their peak.
struct Counting;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Not there any more while a thread ends.
    let _ = IN_USE.try_with(|in_use| {
        in_use.set(in_use.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(in_use.get())));
    });
}

#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `open`, which must fail within the bounds; its message.
#[track_caller]
pub(crate) fn refused<T>(open: impl FnOnce() -> Result<T, Error>) -> String {
    let before = IN_USE.get();
    PEAK.set(before);
    let start = Instant::now();
    let result = open();
    let elapsed = start.elapsed();
    let grown = PEAK.get() - before;
    assert!(elapsed < TIME_MAX, "took {elapsed:?}");
    assert!(grown < BYTES_MAX as isize, "took {grown} bytes");
    match result {
        Ok(_) => panic!("opened without an error"),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains('\n') && message.len() < 1000, "{message}");
            message
        }
    }
}

/// [`refused`], with words that the message must contain.
#[track_caller]
pub(crate) fn refused_with<T>(words: &[&str], open: impl FnOnce() -> Result<T, Error>) {
    let message = refused(open);
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}
