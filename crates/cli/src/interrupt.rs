//! Ctrl-C and termination: a flag that long work looks at, so that it ends in a state from which
//! it can be taken up again. A second signal while the first is still being obeyed ends the process.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the signals set the flag instead of ending the process.
pub(crate) fn install() -> io::Result<()> {
    let flag = Arc::new(AtomicBool::new(false));
    if REQUESTED.set(Arc::clone(&flag)).is_err() {
        return Ok(());
    }
    for signal in [SIGINT, SIGTERM] {
        // The shutdown is registered first: it acts when the flag is already set.
        signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(crate::problem::EXIT_INTERRUPTED),
            Arc::clone(&flag),
        )?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(())
}

thread_local! {
    /// What else may end this thread's work; see [`unless`].
    static STOPPED: RefCell<Option<Box<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

/// Whether a signal came since the last [`reset`], or this thread's work is not wanted any more.
pub(crate) fn requested() -> bool {
    let signal = REQUESTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed));
    signal || STOPPED.with_borrow(|stopped| stopped.as_ref().is_some_and(|stopped| stopped()))
}

/// Does work on this thread that ends as after a signal once `stopped` says so.
pub(crate) fn unless<T>(stopped: impl Fn() -> bool + 'static, work: impl FnOnce() -> T) -> T {
    /// Also where the work panics: the thread may do other work after it.
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            STOPPED.set(None);
        }
    }
    STOPPED.set(Some(Box::new(stopped)));
    let _forget = Forget;
    work()
}

/// Forgets a signal that has been obeyed.
pub(crate) fn reset() {
    if let Some(flag) = REQUESTED.get() {
        flag.store(false, Ordering::Relaxed);
    }
}
