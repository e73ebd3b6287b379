//! A small HTTP server that behaves like the hub, and misbehaves on request.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a request is answered.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// As asked.
    Good,
    /// The connection breaks after so many bytes of the body.
    CutAfter(usize),
    /// The body comes in small pieces with pauses.
    Slow,
    /// `Range` is not understood: the whole file, with 200.
    NoRange,
    /// This status and no body.
    Status(u16),
}

/// A running server.
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    /// Heads of the requests so far.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    /// Serves `body`; the first requests in these manners, all others in the last one.
    pub(crate) fn serve(body: Vec<u8>, manners: &[Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, manners) = (Arc::clone(&requests), manners.to_vec());
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let manner = manners[index.min(manners.len() - 1)];
                let (body, log) = (body.clone(), Arc::clone(&log));
                std::thread::spawn(move || answer(stream.unwrap(), &body, manner, &log));
            }
        });
        Self { endpoint, requests }
    }

    pub(crate) fn ranges(&self) -> Vec<Option<usize>> {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .map(|r| range(r))
            .collect()
    }
}

fn range(head: &str) -> Option<usize> {
    head.lines()
        .find_map(|l| {
            l.to_lowercase()
                .strip_prefix("range: bytes=")
                .map(str::to_owned)
        })
        .and_then(|r| r.trim_end_matches('-').parse().ok())
}

fn answer(mut stream: TcpStream, body: &[u8], manner: Manner, log: &Mutex<Vec<String>>) {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
    let start = range(&head).filter(|_| !matches!(manner, Manner::NoRange));
    log.lock().unwrap().push(head);
    if let Manner::Status(status) = manner {
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        return;
    }
    let rest = &body[start.unwrap_or(0)..];
    let status = match start {
        Some(start) => format!(
            "206 Partial Content\r\nContent-Range: bytes {start}-{}/{}",
            body.len() - 1,
            body.len()
        ),
        None => "200 OK".to_owned(),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        rest.len()
    );
    match manner {
        Manner::CutAfter(count) => {
            let _ = stream.write_all(&rest[..count.min(rest.len())]);
        }
        Manner::Slow => {
            for piece in rest.chunks(20_000) {
                if stream.write_all(piece).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        _ => {
            let _ = stream.write_all(rest);
        }
    }
}
