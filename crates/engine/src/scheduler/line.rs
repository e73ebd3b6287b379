//! Who is let in next.
//!
//! Sequences that had to make way come first. Then classes of priority, the highest first; but a
//! class that was passed over several times in a row is served once, so that no class starves.
//! Within a class the client that has received the least service, counted in tokens, is next (the
//! virtual token counter of Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024),
//! and of one client's requests the oldest. A client that comes back does not bring credit for the
//! time in which it asked for nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};

use super::task::Task;

/// Times in a row that others may be let in before a class is served whatever its priority.
const PASSED_OVER_MAX: usize = 8;
/// What a generated token counts, beside a token of a prompt.
const GENERATED: u64 = 2;
/// Generated tokens that are counted when a request is let in, before it is known how many come, so
/// that many short prompts of one client do not take all places at once.
const EXPECTED_TOKENS: usize = 64;
/// Clients without requests whose service is remembered.
const IDLE_CLIENTS_MAX: usize = 4096;

/// Whose a task is, and how it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) client: u64,
    pub(super) priority: i32,
    /// Counts arrivals.
    arrival: u64,
    /// Generated tokens that are counted already.
    counted: usize,
}

impl Standing {
    pub(super) fn new(client: u64, priority: i32) -> Self {
        Self {
            client,
            priority,
            ..Self::default()
        }
    }
}

/// The tasks that wait, and what the clients have received.
#[derive(Debug)]
pub(super) struct Line<S> {
    resumed: VecDeque<Task<S>>,
    /// By descending priority.
    classes: BTreeMap<Reverse<i32>, Class<S>>,
    clients: HashMap<u64, Client>,
    arrivals: u64,
}

#[derive(Debug)]
struct Class<S> {
    /// Each client's tasks, oldest first; none is empty.
    waiting: BTreeMap<u64, VecDeque<Task<S>>>,
    passed_over: usize,
}

#[derive(Debug, Default)]
struct Client {
    /// Tokens of service.
    service: u64,
    /// Tasks that wait or run.
    tasks: usize,
}

impl<S> Line<S> {
    pub(super) fn new() -> Self {
        Self {
            resumed: VecDeque::new(),
            classes: BTreeMap::new(),
            clients: HashMap::new(),
            arrivals: 0,
        }
    }

    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.resumed.is_empty() && self.classes.is_empty()
    }

    /// A new task joins.
    pub(super) fn join(&mut self, mut task: Task<S>) {
        self.arrivals += 1;
        task.standing.arrival = self.arrivals;
        let id = task.standing.client;
        if self.clients.get(&id).is_none_or(|client| client.tasks == 0) {
            // Nobody earns credit by waiting outside.
            let least = self.least_service();
            let client = self.clients.entry(id).or_default();
            client.service = client.service.max(least.unwrap_or(0));
        }
        self.clients.entry(id).or_default().tasks += 1;
        self.class(task.standing.priority)
            .entry(id)
            .or_default()
            .push_back(task);
    }

    /// A task of a client, which comes along with one that joins.
    pub(super) fn comes_along(&mut self, client: u64) {
        self.clients.entry(client).or_default().tasks += 1;
    }

    /// A task that ran before joins again, before all others.
    pub(super) fn rejoin(&mut self, task: Task<S>) {
        self.resumed.push_front(task);
    }

    /// Takes the task that is next. It is then let in ([`Self::admitted`]) or put back
    /// ([`Self::put_back`]).
    pub(super) fn take_next(&mut self) -> Option<Task<S>> {
        if let Some(task) = self.resumed.pop_front() {
            return Some(task);
        }
        let classes = || {
            let classes = self.classes.iter();
            classes.filter(|(_, class)| !class.waiting.is_empty())
        };
        let due = classes()
            .filter(|(_, class)| class.passed_over >= PASSED_OVER_MAX)
            .max_by_key(|(_, class)| class.passed_over);
        let (&priority, class) = due.or_else(|| classes().next())?;
        let next = class.waiting.iter().min_by_key(|(client, tasks)| {
            let service = self.clients.get(client).map_or(0, |client| client.service);
            (
                service,
                tasks.front().map_or(0, |task| task.standing.arrival),
            )
        });
        let client = *next?.0;
        let class = self.classes.get_mut(&priority)?;
        let tasks = class.waiting.get_mut(&client)?;
        let task = tasks.pop_front();
        if tasks.is_empty() {
            class.waiting.remove(&client);
        }
        task
    }

    /// Puts tasks back that were taken, in the order in which they were taken.
    pub(super) fn put_back(&mut self, tasks: Vec<Task<S>>) {
        for task in tasks.into_iter().rev() {
            if task.has_started() {
                self.resumed.push_front(task);
            } else {
                self.class(task.standing.priority)
                    .entry(task.standing.client)
                    .or_default()
                    .push_front(task);
            }
        }
        self.drop_empty();
    }

    /// A task was let in, for the first time or again, with so many tokens to evaluate.
    pub(super) fn admitted(&mut self, task: &mut Task<S>, to_evaluate: usize) {
        if task.has_started() {
            self.drop_empty();
            return;
        }
        for (&priority, class) in &mut self.classes {
            if priority == Reverse(task.standing.priority) {
                class.passed_over = 0;
            } else {
                class.passed_over += 1;
            }
        }
        self.drop_empty();
        task.standing.counted = task.max_tokens().min(EXPECTED_TOKENS);
        let service = to_evaluate as u64 + GENERATED * task.standing.counted as u64;
        self.client(task.standing.client).service += service;
    }

    /// A task has chosen so many tokens in all.
    pub(super) fn served(&mut self, standing: &mut Standing, chosen: usize) {
        let more = chosen.saturating_sub(standing.counted);
        if more > 0 {
            standing.counted = chosen;
            self.client(standing.client).service += GENERATED * more as u64;
        }
    }

    /// A task has ended with so many tokens chosen.
    pub(super) fn ended(&mut self, standing: Standing, chosen: usize) {
        let unused = standing.counted.saturating_sub(chosen) as u64;
        let client = self.client(standing.client);
        client.service = client.service.saturating_sub(GENERATED * unused);
        client.tasks = client.tasks.saturating_sub(1);
        if client.tasks > 0 {
            return;
        }
        let service = client.service;
        // What is no more than everybody has is what a newcomer gets.
        if self.least_service().is_none_or(|least| service <= least) {
            self.clients.remove(&standing.client);
        }
        if self.clients.values().all(|client| client.tasks == 0) {
            self.clients.clear();
        } else if self.clients.len() > IDLE_CLIENTS_MAX {
            self.clients.retain(|_, client| client.tasks > 0);
        }
    }

    /// Takes out the tasks that `leaves` says so of.
    pub(super) fn take_out(&mut self, leaves: impl Fn(&Task<S>) -> bool) -> Vec<Task<S>> {
        let mut out = Vec::new();
        let classes = self.classes.values_mut();
        let queues = classes.flat_map(|class| class.waiting.values_mut());
        for tasks in queues.chain([&mut self.resumed]) {
            if tasks.iter().any(&leaves) {
                let (leaving, staying) = std::mem::take(tasks).into_iter().partition(&leaves);
                *tasks = staying;
                out.extend::<VecDeque<_>>(leaving);
            }
        }
        self.drop_empty();
        out
    }

    /// Tasks that wait again.
    pub(super) fn put_back_count(&self) -> usize {
        let again = self.resumed.iter().filter(|task| task.has_started());
        again.count()
    }

    /// All tasks that wait, in no order.
    pub(super) fn tasks_mut(&mut self) -> impl Iterator<Item = &mut Task<S>> {
        let classes = self.classes.values_mut();
        let queues = classes.flat_map(|class| class.waiting.values_mut());
        queues.chain([&mut self.resumed]).flatten()
    }

    /// Nothing is remembered of anybody.
    #[cfg(test)]
    pub(super) fn is_forgotten(&self) -> bool {
        self.is_empty() && self.clients.is_empty()
    }

    fn drop_empty(&mut self) {
        for class in self.classes.values_mut() {
            class.waiting.retain(|_, tasks| !tasks.is_empty());
        }
        self.classes.retain(|_, class| !class.waiting.is_empty());
    }

    fn class(&mut self, priority: i32) -> &mut BTreeMap<u64, VecDeque<Task<S>>> {
        let class = self.classes.entry(Reverse(priority)).or_insert(Class {
            waiting: BTreeMap::new(),
            passed_over: 0,
        });
        &mut class.waiting
    }

    fn client(&mut self, id: u64) -> &mut Client {
        self.clients.entry(id).or_default()
    }

    /// The least service of clients that want any.
    fn least_service(&self) -> Option<u64> {
        let active = self.clients.values().filter(|client| client.tasks > 0);
        active.map(|client| client.service).min()
    }
}
