//! A thread pool for work that is split hundreds of times per token.
//!
//! Workers spin for a few microseconds after each job, then yield, then sleep: a fork costs well
//! under a microsecond while a token is computed, and an idle pool costs nothing. Which worker does
//! which part never changes a result: kernels split only across output elements.
//!
//! Threads are not pinned. A pinned thread cannot leave a core that another program has taken, and at
//! the next join all others wait for it; on a machine of its own the scheduler parts the threads within
//! a few steps, and keeps them there.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a waiting thread spins before it starts to yield its core. If the system has put two
/// threads on one core, this is what each fork costs until it parts them.
const SPIN_TIME: Duration = Duration::from_micros(8);
/// Spins between looks at the clock. A spin takes from 2 to over 50 ns, by the processor and by
/// whether it is a virtual one.
const SPINS_A_LOOK: u32 = 16;
/// How long an idle worker goes on before it sleeps.
const IDLE_TIME: Duration = Duration::from_micros(200);

type Job = *const (dyn Fn(usize) + Sync);

/// Threads that run one closure together.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held while a job runs, so that two callers cannot mix their jobs.
    busy: Mutex<()>,
}

struct Shared {
    /// The current job; written before `epoch` is raised, read after it was seen raised.
    job: Mutex<Option<JobPointer>>,
    epoch: AtomicUsize,
    /// Workers that have not finished the current job.
    pending: AtomicUsize,
    quit: AtomicBool,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

#[derive(Clone, Copy)]
struct JobPointer(Job);

// SAFETY: the pointee is `Sync`, and `ThreadPool::run` keeps it alive until every worker is done.
unsafe impl Send for JobPointer {}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool")
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

impl ThreadPool {
    /// A pool of `threads` threads, the caller's own included (at least 1).
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            job: Mutex::new(None),
            epoch: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            quit: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            panic: Mutex::new(None),
        });
        let workers = (1..threads)
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("terang-{index}"))
                    .spawn(move || shared.work(index))
                    .ok()
            })
            .collect();
        Self {
            shared,
            workers,
            busy: Mutex::new(()),
        }
    }

    /// As many threads as the process may use: cores, CPU affinity and container quotas counted.
    pub fn default_threads() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    /// Threads, the caller's own included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `job(worker)` once on every thread, `worker` from 0, and returns when all are done. A
    /// panic in any of them is raised here.
    pub fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() {
            job(0);
            return;
        }
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased; this function does not return before `pending` is 0,
        // that is before the last worker has stopped using the closure.
        let job_static: Job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(job) };
        *lock(&shared.job) = Some(JobPointer(job_static));
        shared.pending.store(self.workers.len(), Ordering::Relaxed);
        shared.epoch.fetch_add(1, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            let _guard = lock(&shared.sleep);
            shared.wake.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        let mut waiting = Waiting::default();
        while shared.pending.load(Ordering::Acquire) != 0 {
            waiting.pause();
        }
        let worker_panic = lock(&shared.panic).take();
        drop(busy);
        if let Err(payload) = own {
            resume_unwind(payload);
        }
        if let Some(payload) = worker_panic {
            resume_unwind(payload);
        }
    }

    /// Splits `0..total` into ranges of at most `chunk` and calls `part(worker, range)` for each.
    ///
    /// Each worker begins with a share of its own, always the same part of `0..total`, and then helps
    /// the others. So what one call leaves in a core's caches is there for the next call over the
    /// same rows, which matters most where cores share no cache.
    pub fn for_chunks(
        &self,
        total: usize,
        chunk: usize,
        part: impl Fn(usize, Range<usize>) + Sync,
    ) {
        let chunk = chunk.max(1);
        if self.workers.is_empty() || total <= chunk {
            if total > 0 {
                part(0, 0..total);
            }
            return;
        }
        let threads = self.threads();
        let n_shares = threads.min(SHARES_MAX);
        let bound = |share: usize| share * total / n_shares;
        let taken: [Counter; SHARES_MAX] = std::array::from_fn(|_| Counter::default());
        self.run(&|worker| {
            let own = worker * n_shares / threads;
            for share in (own..n_shares).chain(0..own) {
                let range = bound(share)..bound(share + 1);
                loop {
                    let start = range.start + taken[share].0.fetch_add(chunk, Ordering::Relaxed);
                    if start >= range.end {
                        break;
                    }
                    part(worker, start..(start + chunk).min(range.end));
                }
            }
        });
    }
}

/// Shares in which threads begin: a few threads may have one in common.
const SHARES_MAX: usize = 16;

/// What is taken of a share; on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Counter(AtomicUsize);

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        drop(lock(&self.shared.sleep));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// A thread's wait for another: it spins, then yields its core again and again.
#[derive(Default)]
struct Waiting {
    spins: u32,
    since: Option<Instant>,
    waited: Duration,
}

impl Waiting {
    /// Lets a moment pass, and tells about how long the wait is.
    fn pause(&mut self) -> Duration {
        if self.waited < SPIN_TIME {
            std::hint::spin_loop();
            self.spins += 1;
            if !self.spins.is_multiple_of(SPINS_A_LOOK) {
                return self.waited;
            }
        } else {
            std::thread::yield_now();
        }
        self.waited = self.since.get_or_insert_with(Instant::now).elapsed();
        self.waited
    }
}

impl Shared {
    fn work(&self, index: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait_for_epoch_after(seen);
            if self.quit.load(Ordering::SeqCst) {
                return;
            }
            let job = *lock(&self.job);
            if let Some(JobPointer(job)) = job {
                // SAFETY: `run` waits for `pending` to reach 0 before the closure goes away.
                let job = unsafe { &*job };
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(index))) {
                    lock(&self.panic).get_or_insert(payload);
                }
            }
            self.pending.fetch_sub(1, Ordering::Release);
        }
    }

    fn wait_for_epoch_after(&self, seen: usize) -> usize {
        let mut waiting = Waiting::default();
        while waiting.pause() < IDLE_TIME {
            let epoch = self.epoch.load(Ordering::Acquire);
            if epoch != seen {
                return epoch;
            }
        }
        let mut guard = lock(&self.sleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let epoch = loop {
            let epoch = self.epoch.load(Ordering::SeqCst);
            if epoch != seen {
                break epoch;
            }
            guard = self
                .wake
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        epoch
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slice that the threads of one job write to at the same time, each its own elements.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<T> {
    pointer: *mut T,
    len: usize,
}

// SAFETY: access goes through `slice`, whose contract forbids overlap between threads.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Self {
            pointer: slice.as_mut_ptr(),
            len: slice.len(),
        }
    }

    /// Where a range of elements begins. What may be done there is what [`Self::slice`] asks for.
    pub(crate) fn pointer(&self, range: Range<usize>) -> *mut T {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "range outside the output"
        );
        self.pointer.wrapping_add(range.start)
    }

    /// # Safety
    /// While the result lives, no other thread may use an overlapping range, and the slice given to
    /// `new` must still be borrowed.
    #[allow(clippy::mut_from_ref, reason = "see the safety section")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        let pointer = self.pointer(range.clone());
        // SAFETY: `pointer` has seen to the bounds; exclusive by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(pointer, range.end - range.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_visited_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            let pool = ThreadPool::new(threads);
            for total in [0, 1, 5, 64, 1000] {
                let mut counts = vec![0u8; total];
                let shared = SharedMut::new(&mut counts);
                pool.for_chunks(total, 3, |_, range| {
                    // SAFETY: ranges of one call never overlap.
                    for count in unsafe { shared.slice(range) } {
                        *count += 1;
                    }
                });
                assert!(counts.iter().all(|&count| count == 1));
            }
        }
    }

    #[test]
    fn a_sleeping_pool_wakes_up() {
        let pool = ThreadPool::new(3);
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum = AtomicUsize::new(0);
            pool.run(&|worker| {
                sum.fetch_add(worker + 1, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 6);
        }
    }

    #[test]
    fn a_panic_in_a_worker_reaches_the_caller_and_the_pool_survives() {
        let pool = ThreadPool::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(&|worker| assert!(worker == 0, "boom"));
        }));
        assert!(result.is_err());
        pool.run(&|_| ());
    }
}
