//! Appends records on a thread of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{Days, Record, SET_ASIDE_MAX, now_s, records, set_aside};

/// Records that may wait for the disk; more are lost, and the log says so.
const WAITING_MAX: usize = 64 << 10;

/// Takes records and writes them.
#[derive(Debug)]
pub(crate) struct UsageLog {
    sender: Mutex<Option<Sender<Record>>>,
    /// Counted here: a channel of bounded length takes all its memory at once.
    waiting: Arc<AtomicUsize>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl UsageLog {
    /// Gives the records that the file at `path` holds. It is begun with the first that is written.
    pub(crate) fn open(path: &Path, file_bytes_max: u64) -> io::Result<(Self, Vec<Record>)> {
        let known = records(path)?;
        let mut days = Days::default();
        for record in &known {
            days.count(record);
        }
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            waiting: Arc::clone(&waiting),
            file: None,
            path: path.to_owned(),
            file_bytes_max,
            days,
        };
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("terang-usage".to_owned())
            .spawn(move || writer.run(&receiver))?;
        let log = Self {
            sender: Mutex::new(Some(sender)),
            waiting,
            writer: Mutex::new(Some(thread)),
        };
        Ok((log, known))
    }

    /// Writes a record, soon.
    pub(crate) fn write(&self, record: Record) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else {
            return;
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::error!("a usage record is lost: the disk is too slow");
            return;
        }
        let _ = sender.send(record);
    }

    /// Waits until everything is on the disk. What comes later is not written.
    pub(crate) fn close(&self) {
        let sender = self
            .sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(sender);
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

struct Writer {
    waiting: Arc<AtomicUsize>,
    file: Option<File>,
    path: PathBuf,
    file_bytes_max: u64,
    days: Days,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Record>) {
        let mut failing = false;
        while let Ok(first) = receiver.recv() {
            let mut lines = Vec::new();
            for record in std::iter::once(first).chain(receiver.try_iter()) {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                self.days.count(&record);
                push_line(&mut lines, &record);
            }
            match self.append(&lines) {
                Ok(()) => failing = false,
                // Said once, not for every answer.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "usage records cannot be written");
                }
                Err(_) => {}
            }
        }
        if let Some(file) = &self.file {
            let _ = file.sync_all();
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        // One write a batch: lines of another server with the same data folder stay whole.
        file.write_all(lines)?;
        if file.metadata()?.len() < self.file_bytes_max {
            self.file = Some(file);
            return Ok(());
        }
        file.sync_all()?;
        self.rotate()
    }

    /// Begins a new file, unless another server has done so already.
    fn rotate(&mut self) -> io::Result<()> {
        let lock = File::create(self.path.with_extension("lock"))?;
        lock.lock()?;
        let is_full = fs::metadata(&self.path).is_ok_and(|m| m.len() >= self.file_bytes_max);
        if is_full {
            // The new one is whole before it has its name: limits are restored from it alone.
            let beside = self.path.with_extension("new");
            let _ = fs::remove_file(&beside);
            let mut next = open(&beside)?;
            let mut lines = Vec::new();
            for record in self.days.carried(now_s()) {
                push_line(&mut lines, &record);
            }
            next.write_all(&lines)?;
            next.sync_all()?;
            for number in (1..SET_ASIDE_MAX).rev() {
                let _ = fs::rename(
                    set_aside(&self.path, number),
                    set_aside(&self.path, number + 1),
                );
            }
            fs::rename(&self.path, set_aside(&self.path, 1))?;
            fs::rename(&beside, &self.path)?;
        }
        Ok(())
    }
}

fn push_line(lines: &mut Vec<u8>, record: &Record) {
    if serde_json::to_writer(&mut *lines, record).is_ok() {
        lines.push(b'\n');
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).read(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // A line that a crash cut must not swallow the next one.
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::{DAY_S, totals};
    use super::*;

    fn record(key: &str, time_s: u64, tokens: u64) -> Record {
        Record {
            time_s,
            key: key.to_owned(),
            model: "m".to_owned(),
            prompt_tokens: tokens,
            cached_tokens: 0,
            completion_tokens: 1,
            carried_tokens: 0,
        }
    }

    #[test]
    fn what_is_written_is_read_again_after_a_crash_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/usage.jsonl");
        let (log, known) = UsageLog::open(&path, 1 << 20).unwrap();
        assert_eq!(known, []);
        log.write(record("key_a", 10, 5));
        log.close();
        log.write(record("key_a", 11, 5));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"time_s":12,"key":"key_a","pro"#)
            .unwrap();
        let (log, known) = UsageLog::open(&path, 1 << 20).unwrap();
        assert_eq!(known, [record("key_a", 10, 5)]);
        log.write(record("key_b", 13, 7));
        log.close();
        assert_eq!(
            records(&path).unwrap(),
            [record("key_a", 10, 5), record("key_b", 13, 7)]
        );
    }

    #[test]
    fn a_full_file_is_set_aside_and_nothing_of_the_day_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.jsonl");
        let (log, _) = UsageLog::open(&path, 4000).unwrap();
        let now_s = now_s();
        // Of a day that is over nothing is carried.
        log.write(record("key_old", now_s - 2 * DAY_S, 1000));
        for _ in 0..40 {
            log.write(record("key_a", now_s - 60, 9));
            log.write(record("key_b", now_s - 30, 1));
        }
        log.close();
        assert!(fs::metadata(&path).unwrap().len() < 4000);
        assert!(set_aside(&path, 1).exists());
        let current = records(&path).unwrap();
        let of = |key: &str| -> u64 {
            let its = current.iter().filter(|record| record.key == key);
            its.map(Record::tokens).sum()
        };
        assert_eq!((of("key_a"), of("key_b"), of("key_old")), (400, 80, 0));
        // Sums count every answer once.
        let totals = totals(&path).unwrap();
        assert_eq!(totals.by_key["key_a"].requests, 40);
        assert_eq!(totals.by_key["key_a"].prompt_tokens, 360);
        assert_eq!(totals.by_key["key_a"].today_tokens, 400);
    }

    #[test]
    fn no_more_files_are_kept_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.jsonl");
        for _ in 0..SET_ASIDE_MAX + 4 {
            let (log, _) = UsageLog::open(&path, 1).unwrap();
            log.write(record("key_a", now_s(), 1));
            log.close();
        }
        let jsonl = fs::read_dir(folder.path()).unwrap().filter(|file| {
            let path = file.as_ref().unwrap().path();
            path.extension().is_some_and(|end| end == "jsonl")
        });
        assert_eq!(jsonl.count() as u32, SET_ASIDE_MAX + 1);
        let current = records(&path).unwrap();
        assert_eq!(
            current.iter().map(Record::tokens).sum::<u64>(),
            2 * u64::from(SET_ASIDE_MAX + 4)
        );
    }
}
