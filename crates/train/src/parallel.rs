//! Work with several outputs, split over threads.

use std::sync::{Mutex, PoisonError};
use terang_kernels::ThreadPool;

/// Calls `work` once for each part, parts spread over the threads.
pub(crate) fn for_parts<T: Send>(pool: &ThreadPool, parts: Vec<T>, work: impl Fn(T) + Sync) {
    let parts: Vec<Mutex<Option<T>>> = parts
        .into_iter()
        .map(|part| Mutex::new(Some(part)))
        .collect();
    pool.for_chunks(parts.len(), 1, |_, range| {
        for part in &parts[range] {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(part) = part {
                work(part);
            }
        }
    });
}

/// Rows for each of a few parts a thread: enough that no thread waits for long, few enough that handing
/// them out costs nothing.
pub(crate) fn rows_a_part(pool: &ThreadPool, rows: usize) -> usize {
    rows.div_ceil(pool.threads() * 4).max(1)
}
