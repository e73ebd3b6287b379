//! Rules that a text is held to, each with a name under which it is counted: Gopher's of quality and of
//! repetition (arXiv:2112.11446, tables A1 and A2), those that `FineWeb` added (arXiv:2406.17557) and those of C4
//! (arXiv:1910.10683).

mod repetition;

use crate::words::{Word, hash_of};
use memchr::{memchr_iter, memmem};
pub(crate) use repetition::Runs;
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::LazyLock;

/// A text with all that rules look at.
pub(crate) struct Look<'a> {
    text: &'a str,
    words: &'a [Word],
    runs: RefCell<&'a mut Runs>,
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// What it is counted as.
    pub name: &'static str,
    /// The set that it belongs to.
    pub set: &'static str,
    /// What it asks for, in words.
    pub asks: &'static str,
    breaks: fn(&Look<'_>) -> bool,
}

macro_rules! rules {
    ($($name:ident $set:literal $asks:literal = $breaks:expr;)*) => {
        /// All rules, in the order in which a text is held to them.
        pub const RULES: &[Rule] = &[$(Rule {
            name: stringify!($name), set: $set, asks: $asks, breaks: $breaks,
        }),*];
    };
}

rules! {
    gopher_word_count "gopher" "50 to 100,000 words" =
        |look| !(50..=100_000).contains(&look.words.len());
    gopher_word_length "gopher" "words of 3 to 10 characters on average" = |look| {
        let chars: u64 = look.words.iter().map(|word| u64::from(word.chars)).sum();
        !(3.0..=10.0).contains(&part(chars as usize, look.words.len()))
    };
    gopher_symbols "gopher" "at most one hash or ellipsis for ten words" = |look| {
        let text = look.text.as_bytes();
        let hashes = memchr_iter(b'#', text).count();
        let ellipses = memmem::find_iter(text, "…").count() + memmem::find_iter(text, "...").count();
        part(hashes.max(ellipses), look.words.len()) > 0.1
    };
    gopher_bullets "gopher" "at most 90 % of the lines in lists" = |look| {
        let is_item = |line: &&str| line.trim_start().starts_with(['-', '*', '•', '‣', '●']);
        part(lines(look.text).filter(is_item).count(), lines(look.text).count()) > 0.9
    };
    gopher_ellipses "gopher" "at most 30 % of the lines left open" = |look| {
        let is_open = |line: &&str| line.ends_with('…') || line.ends_with("...");
        part(lines(look.text).filter(is_open).count(), lines(look.text).count()) > 0.3
    };
    gopher_letters "gopher" "80 % of the words with a letter" = |look| {
        let with = look.words.iter().filter(|word| word.has_letter).count();
        part(with, look.words.len()) < 0.8
    };
    gopher_stop_words "gopher" "two of the smallest words of English or Indonesian" = |look| {
        let mut stop_words = look.words.iter().filter(|word| STOP_WORDS.contains(&word.hash));
        let first = stop_words.next();
        first.is_none_or(|first| stop_words.all(|word| word.hash == first.hash))
    };
    repetition_lines "repetition" "at most 30 % of the lines, 20 % of the text in lines, said before" =
        |look| repetition::pieces(look.text, "\n", 0.3, 0.2);
    repetition_paragraphs "repetition" "at most 30 % of the paragraphs, 20 % of the text in them, said before" =
        |look| repetition::pieces(look.text, "\n\n", 0.3, 0.2);
    repetition_top_gram "repetition" "no 2, 3 or 4 words that are 20, 18 or 16 % of the text" =
        |look| look.runs.borrow_mut().top_gram(look.words);
    repetition_grams "repetition" "at most 15 to 10 % of the text in 5 to 10 words said before" =
        |look| look.runs.borrow_mut().grams(look.words);
    fineweb_line_ends "fineweb" "12 % of the lines end like a sentence" = |look| {
        let is_whole = |line: &&str| line.ends_with(['.', '!', '?', '"', '”', '。', '！', '？']);
        part(lines(look.text).filter(is_whole).count(), lines(look.text).count()) < 0.12
    };
    fineweb_short_lines "fineweb" "at most 67 % of the lines shorter than 30 characters" = |look| {
        let is_short = |line: &&str| line.chars().take(30).count() < 30;
        part(lines(look.text).filter(is_short).count(), lines(look.text).count()) > 0.67
    };
    fineweb_line_count "fineweb" "at most three lines for ten words" =
        |look| part(lines(look.text).count(), look.words.len()) > 0.3;
    fineweb_repeated_lines "fineweb" "at most 10 % of the text in lines said before" =
        |look| repetition::pieces(look.text, "\n", 1.0, 0.1);
    c4_placeholder "c4" "no lorem ipsum" = |look| holds(look.text, "lorem ipsum");
    c4_code "c4" "no curly bracket" = |look| look.text.contains('{');
    c4_script "c4" "no word javascript" = |look| holds(look.text, "javascript");
    c4_policy "c4" "no terms of use, cookie or privacy policy" = |look| {
        ["terms of use", "privacy policy", "cookie policy", "use of cookies", "use cookies"]
            .iter()
            .any(|phrase| holds(look.text, phrase))
    };
    c4_sentences "c4" "three sentences" = |look| {
        let ends = look.text.matches(['.', '!', '?']).count();
        ends < 3
    };
}

/// The smallest words: Gopher's eight, and those that stand in the same places in Indonesian.
static STOP_WORDS: LazyLock<HashSet<u64>> = LazyLock::new(|| {
    [
        "the", "be", "to", "of", "and", "that", "have", "with", "yang", "dan", "di", "ke", "dari",
        "untuk", "dengan", "adalah", "ini", "itu",
    ]
    .iter()
    .map(|word| hash_of(word))
    .collect()
});

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
}

fn part(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

/// Whether `text` has `phrase` (of ASCII letters, lower case) in any case.
fn holds(text: &str, phrase: &str) -> bool {
    let (text, phrase) = (text.as_bytes(), phrase.as_bytes());
    let first = [phrase[0], phrase[0].to_ascii_uppercase()];
    text.windows(phrase.len())
        .any(|window| first.contains(&window[0]) && window.eq_ignore_ascii_case(phrase))
}

/// Rules that a source's texts are held to, as a set of places in [`RULES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(u32);

impl Rules {
    pub(crate) fn none() -> Self {
        Self(0)
    }

    /// Those of these names or sets; otherwise the first that is unknown.
    pub(crate) fn named(names: &[impl AsRef<str>]) -> std::result::Result<Self, String> {
        let mut all = 0;
        for name in names {
            let name = name.as_ref();
            let fits = |rule: &Rule| rule.name == name || rule.set == name;
            let these = (0..RULES.len()).filter(|i| fits(&RULES[*i]));
            let these: u32 = these.fold(0, |all, i| all | 1 << i);
            if these == 0 {
                return Err(name.to_owned());
            }
            all |= these;
        }
        Ok(Self(all))
    }

    /// The first rule that a text breaks. `runs` is room that is used for each.
    pub(crate) fn broken(
        self,
        text: &str,
        words: &[Word],
        runs: &mut Runs,
    ) -> Option<&'static str> {
        runs.begin();
        let runs = RefCell::new(runs);
        let look = Look { text, words, runs };
        let mut asked = RULES
            .iter()
            .enumerate()
            .filter(|(i, _)| self.0 & (1 << i) != 0);
        asked
            .find(|(_, rule)| (rule.breaks)(&look))
            .map(|(_, rule)| rule.name)
    }
}

#[cfg(test)]
mod tests;
