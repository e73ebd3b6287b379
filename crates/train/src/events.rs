//! Event files of `TensorBoard`: records with checksums (`TFRecord`), each an `Event` message of `event.proto`, of
//! which a version and scalars are all that is written here.

use crc::{CRC_32_ISCSI, Crc};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// Added to a rotated checksum, so that a record that holds records is not told apart by chance.
const MASK: u32 = 0xa282_ead8;

/// Writes an event file.
#[derive(Debug)]
pub struct Events<W> {
    out: W,
}

/// The name of a file that begins now; `TensorBoard` reads all of a folder as one run.
pub fn file_name() -> String {
    format!("events.out.tfevents.{:010}.terang", now() as u64)
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

impl<W: Write> Events<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(out: W) -> io::Result<Self> {
        let mut events = Self { out };
        // Field 3, `file_version`.
        let mut event = event();
        bytes(&mut event, 0x1a, b"brain.Event:2");
        events.record(&event)?;
        Ok(events)
    }

    /// Writes numbers of a step by their tags.
    ///
    /// # Errors
    /// Those of writing.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> io::Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            // `Summary.Value`: field 1 `tag`, field 2 `simple_value`.
            let mut entry = Vec::new();
            bytes(&mut entry, 0x0a, tag.as_bytes());
            entry.push(0x15);
            entry.extend((*value as f32).to_le_bytes());
            bytes(&mut summary, 0x0a, &entry);
        }
        let mut event = event();
        // Field 2 `step`, field 5 `summary`.
        event.push(0x10);
        varint(&mut event, step);
        bytes(&mut event, 0x2a, &summary);
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked(&length));
        record.extend(data);
        record.extend(masked(data));
        self.out.write_all(&record)?;
        self.out.flush()
    }
}

/// An event of now: field 1, `wall_time`.
fn event() -> Vec<u8> {
    let mut event = vec![0x09];
    event.extend(now().to_le_bytes());
    event
}

fn masked(data: &[u8]) -> [u8; 4] {
    let crc = CRC32C.checksum(data);
    crc.rotate_right(15).wrapping_add(MASK).to_le_bytes()
}

fn bytes(out: &mut Vec<u8>, tag: u8, data: &[u8]) {
    out.push(tag);
    varint(out, data.len() as u64);
    out.extend(data);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_others_read_them() {
        // The check value of CRC-32C.
        assert_eq!(CRC32C.checksum(b"123456789"), 0xe306_9283);
        let mut file = Vec::new();
        let mut events = Events::new(&mut file).unwrap();
        events
            .scalars(300, &[("loss", 2.5), ("rate", 1e-3)])
            .unwrap();
        let mut found = Vec::new();
        let mut rest = &file[..];
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let n = u64::from_le_bytes(*length) as usize;
            assert_eq!(after[..4], masked(length));
            assert_eq!(after[4 + n..8 + n], masked(&after[4..4 + n]));
            found.push(&after[4..4 + n]);
            rest = &after[8 + n..];
        }
        assert_eq!(found.len(), 2);
        assert_eq!(found[0][9..], *b"\x1a\x0dbrain.Event:2");
        let mut expected = b"\x10\xac\x02\x2a\x18\x0a\x0b\x0a\x04loss\x15".to_vec();
        expected.extend(2.5f32.to_le_bytes());
        expected.extend(b"\x0a\x0b\x0a\x04rate\x15");
        expected.extend(1e-3f32.to_le_bytes());
        // Two values of 13 bytes each.
        expected[4] = 26;
        assert_eq!(found[1][9..], expected);
    }
}
