//! The responses that are kept: in memory, bounded in number and in bytes, and forgotten when the
//! process ends. Each belongs to a key, and to every other key it is as if it did not exist.
//!
//! When the store is full, whoever holds most of it loses the oldest of theirs, so that nobody can
//! push out what others keep.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use super::item::Item;
use super::object::ResponseObject;

#[cfg(test)]
mod tests;

/// What an entry takes beside its texts.
const ENTRY_BYTES: usize = 512;

/// Bytes that are counted for as long as this lives.
#[derive(Debug)]
struct Held {
    bytes: usize,
    counter: Arc<AtomicUsize>,
}

impl Held {
    fn new(bytes: usize, counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(bytes, Ordering::Relaxed);
        Self {
            bytes,
            counter: Arc::clone(counter),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Items that came together. Responses that go on with each other share them.
#[derive(Debug)]
pub(super) struct Turn {
    items: Vec<Item>,
    #[allow(dead_code, reason = "counts for as long as it stands here")]
    held: Held,
}

/// All that a model was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    /// From earlier responses.
    before: Vec<Arc<Turn>>,
    /// What this response has added.
    new: Vec<Item>,
}

impl Conversation {
    /// All items, in their order.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        let before = self.before.iter().flat_map(|turn| &turn.items);
        before.chain(&self.new)
    }

    /// Goes on with these.
    pub(super) fn extend(&mut self, items: Vec<Item>) {
        self.new.extend(items);
    }
}

/// A response that is being made without a connection.
#[derive(Debug)]
pub(super) struct Running {
    /// Ends it, when used and when dropped.
    pub(super) stop: Option<oneshot::Sender<()>>,
    /// Closed once it has ended.
    pub(super) ended: watch::Receiver<()>,
}

#[derive(Debug)]
struct Entry {
    owner: u64,
    response: Arc<ResponseObject>,
    /// What the model was given.
    turns: Vec<Arc<Turn>>,
    running: Option<Running>,
    #[allow(dead_code, reason = "counts for as long as it stands here")]
    held: Held,
}

#[derive(Debug, Default)]
struct Owner {
    /// Oldest first.
    ids: VecDeque<String>,
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Shelves {
    entries: HashMap<String, Entry>,
    /// As many as there are keys; an owner stays, since turns may outlive the entries.
    owners: HashMap<u64, Owner>,
}

/// The responses that are kept.
#[derive(Debug)]
pub(crate) struct Store {
    shelves: Mutex<Shelves>,
    entries_max: usize,
    bytes_max: usize,
}

impl Store {
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            shelves: Mutex::default(),
            entries_max,
            bytes_max,
        }
    }

    /// Whether anything is kept at all.
    pub(super) fn keeps(&self) -> bool {
        self.entries_max > 0 && self.bytes_max > 0
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a response; older ones go where there is no room.
    pub(super) fn insert(
        &self,
        owner: u64,
        response: ResponseObject,
        conversation: Conversation,
        running: Option<Running>,
    ) {
        let mut shelves = self.lock();
        let shelf = shelves.owners.entry(owner).or_default();
        let mut turns = conversation.before;
        turns.push(Arc::new(turn(conversation.new, &shelf.bytes)));
        let links = turns.len() * size_of::<Arc<Turn>>();
        let id = response.id.clone();
        shelf.ids.push_back(id.clone());
        let entry = Entry {
            owner,
            held: Held::new(bytes(&response) + links, &shelf.bytes),
            response: Arc::new(response),
            turns,
            running,
        };
        shelves.entries.insert(id, entry);
        shelves.make_room(self.entries_max, self.bytes_max);
    }

    /// Puts a response in the place of what it was before, if that is still kept.
    pub(super) fn update(&self, response: ResponseObject) {
        let mut shelves = self.lock();
        let shelves = &mut *shelves;
        let Some(entry) = shelves.entries.get_mut(&response.id) else {
            return;
        };
        let Some(shelf) = shelves.owners.get(&entry.owner) else {
            return;
        };
        if response.status.is_end() {
            entry.running = None;
        }
        let links = entry.turns.len() * size_of::<Arc<Turn>>();
        entry.held = Held::new(bytes(&response) + links, &shelf.bytes);
        entry.response = Arc::new(response);
        shelves.make_room(self.entries_max, self.bytes_max);
    }

    /// The response, if it is this owner's.
    pub(super) fn get(&self, owner: u64, id: &str) -> Option<Arc<ResponseObject>> {
        let shelves = self.lock();
        let entry = shelves.entry(owner, id)?;
        Some(Arc::clone(&entry.response))
    }

    /// What the model was given.
    pub(super) fn input(&self, owner: u64, id: &str) -> Option<Conversation> {
        let shelves = self.lock();
        let entry = shelves.entry(owner, id)?;
        Some(Conversation {
            before: entry.turns.clone(),
            new: Vec::new(),
        })
    }

    /// Forgets a response, which ends it where it is still being made. Says whether it was there.
    pub(super) fn remove(&self, owner: u64, id: &str) -> bool {
        let mut shelves = self.lock();
        if shelves.entry(owner, id).is_none() {
            return false;
        }
        shelves.entries.remove(id);
        if let Some(shelf) = shelves.owners.get_mut(&owner) {
            shelf.ids.retain(|kept| kept != id);
        }
        true
    }

    /// Tells a response that is being made to end; what is given back is closed once it has.
    pub(super) fn stop(&self, owner: u64, id: &str) -> Option<watch::Receiver<()>> {
        let mut shelves = self.lock();
        shelves.entry(owner, id)?;
        let running = shelves.entries.get_mut(id)?.running.as_mut()?;
        running.stop = None;
        Some(running.ended.clone())
    }
}

impl Shelves {
    fn entry(&self, owner: u64, id: &str) -> Option<&Entry> {
        self.entries.get(id).filter(|entry| entry.owner == owner)
    }

    fn make_room(&mut self, entries_max: usize, bytes_max: usize) {
        loop {
            let held = |owner: &Owner| owner.bytes.load(Ordering::Relaxed);
            let with_entries = self.owners.values().filter(|o| !o.ids.is_empty());
            let fullest = if self.entries.len() > entries_max {
                with_entries.max_by_key(|owner| owner.ids.len())
            } else {
                // Turns that a request still reads are counted too, and cannot be let go.
                with_entries.max_by_key(|owner| held(owner))
            };
            let Some(owner) = fullest else { return };
            let oldest = owner.ids.front().cloned();
            let total: usize = self.owners.values().map(held).sum();
            if self.entries.len() <= entries_max && total <= bytes_max {
                return;
            }
            let Some(oldest) = oldest else { return };
            let entry = self.entries.remove(&oldest);
            if let Some(owner) = entry.and_then(|entry| self.owners.get_mut(&entry.owner)) {
                owner.ids.pop_front();
            }
        }
    }
}

fn turn(items: Vec<Item>, counter: &Arc<AtomicUsize>) -> Turn {
    let bytes = items.iter().map(Item::bytes).sum::<usize>() + size_of::<Turn>();
    Turn {
        items,
        held: Held::new(bytes, counter),
    }
}

/// About so many bytes of memory.
fn bytes(response: &ResponseObject) -> usize {
    // Its JSON is at least as long as its texts, and what it has besides is of a fixed size.
    let json = serde_json::to_vec(response).map_or(0, |json| json.len());
    json + size_of::<ResponseObject>() + ENTRY_BYTES
}
