//! Arrays of JSON objects, an element at a time: an archive of a network's posts, or a data set in one array,
//! is longer than what may be held.

use super::{Item, LINE_MAX, Reading, Shape, Sink, damaged};
use crate::Result;
use std::io::BufRead;

/// Where the reading of a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the array.
    Before,
    /// In the array, between elements.
    Between,
    /// In an element, so many brackets deep.
    Element { depth: u32 },
    /// Behind the array.
    Behind,
}

/// Gives the elements of the first array, or of that behind the name `key`. A file without one that begins with
/// an object is one element.
pub(super) fn elements(
    reading: &Reading<'_>,
    reader: &mut dyn BufRead,
    key: Option<&str>,
    shape: Shape,
    sink: Sink<'_>,
) -> Result<()> {
    let mut scan = Scan::new(key, shape);
    loop {
        let chunk = reader.fill_buf().map_err(|error| reading.wrong(&error))?;
        if chunk.is_empty() {
            break;
        }
        for &byte in chunk {
            if let Some(element) = scan.byte(byte) {
                sink(element)?;
            }
        }
        let n = chunk.len();
        reader.consume(n);
    }
    match scan.place {
        Place::Behind => Ok(()),
        // One object, or one after the other.
        Place::Between if scan.is_bare => Ok(()),
        Place::Before => Err(damaged(&reading.name, "no JSON array of records in it")),
        _ => Err(damaged(
            &reading.name,
            "it ends in the middle of its JSON array",
        )),
    }
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "each says one thing about where in the file the scan is"
)]
struct Scan {
    shape: Shape,
    place: Place,
    in_string: bool,
    is_escaped: bool,
    /// The name behind which the array is, in quotes, and how much of it was just seen.
    key: Option<(Vec<u8>, usize)>,
    element: Vec<u8>,
    is_too_long: bool,
    /// There is no array: objects stand by themselves.
    is_bare: bool,
    is_script: bool,
}

impl Scan {
    fn new(key: Option<&str>, shape: Shape) -> Self {
        Self {
            shape,
            place: Place::Before,
            in_string: false,
            is_escaped: false,
            key: key.map(|key| (format!("\"{key}\"").into_bytes(), 0)),
            element: Vec::new(),
            is_too_long: false,
            is_bare: false,
            is_script: false,
        }
    }

    /// Takes a byte; where it ends an element, gives it.
    fn byte(&mut self, byte: u8) -> Option<Item> {
        match self.place {
            Place::Before => {
                self.begin(byte);
                None
            }
            Place::Behind => None,
            Place::Between => {
                match byte {
                    b']' if !self.is_bare => self.place = Place::Behind,
                    b',' | b' ' | b'\n' | b'\r' | b'\t' => {}
                    byte => {
                        self.place = Place::Element { depth: 0 };
                        return self.inside(byte, 0);
                    }
                }
                None
            }
            Place::Element { depth } => self.inside(byte, depth),
        }
    }

    /// Looks for the array.
    fn begin(&mut self, byte: u8) {
        if let Some((key, seen)) = &mut self.key {
            if *seen < key.len() {
                *seen = if byte == key[*seen] {
                    *seen + 1
                } else {
                    usize::from(byte == key[0])
                };
                return;
            }
        } else if byte == b'{' && !self.is_script {
            self.is_bare = true;
            self.place = Place::Element { depth: 0 };
            self.inside(byte, 0);
            return;
        }
        match byte {
            b'[' => self.place = Place::Between,
            // An archive of X assigns its array to a variable.
            byte if byte.is_ascii_alphabetic() => self.is_script = true,
            _ => {}
        }
    }

    fn inside(&mut self, byte: u8, depth: u32) -> Option<Item> {
        let mut depth = depth;
        let mut is_end = false;
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    is_end = depth == 0;
                }
                // The array ends behind an element that is no object.
                b']' => {
                    self.place = Place::Behind;
                    return Some(self.take());
                }
                b',' if depth == 0 => {
                    self.place = Place::Between;
                    return Some(self.take());
                }
                _ => {}
            }
        }
        if self.element.len() < LINE_MAX {
            self.element.push(byte);
        } else {
            self.is_too_long = true;
        }
        if is_end {
            self.place = Place::Between;
            return Some(self.take());
        }
        self.place = Place::Element { depth };
        None
    }

    fn take(&mut self) -> Item {
        let element = std::mem::take(&mut self.element);
        if std::mem::take(&mut self.is_too_long) {
            Item::Lost("record_too_long")
        } else {
            Item::Json(self.shape, element)
        }
    }
}
