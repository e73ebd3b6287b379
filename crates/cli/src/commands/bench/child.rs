//! What only a process of its own can tell: how long a cold start takes, and how much memory the
//! work needs without the measuring program's buffers.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::work::Work;
use super::{Located, go_on};
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::interrupt;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, fail};

const INTERRUPT_POLL: Duration = Duration::from_millis(20);

/// Milliseconds from the start of `terang chat` to its answer of one token, files in the page cache.
pub(super) fn cold_start_ms(data: &DataDir, model: &Located, compute: Compute) -> Outcome<f64> {
    let mut name = OsString::from("--model=");
    name.push(&model.path);
    let mut command = terang(data, compute)?;
    command
        .args(["chat", "--json", "--max-tokens=1", "--temperature=0"])
        .arg(name)
        .arg("Hello");
    let (_, first_byte) = finish(&mut command)?;
    Ok(first_byte.as_secs_f64() * 1000.0)
}

/// Peak resident memory of a process that loads the model, reads the longest prompt and decodes;
/// `None` where the system does not tell.
pub(super) fn peak_memory(
    data: &DataDir,
    model: &Located,
    compute: Compute,
) -> Outcome<Option<u64>> {
    let mut command = terang(data, compute)?;
    command
        .args(["bench", "--memory-only", "--"])
        .arg(&model.path);
    let (text, _) = finish(&mut command)?;
    let told: Value = serde_json::from_str(&text).map_err(|e| failed(&e.to_string()))?;
    Ok(told["peak_rss_bytes"].as_u64())
}

/// In the child: does the work and tells its peak.
pub(super) fn tell_peak_memory(mut work: Work) -> Outcome<()> {
    let longest = work.sizes().prefill().max();
    if let Some(tokens) = longest {
        work.prefill(tokens)?;
    }
    work.decode(longest.unwrap_or(0))?;
    output::json(&json!({ "peak_rss_bytes": peak_rss_bytes() }))
}

/// This process's `VmHWM`.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn terang(data: &DataDir, compute: Compute) -> Outcome<Command> {
    let program = std::env::current_exe().map_err(|e| failed(&e.to_string()))?;
    let mut command = Command::new(program);
    command
        .env("TERANG_DATA_DIR", data.root())
        .args(compute.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Runs the command to its end; gives its output, and when the first byte of it came.
fn finish(command: &mut Command) -> Outcome<(String, Duration)> {
    let begun = Instant::now();
    let mut child = command.spawn().map_err(|e| failed(&e.to_string()))?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let over = AtomicBool::new(false);
    let (text, first_byte, status) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| end_of(&mut child, &over));
        let mut bytes = Vec::new();
        let mut first = [0; 1];
        if let Some(out) = &mut stdout
            && out.read_exact(&mut first).is_ok()
        {
            bytes.push(first[0]);
        }
        let first_byte = begun.elapsed();
        if let Some(out) = &mut stdout {
            let _ = out.read_to_end(&mut bytes);
        }
        over.store(true, Ordering::Relaxed);
        let status = watch.join().unwrap_or(None);
        (bytes, first_byte, status)
    });
    go_on()?;
    if status.is_some_and(|status| status.success()) && !text.is_empty() {
        return Ok((String::from_utf8_lossy(&text).into_owned(), first_byte));
    }
    let mut said = String::new();
    if let Some(err) = &mut stderr {
        let _ = err.read_to_string(&mut said);
    }
    let line = said.lines().last().unwrap_or_default();
    let prefix = format!("{}: ", Msg::ErrorPrefix {});
    Err(failed(line.strip_prefix(&prefix).unwrap_or(line)))
}

/// Waits for the child, and ends it after Ctrl-C; `over` says that its output has ended.
fn end_of(child: &mut Child, over: &AtomicBool) -> Option<ExitStatus> {
    while !over.load(Ordering::Relaxed) {
        if interrupt::requested() {
            let _ = child.kill();
            break;
        }
        std::thread::sleep(INTERRUPT_POLL);
    }
    child.wait().ok()
}

fn failed(reason: &str) -> crate::problem::Problem {
    fail(Msg::BenchChildFailed {
        reason: reason.to_owned(),
    })
}
