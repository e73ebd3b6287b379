//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

/// More clients would measure this program.
const CLIENTS_MAX: usize = 1024;

/// What to do.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// The server, on loopback.
    pub(crate) address: SocketAddr,
    /// A file of requests.
    pub(crate) requests: PathBuf,
    /// Clients at once.
    pub(crate) clients: usize,
    /// Go on for so long, with each request as often as there is time for.
    pub(crate) seconds: Option<u64>,
    /// A request that takes longer has failed.
    pub(crate) timeout_s: u64,
    /// Give the texts of the answers too.
    pub(crate) answers: bool,
    /// Say `started` on standard error when as many streams as there are clients have begun.
    pub(crate) tell_started: bool,
}

/// A command line that says nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}\nusage: terang-load ADDRESS:PORT REQUESTS.jsonl [--clients N] [--seconds N] \
     [--timeout-s N] [--answers] [--tell-started]"
)]
pub(crate) struct Misuse(String);

impl Arguments {
    /// Reads the words after the program's name.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Misuse> {
        let (mut places, mut clients, mut seconds) = (Vec::new(), 1, None);
        let (mut timeout_s, mut answers, mut tell_started) = (600, false, false);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--clients" => clients = number(&word, words.next())?,
                "--seconds" => seconds = Some(number(&word, words.next())?),
                "--timeout-s" => timeout_s = number(&word, words.next())?,
                "--answers" => answers = true,
                "--tell-started" => tell_started = true,
                option if option.starts_with("--") => {
                    return Err(Misuse(format!("{option}: no such option")));
                }
                _ => places.push(word),
            }
        }
        let [address, requests] = <[String; 2]>::try_from(places)
            .map_err(|found| Misuse(format!("found {} places, allowed two", found.len())))?;
        let clients = usize::try_from(clients).unwrap_or(usize::MAX);
        if !(1..=CLIENTS_MAX).contains(&clients) {
            return Err(Misuse(format!(
                "--clients: found {clients}, allowed 1 to {CLIENTS_MAX}"
            )));
        }
        Ok(Self {
            address: loopback(&address)?,
            requests: requests.into(),
            clients,
            seconds,
            timeout_s,
            answers,
            tell_started,
        })
    }
}

fn number(option: &str, word: Option<String>) -> Result<u64, Misuse> {
    word.and_then(|word| word.parse().ok())
        .ok_or_else(|| Misuse(format!("{option}: allowed is a whole number")))
}

/// Somebody else's server is not to be loaded.
fn loopback(text: &str) -> Result<SocketAddr, Misuse> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback())
        .ok_or_else(|| Misuse(format!("{text}: allowed is a loopback ADDRESS:PORT")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, Misuse> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_loopback_and_a_bounded_number_of_clients() {
        let good = parse("127.0.0.1:80 a.jsonl --clients 8 --answers").unwrap();
        assert_eq!((good.clients, good.answers, good.seconds), (8, true, None));
        for bad in [
            "192.0.2.1:80 a.jsonl",
            "0.0.0.0:80 a.jsonl",
            "localhost:80 a.jsonl",
            "127.0.0.1:80",
            "127.0.0.1:80 a.jsonl --clients 0",
            "127.0.0.1:80 a.jsonl --clients 1025",
            "127.0.0.1:80 a.jsonl --clients",
            "127.0.0.1:80 a.jsonl --loud",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
