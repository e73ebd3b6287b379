//! Words of text files with how often each occurs. Files are read a line at a time, as the reference
//! trainer does: no word reaches across the end of a line.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use terang_model::tokenizer::PreTokenizer;

use crate::bpe::Counts;
use crate::{Result, TrainError};

/// Text that a thread takes at once.
const PIECE_BYTES: usize = 1 << 20;
/// Longest line.
const LINE_BYTES_MAX: usize = 64 << 20;
/// Different words that are held: they and what is learned from them take a few hundred bytes each.
const WORDS_MAX: usize = 50_000_000;

type Table = HashMap<Box<[u8]>, u64>;

/// Counts the words of files on so many threads. `on_progress` is told the bytes read so far, and says
/// whether to go on. Words come in the order of their bytes.
pub(crate) fn count(
    files: &[impl AsRef<Path>],
    words: &PreTokenizer,
    threads: usize,
    mut on_progress: impl FnMut(u64) -> bool,
) -> Result<Counts> {
    // A few pieces wait: reading goes on while words are counted, and memory is bounded.
    let (send, receive) = sync_channel::<String>(2 * threads);
    let receive = Mutex::new(receive);
    let tables = std::thread::scope(|scope| -> Result<Vec<Table>> {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|_| scope.spawn(|| count_pieces(&receive, words)))
            .collect();
        let mut read = 0;
        let done = files.iter().try_for_each(|path| {
            each_piece(path.as_ref(), |piece| {
                read += piece.len() as u64;
                // Nobody takes it: a worker has failed, and says why below.
                let _ = send.send(piece);
                if on_progress(read) {
                    Ok(())
                } else {
                    Err(TrainError::Stopped)
                }
            })
        });
        drop(send);
        let tables: Result<Vec<Table>> = workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect();
        done?;
        tables
    })?;
    let mut tables = tables.into_iter();
    let mut all = tables.next().unwrap_or_default();
    for table in tables {
        for (word, count) in table {
            *all.entry(word).or_default() += count;
        }
        check_size(&all)?;
    }
    let mut counts: Counts = all
        .into_iter()
        .map(|(word, n)| (word.into_vec(), n))
        .collect();
    counts.sort_unstable();
    Ok(counts)
}

fn check_size(table: &Table) -> Result<()> {
    if table.len() > WORDS_MAX {
        return Err(TrainError::TooManyWords { allowed: WORDS_MAX });
    }
    Ok(())
}

fn count_pieces(pieces: &Mutex<Receiver<String>>, words: &PreTokenizer) -> Result<Table> {
    let mut table = Table::new();
    loop {
        let piece = pieces.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(piece) = piece else {
            return Ok(table);
        };
        let done = count_piece(&piece, words, &mut table);
        if done.is_err() {
            // Pieces go on being taken, so that who reads them does not wait for ever.
            while pieces
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv()
                .is_ok()
            {}
        }
        done?;
    }
}

fn count_piece(piece: &str, words: &PreTokenizer, table: &mut Table) -> Result<()> {
    for line in piece.split_inclusive('\n') {
        words.each(line, |word| match table.get_mut(word.as_bytes()) {
            Some(count) => *count += 1,
            None => drop(table.insert(word.as_bytes().into(), 1)),
        })?;
    }
    check_size(table)
}

/// Calls `on_piece` with the text of a file, in pieces of whole lines.
fn each_piece(path: &Path, mut on_piece: impl FnMut(String) -> Result<()>) -> Result<()> {
    let wrong = |source| TrainError::File {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(wrong)?;
    let mut held: Vec<u8> = Vec::with_capacity(2 * PIECE_BYTES);
    let mut at = 0;
    loop {
        let from = held.len();
        let taken = (&mut file)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut held)
            .map_err(wrong)?;
        let is_end = taken < PIECE_BYTES;
        let whole = if is_end {
            held.len()
        } else {
            let line = held[from..].iter().rposition(|&byte| byte == b'\n');
            line.map_or(0, |line| from + line + 1)
        };
        if whole == 0 && held.len() > LINE_BYTES_MAX {
            return Err(TrainError::LongLine {
                path: path.to_owned(),
                at,
                allowed: LINE_BYTES_MAX,
            });
        }
        if whole > 0 {
            let rest = held.split_off(whole);
            let piece = std::mem::replace(&mut held, rest);
            let piece = String::from_utf8(piece).map_err(|error| TrainError::NotText {
                path: path.to_owned(),
                at: at + error.utf8_error().valid_up_to() as u64,
            })?;
            at += whole as u64;
            on_piece(piece)?;
        }
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &[u8], threads: usize) -> Result<Counts> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, text).unwrap();
        let words = PreTokenizer::named("gpt-2").unwrap().unwrap();
        count(&[file], &words, threads, |_| true)
    }

    #[test]
    fn words_are_counted_alike_on_any_number_of_threads() {
        let text = "the cat sat\non the mat, the cat\n".repeat(90_000) + "end";
        let one = counted(text.as_bytes(), 1).unwrap();
        let find = |word: &str| {
            let found = one.iter().find(|(w, _)| w == word.as_bytes());
            found.map(|(_, count)| *count)
        };
        assert_eq!(find(" cat"), Some(180_000));
        assert_eq!(find("the"), Some(90_000));
        assert_eq!(find("\n"), Some(180_000));
        assert_eq!(find("end"), Some(1));
        for threads in [2, 5] {
            assert_eq!(counted(text.as_bytes(), threads).unwrap(), one);
        }
        assert_eq!(counted(b"", 2).unwrap(), []);
    }

    #[test]
    fn what_is_not_text_is_told_with_its_place() {
        let mut text = "line\n".repeat(300_000).into_bytes();
        text[1_400_000] = 0xff;
        let error = counted(&text, 2).unwrap_err();
        assert!(
            matches!(error, TrainError::NotText { at: 1_400_000, .. }),
            "{error}"
        );
        let words = PreTokenizer::named("gpt-2").unwrap().unwrap();
        let gone = count(&[Path::new("gone")], &words, 2, |_| true).unwrap_err();
        assert!(gone.to_string().starts_with("gone: "), "{gone}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, "word\n".repeat(1_000_000)).unwrap();
        let stopped = count(&[file], &words, 2, |_| false).unwrap_err();
        assert!(matches!(stopped, TrainError::Stopped));
    }
}
