//! Requests whose end two servers could see at different places are refused before they are parsed:
//! a length beside a coding, two lengths, a coding other than `chunked`, lines that end without a
//! carriage return. The parser below repairs some of these silently (RFC 9112, sections 2.2 and
//! 6.3, allows it), and a repaired request is what smuggling hides behind.
//!
//! Bytes pass through as they are. At the first offence a NUL takes the place of what follows, which
//! stands in no valid head, so that the parser answers 400 and closes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of a line this much is looked at: names, and values of lengths and codings, are shorter.
const LINE_BYTES: usize = 128;

/// A connection of which only unambiguous heads are read.
#[derive(Debug)]
pub(super) struct StrictHeads<S> {
    inner: S,
    scan: Scan,
}

impl<S> StrictHeads<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            scan: Scan::default(),
        }
    }
}

/// Where the bytes of a connection stand.
#[derive(Debug, Default)]
struct Scan {
    at: At,
    head: Head,
}

#[derive(Debug, Default)]
enum At {
    #[default]
    Head,
    /// So many bytes of a body are left.
    Body(u64),
    /// In a body in chunks: no request follows it, since the gate closes after each such.
    Last,
    /// After an offence.
    Refused,
}

/// What is known of a head so far.
#[derive(Debug, Default)]
struct Head {
    /// The beginning of the line at hand, without its end.
    line: Vec<u8>,
    line_len: usize,
    last: u8,
    in_fields: bool,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Fine,
    EndOfHead,
    Offence,
}

impl Scan {
    /// Goes on by `bytes`. Gives the place of an offence, if there is one.
    fn offence(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut index = 0;
        while index < bytes.len() {
            match &mut self.at {
                At::Head => {
                    match self.head.push(bytes[index]) {
                        Line::Fine => {}
                        Line::EndOfHead => {
                            self.at = self.head.body();
                            self.head = Head::default();
                        }
                        Line::Offence => {
                            self.at = At::Refused;
                            return Some(index);
                        }
                    }
                    index += 1;
                }
                At::Body(left) => {
                    let taken =
                        (bytes.len() - index).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    index += taken;
                    *left -= taken as u64;
                    if *left == 0 {
                        self.at = At::Head;
                    }
                }
                At::Last => return None,
                At::Refused => return Some(index),
            }
        }
        None
    }
}

impl Head {
    fn push(&mut self, byte: u8) -> Line {
        let last = std::mem::replace(&mut self.last, byte);
        if byte != b'\n' {
            // A carriage return ends a line or does not belong here.
            if last == b'\r' {
                return Line::Offence;
            }
            if byte != b'\r' {
                self.line_len += 1;
                if self.line.len() < LINE_BYTES {
                    self.line.push(byte);
                }
            }
            return Line::Fine;
        }
        if last != b'\r' {
            return Line::Offence;
        }
        let line = std::mem::take(&mut self.line);
        let whole = line.len() == std::mem::take(&mut self.line_len);
        match (self.in_fields, line.is_empty()) {
            // Empty lines may come before a request.
            (false, true) => Line::Fine,
            (false, false) => {
                self.in_fields = true;
                Line::Fine
            }
            (true, true) => Line::EndOfHead,
            (true, false) => self.field(&line, whole),
        }
    }

    fn field(&mut self, line: &[u8], whole: bool) -> Line {
        // A line without a colon, or with odd spaces, is for the parser to refuse.
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return Line::Fine;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let unambiguous = if name.eq_ignore_ascii_case(b"content-length") {
            let digits = whole && !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
            let first = self.length.is_none() && !self.chunked;
            self.length = length;
            digits && first && length.is_some()
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let first = self.length.is_none() && !self.chunked;
            self.chunked = true;
            whole && first && value.eq_ignore_ascii_case(b"chunked")
        } else {
            true
        };
        if unambiguous {
            Line::Fine
        } else {
            Line::Offence
        }
    }

    /// What follows a head.
    fn body(&self) -> At {
        match self.length {
            _ if self.chunked => At::Last,
            None | Some(0) => At::Head,
            Some(length) => At::Body(length),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        // After an offence the connection reads as if it had ended there.
        if buffer.remaining() == 0 || matches!(self.scan.at, At::Refused) {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if let Some(index) = self.scan.offence(&buffer.filled()[before..]) {
            buffer.set_filled(before + index);
            buffer.put_slice(b"\0");
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StrictHeads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The place of the offence when the bytes come in pieces of `piece`.
    fn offence(bytes: &[u8], piece: usize) -> Option<usize> {
        let mut scan = Scan::default();
        bytes.chunks(piece).enumerate().find_map(|(index, part)| {
            let found = scan.offence(part);
            found.map(|found| index * piece + found)
        })
    }

    #[test]
    fn what_has_one_meaning_passes() {
        for bytes in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "\r\nPOST / HTTP/1.1\r\ncontent-length:  3 \r\n\r\na\nbGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\nContent\n",
            "GET / HTTP/1.1\r\nX-Content-Length: 1\r\nX-Content-Length: 2\r\n\r\n",
        ] {
            for piece in [1, 2, 7, 1000] {
                assert_eq!(
                    offence(bytes.as_bytes(), piece),
                    None,
                    "{bytes:?} by {piece}"
                );
            }
        }
    }

    #[test]
    fn what_has_two_meanings_is_an_offence() {
        for head in [
            "GET / HTTP/1.1\n",
            "\n",
            "GET / HTTP/1.1\r\nHost: a\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nX: a\rb",
            "GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 3, 3\r\n",
            "GET / HTTP/1.1\r\nContent-Length: +3\r\n",
            "GET / HTTP/1.1\r\nContent-Length:\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: identity, chunked\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n",
        ] {
            for piece in [1, 2, 7, 1000] {
                let found = offence(format!("{head}\r\n\r\n").as_bytes(), piece);
                assert_eq!(found, Some(head.len() - 1), "{head:?} by {piece}");
            }
        }
        let long = format!(
            "GET / HTTP/1.1\r\nContent-Length: {}1\r\n\r\n",
            "0".repeat(200)
        );
        assert!(offence(long.as_bytes(), 50).is_some());
    }

    proptest! {
        /// How the network cuts the bytes makes no difference.
        #[test]
        fn pieces_do_not_matter(
            parts in prop::collection::vec(prop_oneof![
                Just("\r\n"), Just("\n"), Just("GET / HTTP/1.1\r\n"), Just("Content-Length: 4\r\n"),
                Just("Transfer-Encoding: chunked\r\n"), Just("Host: a\r\n"), Just("abcd"), Just("\r"),
            ], 0..12),
            piece in 1_usize..9,
        ) {
            let bytes = parts.concat();
            prop_assert_eq!(offence(bytes.as_bytes(), piece), offence(bytes.as_bytes(), 1 << 20));
        }
    }
}
