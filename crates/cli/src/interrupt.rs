//! Ctrl-C and termination: a flag that long work looks at, so that it ends in a state from which
//! it can be taken up again. A second signal while the first is still being obeyed ends the process.

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

/// Whether a signal came since the last [`reset`].
pub(crate) fn requested() -> bool {
    REQUESTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Forgets a signal that has been obeyed.
pub(crate) fn reset() {
    if let Some(flag) = REQUESTED.get() {
        flag.store(false, Ordering::Relaxed);
    }
}
