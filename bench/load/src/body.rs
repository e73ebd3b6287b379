//! The parts of HTTP/1.1 and of server-sent events that an answer needs, fed piece by piece: a piece
//! may end anywhere.

use crate::exchange::Failure;

/// A head, a chunk's size and an event's line are shorter; what is longer is no answer of ours.
const LINE_BYTES_MAX: usize = 1 << 20;

/// How the end of a body is told.
#[derive(Debug)]
pub(crate) enum Framing {
    /// By its length, of which so many bytes are left.
    Length(u64),
    /// By an empty chunk.
    Chunked(Chunked),
    /// By the end of the connection.
    Close,
}

/// Where in a chunked body the reader stands.
#[derive(Debug)]
pub(crate) enum Chunked {
    /// In the line that holds a chunk's size.
    Size(Vec<u8>),
    /// In a chunk, of which so many bytes are left, its line's end among them.
    Data(u64),
    /// After the last chunk.
    Done,
}

impl Framing {
    /// What the headers say.
    pub(crate) fn of(head: &str) -> Self {
        let header = |wanted: &str| {
            head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Self::Chunked(Chunked::Size(Vec::new()));
        }
        let length = header("content-length").and_then(|value| value.parse().ok());
        length.map_or(Self::Close, Self::Length)
    }

    /// Whether the body is complete.
    pub(crate) fn ended(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }

    /// Whether the connection's end is the body's.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::Close)
    }

    /// Takes what came; the body's part of it is added to `out`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        match self {
            Self::Close => out.extend_from_slice(bytes),
            Self::Length(left) => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                out.extend_from_slice(&bytes[..taken]);
                *left -= taken as u64;
            }
            Self::Chunked(place) => {
                while !bytes.is_empty() && !matches!(place, Chunked::Done) {
                    bytes = place.feed(bytes, out)?;
                }
            }
        }
        Ok(())
    }
}

impl Chunked {
    /// Takes some of what came; gives the rest.
    fn feed<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Failure> {
        match self {
            Self::Size(line) => {
                let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
                    line.extend_from_slice(bytes);
                    if line.len() > LINE_BYTES_MAX {
                        return Err(Failure::Malformed);
                    }
                    return Ok(&[]);
                };
                line.extend_from_slice(&bytes[..end]);
                let size = std::str::from_utf8(line).map_err(|_| Failure::Malformed)?;
                let size = size.split(';').next().unwrap_or_default().trim();
                *self = match u64::from_str_radix(size, 16).map_err(|_| Failure::Malformed)? {
                    0 => Self::Done,
                    size => Self::Data(size.checked_add(2).ok_or(Failure::Malformed)?),
                };
                Ok(&bytes[end + 1..])
            }
            Self::Data(left) => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                let content = usize::try_from(left.saturating_sub(2)).unwrap_or(usize::MAX);
                out.extend_from_slice(&bytes[..taken.min(content)]);
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Size(Vec::new());
                }
                Ok(&bytes[taken..])
            }
            Self::Done => Ok(&[]),
        }
    }
}

/// The data of the events that are complete, taken out of `bytes`. A comment gives nothing.
pub(crate) fn events(bytes: &mut Vec<u8>) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut taken = 0;
    while let Some(length) = bytes[taken..].windows(2).position(|pair| pair == b"\n\n") {
        let event =
            std::str::from_utf8(&bytes[taken..taken + length]).map_err(|_| Failure::Malformed)?;
        let data: Vec<&str> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data:").map(str::trim_start))
            .collect();
        if !data.is_empty() {
            found.push(data.join("\n"));
        }
        taken += length + 2;
    }
    bytes.drain(..taken);
    if bytes.len() > LINE_BYTES_MAX {
        return Err(Failure::Malformed);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let wire = b"7\r\ndata: a\r\n12;x=y\r\n\n\n: alive\n\ndata: b\r\n2\r\n\n\n\r\n0\r\n\r\n";
        for cut in 1..=wire.len() {
            let mut framing = Framing::of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked");
            let (mut body, mut found) = (Vec::new(), Vec::new());
            for piece in wire.chunks(cut) {
                assert!(!framing.ended() || piece.iter().all(u8::is_ascii_whitespace));
                framing.feed(piece, &mut body).unwrap();
                found.extend(events(&mut body).unwrap());
            }
            assert!(framing.ended());
            assert_eq!(found, ["a", "b"], "cut {cut}");
        }
    }

    #[test]
    fn a_length_ends_a_body() {
        let mut framing = Framing::of("HTTP/1.1 200 OK\r\ncontent-length: 3");
        let mut body = Vec::new();
        framing.feed(b"ab", &mut body).unwrap();
        assert!(!framing.ended());
        framing.feed(b"cd", &mut body).unwrap();
        assert!(framing.ended());
        assert_eq!(body, b"abc");
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for wire in ["x\r\n", "-1\r\n", "ffffffffffffffff\r\n", "\r\n"] {
            let mut framing = Framing::Chunked(Chunked::Size(Vec::new()));
            assert!(
                framing.feed(wire.as_bytes(), &mut Vec::new()).is_err(),
                "{wire:?}"
            );
        }
    }
}
