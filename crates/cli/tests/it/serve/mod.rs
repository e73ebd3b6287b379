//! The server as a program meets it: the real binary with the real model on a free port.

mod adapters;
mod attacks;
mod chat;
mod completions;
mod encoder;
mod keys;
mod messages;
mod operation;
mod packaging;
mod responses;
mod secured;
mod telemetry;
mod tools;
mod web;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::real::{self, Real};

/// Generous, since other work may keep the machine busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running server; it ends with the value.
pub(super) struct Server {
    child: Mutex<Child>,
    pub(super) address: SocketAddr,
    log: Arc<Mutex<String>>,
    /// Its database, where the test has no place for one.
    folder: Option<tempfile::TempDir>,
}

/// The model's server that tests without settings of their own share.
pub(super) fn shared() -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let real = real::model()?;
    let mut shared = SHARED.lock().unwrap();
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Server::start(real, &[]));
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A server of one test's own, with these settings.
pub(super) fn own(settings: &[&str]) -> Option<Server> {
    Some(Server::start(real::model()?, settings))
}

impl Server {
    fn start(real: &Real, settings: &[&str]) -> Self {
        let mut command = real.terang();
        // The data folder is everybody's; a database is one server's.
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("terang.db").display());
        command.args(["serve", "--model", real::MODEL, "--listen", "127.0.0.1:0"]);
        command.args(["--database", &database]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut server = Self::of(command);
        server.folder = Some(folder);
        server.wait_until_ready();
        server
    }

    /// The server that a command starts.
    pub(super) fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                kept.lock().unwrap().push_str(&text);
            }
        });
        let address = line
            .split("://")
            .nth(1)
            .and_then(|rest| rest.split(';').next());
        let address = address.and_then(|address| address.parse().ok());
        let Some(address) = address else {
            let _ = child.wait();
            panic!("{line:?} {}", log.lock().unwrap());
        };
        Self {
            child: Mutex::new(child),
            address,
            log,
            folder: None,
        }
    }

    pub(super) fn wait_until_ready(&self) {
        let begun = Instant::now();
        while self.get("/health/ready").status != 200 {
            assert!(begun.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// What the server has logged so far.
    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = self.child.lock().unwrap().id();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits for the end of the process; gives its exit code.
    pub(super) fn wait(&self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes as they are and reads until the server closes.
    pub(super) fn raw(&self, bytes: &[u8]) -> Response {
        let mut stream = self.connect();
        // A server that refuses early may have closed before everything is written.
        let _ = stream.write_all(bytes);
        Response::read(stream)
    }

    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            head.push_str("Host: localhost\r\n");
        }
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if !body.is_empty() {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub(super) fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], b"")
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Response {
        let headers = ["Content-Type: application/json"];
        self.request("POST", path, &headers, body.to_string().as_bytes())
    }

    /// The answer to a request that must be right.
    #[track_caller]
    pub(super) fn ok(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body);
        assert_eq!(response.status, 200, "{body}: {}", response.body);
        response.json()
    }

    /// The events of a stream that must be right, without the last, which says that it is.
    #[track_caller]
    pub(super) fn stream(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut body = body.clone();
        body["stream"] = true.into();
        let response = self.post(path, &body);
        assert_eq!(response.status, 200, "{}", response.body);
        assert!(
            response
                .header("content-type")
                .unwrap()
                .starts_with("text/event-stream")
        );
        let mut events: Vec<&str> = response
            .body
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .collect();
        assert_eq!(events.pop(), Some("[DONE]"), "{}", response.body);
        events
            .iter()
            .map(|event| serde_json::from_str(event).unwrap())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A response that is complete.
pub(super) struct Response {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
    /// The body as it came.
    pub(super) bytes: Vec<u8>,
}

impl Response {
    pub(super) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the response is no loss.
        let _ = stream.read_to_end(&mut bytes);
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let body = &bytes[(end + 4).min(bytes.len())..];
        let chunked = head
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked");
        let body = if chunked {
            unchunk(body)
        } else {
            body.to_vec()
        };
        Self {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|s| s.parse().ok())
                .unwrap_or(0),
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
            bytes: body,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// All values of a header that may come several times.
    pub(super) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).collect()
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// Asserts an error of this status in the API's shape, whose message holds `part`.
    #[track_caller]
    pub(super) fn fails(&self, status: u16, part: &str) -> Value {
        assert_eq!(self.status, status, "{}{}", self.head, self.body);
        let error = self.json()["error"].clone();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "{message:?} lacks {part:?}");
        assert!(
            error["type"].is_string()
                && error.get("param").is_some()
                && error.get("code").is_some()
        );
        // Nothing of this machine stands in a message.
        for secret in ["/root", "/home", "0x", ".gguf", "panicked", "crates/"] {
            assert!(!message.contains(secret), "{message}");
        }
        error
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let rest = &bytes[end + 2..];
        if size == 0 || rest.len() < size {
            break;
        }
        whole.extend_from_slice(&rest[..size]);
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "calls read better with json! in place"
)]
/// A conversation with one question, and these fields besides.
pub(super) fn question(text: &str, more: Value) -> Value {
    let mut body = json!({
        "model": real::MODEL, "messages": [{ "role": "user", "content": text }],
        "max_tokens": 12, "temperature": 0,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The text of the first answer.
pub(super) fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

pub(super) const CHAT: &str = "/v1/chat/completions";
pub(super) const COMPLETIONS: &str = "/v1/completions";
