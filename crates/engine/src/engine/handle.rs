//! What a caller holds of a request: the stream of its events, the handle that cancels it, and its
//! place in the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use crate::{Error, Event, Result};

/// The events of one request, ended by exactly one `Finished` or `Failed`. Dropping it cancels the
/// request.
///
/// Events wait without bound, but there are no more of them than the context has positions.
#[derive(Debug)]
pub struct Generation {
    events: Receiver<Event>,
    cancel: CancelHandle,
    ended: bool,
}

impl Generation {
    pub(super) fn new(events: Receiver<Event>, cancel: CancelHandle) -> Self {
        Self {
            events,
            cancel,
            ended: false,
        }
    }

    /// A handle that cancels this request from anywhere.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }
}

impl Iterator for Generation {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().unwrap_or_else(|_| Event::Failed {
            message: Error::Stopped.to_string(),
        });
        self.ended = event.is_end();
        Some(event)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Cancels a request; it then ends with what it has and
/// [`FinishReason::Cancelled`](crate::FinishReason::Cancelled). Dropping the handle does nothing.
#[derive(Clone, Debug, Default)]
pub struct CancelHandle {
    cancelled: Arc<AtomicBool>,
}

impl CancelHandle {
    /// Asks the request to end. Takes effect after the token or the part of the prompt at hand.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// One of the places in the queue, given up when the request runs or ends.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    /// So many places, or none of them.
    pub(super) fn take(
        waiting: &Arc<AtomicUsize>,
        places: usize,
        limit: usize,
    ) -> Result<Vec<Self>> {
        let more = |count: usize| Some(count + places).filter(|&count| count <= limit);
        match waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok((0..places).map(|_| Self(Arc::clone(waiting))).collect()),
            Err(_) => Err(Error::QueueFull { limit }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
