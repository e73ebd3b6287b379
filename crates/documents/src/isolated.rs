//! Reading in a child process of the same binary. The child takes a file from its standard input,
//! gives up all that a program may do but to compute (memory, time, files, processes), and writes one
//! JSON value; whatever happens to it, its parent gets a document or an error in time.
//!
//! The confinement is the kernel's resource limits. It bounds what a hostile file can cost; the parsers
//! themselves are safe Rust.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::error::{DocumentError, Result};
use crate::{FILE_BYTES_MAX, Format, TEXT_BYTES_MAX, read};

/// The verb of the binary that is the child; its argument is the name of a format.
pub const VERB: &str = "read-document";

/// What the child may take. The deadline is longer than the time of a processor, since the machine
/// may have other work.
const MEMORY_BYTES_MAX: u64 = 768 << 20;
const CPU_S_MAX: u64 = 30;
const DEADLINE: Duration = Duration::from_secs(90);
/// Parsers go down into what is nested.
const STACK_BYTES: usize = 64 << 20;
/// Text as JSON is longer than text.
const REPLY_BYTES_MAX: usize = 8 * TEXT_BYTES_MAX;

/// What the child writes.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Read(Document),
    Failed(DocumentError),
}

/// Reads documents in child processes.
#[derive(Clone, Debug)]
pub struct Reader {
    program: PathBuf,
    deadline: Duration,
}

impl Reader {
    /// With the binary at `program`, which calls [`child`] for [`VERB`].
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            deadline: DEADLINE,
        }
    }

    /// With the binary that runs now.
    pub fn of_this_program() -> std::io::Result<Self> {
        // By this name it is found also after an upgrade has put another file in its place.
        let itself = PathBuf::from("/proc/self/exe");
        if cfg!(target_os = "linux") && itself.exists() {
            return Ok(Self::new(itself));
        }
        std::env::current_exe().map(Self::new)
    }

    /// Ends the child after another time.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Reads a document; waits for it. Formats that are text are read here.
    pub fn read(&self, format: Format, data: Vec<u8>) -> Result<Document> {
        if data.len() > FILE_BYTES_MAX {
            return Err(DocumentError::FileTooLarge {
                limit: FILE_BYTES_MAX,
            });
        }
        if !format.needs_parser() {
            return read(format, data);
        }
        let mut child = self.start(format).map_err(unavailable)?;
        let reply = self.talk(&mut child, data);
        // It may be alive, and is not asked.
        let _ = child.kill();
        let status = child.wait().map_err(unavailable)?;
        match reply {
            Ok(Some(reply)) => understand(&reply, status),
            Ok(None) => Err(self.too_slow()),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn start(&self, format: Format) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        // What the server knows of secrets is not for a process that reads what strangers wrote.
        command.env_clear().current_dir("/");
        command.arg(VERB).arg(format.name());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        // Ctrl-C at a terminal is the server's to obey, in its own time.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    /// Gives the child its file and takes what it writes; `None`: not in time.
    fn talk(&self, child: &mut Child, data: Vec<u8>) -> std::io::Result<Option<Vec<u8>>> {
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("the child has no pipes"));
        };
        // Both end by themselves when the child does: their pipes break.
        std::thread::Builder::new().spawn(move || {
            let _ = input.write_all(&data);
        })?;
        let (sender, receiver) = mpsc::channel();
        std::thread::Builder::new().spawn(move || {
            let mut reply = Vec::new();
            let mut output = output.take(REPLY_BYTES_MAX as u64);
            let _ = output.read_to_end(&mut reply);
            let _ = sender.send(reply);
        })?;
        match receiver.recv_timeout(self.deadline) {
            Ok(reply) => Ok(Some(reply)),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(Some(Vec::new())),
        }
    }

    fn too_slow(&self) -> DocumentError {
        DocumentError::TooSlow {
            seconds: self.deadline.as_secs(),
        }
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "so that it goes into map_err"
)]
fn unavailable(error: std::io::Error) -> DocumentError {
    DocumentError::Unavailable {
        why: error.to_string(),
    }
}

fn understand(reply: &[u8], status: ExitStatus) -> Result<Document> {
    match serde_json::from_slice(reply) {
        Ok(Reply::Read(document)) => document.check(),
        Ok(Reply::Failed(error)) => Err(error),
        Err(_) if ran_out_of_time(status) => Err(DocumentError::TooSlow { seconds: CPU_S_MAX }),
        Err(_) => Err(DocumentError::BrokeOff),
    }
}

#[cfg(unix)]
fn ran_out_of_time(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(rustix::process::Signal::XCPU.as_raw())
}

#[cfg(not(unix))]
fn ran_out_of_time(_: ExitStatus) -> bool {
    false
}

/// What the child does: reads standard input as the format of this name, and writes to standard output.
pub fn child(format: &str) -> ExitCode {
    let reply = match Format::of_name(format) {
        Some(format) => read_input(format),
        None => Err(DocumentError::UnknownFormat),
    };
    let reply = match reply {
        Ok(document) => Reply::Read(document),
        Err(error) => Reply::Failed(error),
    };
    let mut output = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut output, &reply).is_ok() && output.flush().is_ok();
    if written {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read_input(format: Format) -> Result<Document> {
    let mut data = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    let mut input = std::io::stdin().lock().take(limit);
    input.read_to_end(&mut data).map_err(unavailable)?;
    let work = move || {
        confine().map_err(unavailable)?;
        read(format, data)
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let thread = thread.spawn(work).map_err(unavailable)?;
    // A panic is the parser's, over this file.
    thread.join().unwrap_or(Err(DocumentError::BrokeOff))
}

/// Gives up what is not needed to compute. Called when all threads run.
#[cfg(unix)]
fn confine() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let set = |resource, limit| {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, limit)
    };
    set(Resource::As, MEMORY_BYTES_MAX)?;
    // At the soft limit it is told, and ends; a second later it is ended.
    setrlimit(
        Resource::Cpu,
        Rlimit {
            current: Some(CPU_S_MAX),
            maximum: Some(CPU_S_MAX + 1),
        },
    )?;
    // No file can be written or opened, and no process started.
    set(Resource::Fsize, 0)?;
    set(Resource::Nofile, 0)?;
    set(Resource::Core, 0)?;
    set(Resource::Nproc, 0)?;
    Ok(())
}

/// Where there are no such limits nothing is read that needs them.
#[cfg(not(unix))]
fn confine() -> std::io::Result<()> {
    Err(std::io::Error::other(
        "this system cannot limit what a process takes",
    ))
}
