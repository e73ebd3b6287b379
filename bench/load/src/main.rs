//! A bounded load on a server of this machine: clients that each send one request after another and
//! note when its tokens come. One thread serves all of them, so that the cores are the server's.
//!
//! ```text
//! terang-load 127.0.0.1:8080 REQUESTS.jsonl --clients 32
//! ```
//!
//! Each request of the file is sent once, by whichever client is free; with `--seconds` they are
//! sent over and over until the time is up. The figures are one JSON object on standard output.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod answer;
mod arguments;
mod body;
mod exchange;
mod plan;
mod summary;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arguments::Arguments;
use exchange::Outcome;
use plan::Request;

/// What the clients share.
#[derive(Debug)]
struct Shared {
    arguments: Arguments,
    requests: Vec<Request>,
    /// The next request.
    next: AtomicUsize,
    /// Streams whose first token has come.
    started: AtomicUsize,
    until: Option<Instant>,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Shared {
    /// The next request and its number, while there is work to do.
    fn take(&self) -> Option<(usize, &Request)> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        match self.until {
            Some(until) if Instant::now() >= until => None,
            Some(_) => self.requests.get(index % self.requests.len()),
            None => self.requests.get(index),
        }
        .map(|request| (index, request))
    }

    fn tell_started(&self) {
        let started = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        if self.arguments.tell_started && started == self.arguments.clients {
            eprintln!("started");
        }
    }
}

async fn client(shared: Arc<Shared>) {
    let limit = Duration::from_secs(shared.arguments.timeout_s);
    while let Some((index, request)) = shared.take() {
        let outcome = exchange::run(shared.arguments.address, request, index, limit, &|| {
            shared.tell_started();
        })
        .await;
        let mut outcomes = shared
            .outcomes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        outcomes.push(outcome);
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let requests = plan::read(&arguments.requests)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let begun = Instant::now();
    let shared = Arc::new(Shared {
        until: arguments.seconds.map(|s| begun + Duration::from_secs(s)),
        arguments,
        requests,
        next: AtomicUsize::new(0),
        started: AtomicUsize::new(0),
        outcomes: Mutex::new(Vec::new()),
    });
    runtime.block_on(async {
        let clients: Vec<_> = (0..shared.arguments.clients)
            .map(|_| tokio::spawn(client(Arc::clone(&shared))))
            .collect();
        for client in clients {
            client.await?;
        }
        Ok::<_, tokio::task::JoinError>(())
    })?;
    let mut outcomes = shared
        .outcomes
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.index);
    let figures = summary::of(&outcomes, begun, shared.arguments.answers);
    #[allow(
        clippy::print_stdout,
        reason = "the figures are what this program is for"
    )]
    {
        println!("{}", serde_json::to_string(&figures)?);
    }
    Ok(())
}
