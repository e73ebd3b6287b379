//! From a file to one JSON value a chat, and one a file that belongs to chats. Limits hold for what comes out of an archive, not for what
//! its header promises, and for each chat by itself.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use zip::ZipArchive;

use crate::error::{ApiError, ApiResult};

/// Bytes of JSON in all, and of one chat.
const BYTES_MAX: usize = 2 << 30;
const CHAT_BYTES_MAX: usize = 32 << 20;
/// What is packed this many times smaller than it is was packed to be so.
const RATIO_MAX: u64 = 200;
const ARCHIVE_FILES_MAX: usize = 100_000;
/// ChatGPT's name of the file.
const NAME: &str = "conversations.json";

/// What stands in an export.
pub(super) enum Item {
    /// A chat.
    Chat(Value),
    /// A file that belongs to messages of chats, of our own export alone; it stands before them.
    File(Value),
}

/// Gives each chat and each file of the export to `take`.
pub(super) fn items(file: &File, take: impl FnMut(Item) -> ApiResult<()>) -> ApiResult<()> {
    let mut file = file;
    let broken = |_: std::io::Error| ApiError::internal("the upload cannot be read again");
    let mut magic = [0; 4];
    file.seek(SeekFrom::Start(0)).map_err(broken)?;
    let got = file.read(&mut magic).map_err(broken)?;
    file.seek(SeekFrom::Start(0)).map_err(broken)?;
    if got == 4 && magic == *b"PK\x03\x04" {
        return archive(file, take);
    }
    json(BufReader::new(file), BYTES_MAX, take)
}

fn archive(file: &File, take: impl FnMut(Item) -> ApiResult<()>) -> ApiResult<()> {
    let wrong = |_| ApiError::bad("body: the archive is damaged");
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
    if archive.len() > ARCHIVE_FILES_MAX {
        return Err(ApiError::bad(format!(
            "body: allowed are {ARCHIVE_FILES_MAX} files in an archive"
        )));
    }
    // Only the name is looked at, and nothing is written anywhere.
    let index = (0..archive.len()).find(|&index| {
        let name = archive.name_for_index(index).and_then(Result::ok);
        name.is_some_and(|name| name.rsplit('/').next() == Some(NAME))
    });
    let Some(index) = index else {
        return Err(ApiError::bad(format!(
            "body: there is no {NAME} in the archive"
        )));
    };
    let entry = archive.by_index(index).map_err(wrong)?;
    let allowed = entry
        .compressed_size()
        .saturating_mul(RATIO_MAX)
        .max(1 << 20);
    let allowed = usize::try_from(allowed).unwrap_or(BYTES_MAX).min(BYTES_MAX);
    if entry.size() > allowed as u64 {
        return Err(ApiError::too_large(allowed));
    }
    json(BufReader::new(entry), allowed, take)
}

/// Counts what passes; beyond a limit nothing does.
struct Limited<'a, R> {
    inner: R,
    left: usize,
    chat_left: &'a Cell<usize>,
    exceeded: &'a Cell<bool>,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = self.left.min(self.chat_left.get());
        if most == 0 {
            // Nothing more may come; if nothing would, that is the end.
            let more = self.inner.read(&mut [0])?;
            if more > 0 {
                self.exceeded.set(true);
                return Err(std::io::Error::other("too long"));
            }
            return Ok(0);
        }
        let most = most.min(buffer.len());
        let got = self.inner.read(&mut buffer[..most])?;
        self.left -= got;
        self.chat_left.set(self.chat_left.get() - got);
        Ok(got)
    }
}

fn json(
    reader: impl Read,
    bytes_max: usize,
    mut take: impl FnMut(Item) -> ApiResult<()>,
) -> ApiResult<()> {
    let (chat_left, exceeded) = (Cell::new(CHAT_BYTES_MAX), Cell::new(false));
    let reader = BufReader::new(Limited {
        inner: reader,
        left: bytes_max,
        chat_left: &chat_left,
        exceeded: &exceeded,
    });
    let mut refused = None;
    let mut json = serde_json::Deserializer::from_reader(reader);
    let file = Items {
        of: Item::Chat,
        take: &mut |item| {
            chat_left.set(CHAT_BYTES_MAX);
            take(item).map_err(|error| refused = Some(error))
        },
    };
    let read = file.deserialize(&mut json).and_then(|()| json.end());
    match (read, refused) {
        (_, Some(error)) => Err(error),
        (Ok(()), None) => Ok(()),
        (Err(_), None) if exceeded.get() => Err(ApiError::too_large(CHAT_BYTES_MAX)),
        // The place alone: the text is somebody's own.
        (Err(error), None) => Err(ApiError::bad(format!(
            "body: not the JSON of an export (line {}, column {})",
            error.line(),
            error.column()
        ))),
    }
}

/// A list of chats or of files, or an object with them.
struct Items<'a> {
    of: fn(Value) -> Item,
    take: &'a mut dyn FnMut(Item) -> Result<(), ()>,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a list of chats")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<Value>()? {
            if (self.take)((self.of)(value)).is_err() {
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let of = match name.as_str() {
                "chats" => Item::Chat,
                "attachments" => Item::File,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            map.next_value_seed(Items {
                of,
                take: &mut *self.take,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn count(bytes: &[u8]) -> ApiResult<usize> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut count = 0;
        items(&file, |item| {
            count += usize::from(matches!(item, Item::Chat(_)));
            Ok(())
        })?;
        Ok(count)
    }

    fn zipped(name: &str, content: &[u8]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        writer.start_file("chat.html", options).unwrap();
        writer.start_file(name, options).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn lists_objects_and_archives_are_read() {
        assert_eq!(count(b"[{}, {}]").unwrap(), 2);
        assert_eq!(
            count(b"{\"terang_export\": 1, \"x\": [[1]], \"attachments\": [{}], \"chats\": [{}, {}, {}]}")
                .unwrap(),
            3
        );
        assert_eq!(
            count(&zipped("export/conversations.json", b"[{}]")).unwrap(),
            1
        );
        assert!(count(&zipped("../../etc/passwd", b"[{}]")).is_err());
        for wrong in [&b""[..], b"[{}", b"[{}] x", b"7", b"PK\x03\x04nonsense"] {
            assert_eq!(count(wrong).unwrap_err().status, 400, "{wrong:?}");
        }
        let deep = vec![b'['; 1 << 20];
        assert_eq!(count(&deep).unwrap_err().status, 400);
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let bomb = [b"[\"".to_vec(), vec![b'a'; 200 << 20], b"\"]".to_vec()].concat();
        let packed = zipped(NAME, &bomb);
        assert!(packed.len() < 1 << 20, "{}", packed.len());
        assert_eq!(count(&packed).unwrap_err().status, 413);
        // One chat that is too long in a file that is not.
        let long = [
            b"[\"".to_vec(),
            vec![b'a'; CHAT_BYTES_MAX + 1],
            b"\"]".to_vec(),
        ]
        .concat();
        assert_eq!(count(&long).unwrap_err().status, 413);
    }
}
