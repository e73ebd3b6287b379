//! Work on a stream of parts by several threads, taken up in the stream's order: the result is that of one
//! thread. So many parts are under way at once and no more.

use crate::{DataError, Result};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Mutex, PoisonError};

/// What a worker gives: its work, or what it panicked with.
type Outcome<R> = std::result::Result<Result<R>, Box<dyn Any + Send>>;

/// `produce` gives parts to the function that it is called with, `work` is done on them by `threads` threads, and
/// `consume` gets what came of it in the order of the parts.
pub(crate) fn ordered<T: Send, R: Send>(
    threads: usize,
    produce: impl FnOnce(&mut dyn FnMut(T) -> Result<()>) -> Result<()> + Send,
    work: impl Fn(T) -> Result<R> + Sync,
    mut consume: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    let under_way = 2 * threads + 2;
    let (permit, permits) = sync_channel::<()>(under_way);
    let (give, parts) = channel::<(u64, T)>();
    let (done, results) = channel::<(u64, Outcome<R>)>();
    let parts = Mutex::new(parts);
    std::thread::scope(|scope| {
        let producer = scope.spawn(move || {
            let mut number = 0;
            produce(&mut |part| {
                // Taken up elsewhere is over: there is no use in going on.
                permits.recv().map_err(|_| DataError::Stopped)?;
                give.send((number, part)).map_err(|_| DataError::Stopped)?;
                number += 1;
                Ok(())
            })
        });
        for _ in 0..threads {
            let (done, parts, work) = (done.clone(), &parts, &work);
            scope.spawn(move || {
                loop {
                    let part = parts.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, part)) = part else { break };
                    let outcome = catch_unwind(AssertUnwindSafe(|| work(part)));
                    if done.send((number, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        for _ in 0..under_way {
            let _ = permit.send(());
        }
        let mut early = BTreeMap::new();
        let mut next = 0;
        let mut failed = None;
        'all: for (number, outcome) in &results {
            early.insert(number, outcome);
            while let Some(outcome) = early.remove(&next) {
                next += 1;
                let consumed = match outcome {
                    Ok(result) => result.and_then(&mut consume),
                    Err(panic) => resume_unwind(panic),
                };
                if let Err(error) = consumed {
                    failed = Some(error);
                    break 'all;
                }
                let _ = permit.try_send(());
            }
        }
        drop(permit);
        drop(results);
        let produced = producer.join().unwrap_or_else(|panic| resume_unwind(panic));
        failed.map_or(produced, Err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_stream() {
        for threads in [1, 2, 7] {
            let mut seen = Vec::new();
            let produce = |give: &mut dyn FnMut(u64) -> Result<()>| (0..500).try_for_each(give);
            let work = |n: u64| {
                std::thread::sleep(std::time::Duration::from_micros(n * 37 % 90));
                Ok(n * n)
            };
            ordered(threads, produce, work, |n| {
                seen.push(n);
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, (0..500).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_anywhere_ends_all() {
        let stopped = || Err(DataError::Stopped);
        for place in 0..3 {
            let produce = |give: &mut dyn FnMut(u64) -> Result<()>| {
                for n in 0..1000 {
                    if place == 0 && n == 100 {
                        return stopped();
                    }
                    give(n)?;
                }
                Ok(())
            };
            let work = |n| {
                if place == 1 && n == 100 {
                    Err(DataError::Stopped)
                } else {
                    Ok(n)
                }
            };
            let consume = |n| {
                if place == 2 && n == 100 {
                    stopped()
                } else {
                    Ok(())
                }
            };
            assert!(matches!(
                ordered(3, produce, work, consume),
                Err(DataError::Stopped)
            ));
        }
    }

    #[test]
    #[should_panic(expected = "our own fault")]
    fn a_panic_of_a_worker_is_not_lost() {
        let produce = |give: &mut dyn FnMut(u64) -> Result<()>| (0..1000).try_for_each(give);
        let work = |n: u64| {
            assert!(n != 50, "our own fault");
            Ok(n)
        };
        let _ = ordered(2, produce, work, |_| Ok(()));
    }
}
