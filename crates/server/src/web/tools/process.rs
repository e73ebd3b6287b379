//! A server of tools that is a program of this machine. What is started comes from whoever set the
//! server up, word by word, and no shell reads it; of this server's environment it gets what is named.

use std::process::Stdio;

use rmcp::RoleClient;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::spec::{Program, Secrets};
use super::{MESSAGE_BYTES_MAX, ToolError};

/// Of a line that a program writes for the log.
const LOG_LINE_BYTES_MAX: u64 = 500;
/// Lines of one start of a program that go to the log.
const LOG_LINES_MAX: usize = 200;

/// A program that runs; it ends with the value, and with it what it has started.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok())
            && let Some(group) = rustix::process::Pid::from_raw(id)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

pub(super) type Pipes = AsyncRwTransport<RoleClient, ChildStdout, ChildStdin>;

/// Starts a program; gives what it is spoken with.
pub(super) fn start(
    name: &str,
    program: &Program,
    secrets: &Secrets,
) -> Result<(Process, Pipes), ToolError> {
    let mut command = Command::new(&program.command);
    command.args(&program.args).env_clear();
    for variable in &program.inherit {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    command
        .envs(&secrets.env)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command
        .spawn()
        .map_err(|error| ToolError::Start(error.kind().to_string()))?;
    let pipes = (child.stdout.take(), child.stdin.take());
    let (Some(stdout), Some(stdin)) = pipes else {
        return Err(ToolError::Ended);
    };
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(log(name.to_owned(), stderr));
    }
    let pipes = AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(MESSAGE_BYTES_MAX);
    Ok((Process { child }, pipes))
}

/// Puts what a program writes for the log there, and reads on when that is enough, lest it wait.
async fn log(server: String, stderr: impl AsyncRead + Unpin) {
    let mut reader = BufReader::new(stderr);
    let mut lines = 0;
    loop {
        let mut line = Vec::new();
        let read = (&mut reader)
            .take(LOG_LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        lines += 1;
        if lines <= LOG_LINES_MAX {
            let text = String::from_utf8_lossy(&line);
            let text: String = text.chars().filter(|c| !c.is_control()).collect();
            tracing::info!(%server, "tools: {text}");
        } else if lines == LOG_LINES_MAX + 1 {
            tracing::warn!(%server, "tools: it writes too much; the rest is left out");
        }
    }
}
