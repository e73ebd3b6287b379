//! What `whatlang` says of a text in Latin letters, which nearly all are, in a tenth of its time: it looks up the 300
//! trigrams of each of 37 languages in a table of the text's, here the text's are looked up once in a table of all.
//!
//! Invariant: the answer is `whatlang`'s. Numbers are made of the same parts in the same order, and what is out of
//! the ordinary is left to it.

use std::collections::HashMap;
use std::sync::LazyLock;
use whatlang::Lang;

/// Trigrams of a profile, and what one that is not in a text adds to the distance.
const PROFILE: u32 = 300;
/// How many of a text's are ranked.
const RANKED: usize = 600;
/// Letters that have a class of their own: blank and a to z.
const LETTERS: usize = 27;
/// So many others of a text may have one, in the order of their codes.
const OTHERS_MAX: usize = 37;
/// What a language must be surer than to be told (`Info::is_reliable`).
const RELIABLE: f64 = 0.9;

/// A trigram's place in the profile of a language.
#[derive(Clone, Copy)]
struct Place {
    lang: u8,
    rank: u16,
}

/// All profiles, by trigram.
struct Profiles {
    langs: Vec<Lang>,
    /// For trigrams of a to z and blanks where their places begin, and a last end.
    begins: Vec<u16>,
    places: Vec<Place>,
    /// Those with other letters.
    others: HashMap<[char; 3], Vec<Place>>,
    /// Languages whose alphabets lack a letter, and have one beyond a to z.
    lacking: [Vec<u8>; LETTERS],
    having: HashMap<char, Vec<u8>>,
}

static PROFILES: LazyLock<Profiles> = LazyLock::new(Profiles::read);

impl Profiles {
    fn read() -> Self {
        let mut all: HashMap<[char; 3], Vec<Place>> = HashMap::new();
        let (mut langs, mut having) = (Vec::new(), HashMap::<char, Vec<u8>>::new());
        let mut lacking = [const { Vec::new() }; LETTERS];
        let lines = include_str!("profiles.txt").lines();
        for line in lines.filter(|line| !line.starts_with('#')) {
            let mut fields = line.split(' ');
            let mut field = || fields.next().unwrap_or_default();
            let (code, alphabet, trigrams) = (field(), field(), field());
            let lang = langs.len() as u8;
            langs.extend(Lang::from_code(code));
            for c in ('a'..='z').filter(|c| !alphabet.contains(*c)) {
                lacking[usize::from(class(c as u8))].push(lang);
            }
            for c in alphabet.chars().filter(|c| !c.is_ascii_lowercase()) {
                having.entry(c).or_default().push(lang);
            }
            let letters: Vec<char> = trigrams
                .chars()
                .map(|c| if c == '_' { ' ' } else { c })
                .collect();
            for (rank, trigram) in letters.chunks_exact(3).enumerate() {
                let place = Place {
                    lang,
                    rank: rank as u16,
                };
                all.entry([trigram[0], trigram[1], trigram[2]])
                    .or_default()
                    .push(place);
            }
        }
        let (mut begins, mut places) = (vec![0; LETTERS.pow(3) + 1], Vec::new());
        for index in 0..LETTERS.pow(3) {
            let letter = |class: usize| {
                if class == 0 {
                    ' '
                } else {
                    char::from(b'`' + class as u8)
                }
            };
            let trigram = [
                index / LETTERS / LETTERS,
                index / LETTERS % LETTERS,
                index % LETTERS,
            ];
            places.extend(all.remove(&trigram.map(letter)).unwrap_or_default());
            begins[index + 1] = places.len() as u16;
        }
        Self {
            langs,
            begins,
            places,
            others: all,
            lacking,
            having,
        }
    }
}

/// The class of a letter of ASCII: 1 to 26, 0 for what stands between words.
fn class(byte: u8) -> u8 {
    let lower = byte.to_ascii_lowercase();
    if lower.is_ascii_lowercase() {
        lower - b'`'
    } else {
        0
    }
}

/// Room to count in, kept from text to text.
#[derive(Default)]
pub(super) struct Counter {
    classes: Vec<u8>,
    counts: Vec<u16>,
    ranked: Vec<u32>,
}

/// A language, or none that is certain; `Err` where `whatlang` has to be asked.
pub(super) fn detect(text: &str, counter: &mut Counter) -> Result<Option<Lang>, ()> {
    let profiles = &*PROFILES;
    let others = counter.read(text)?;
    let bits = if others.len() + LETTERS <= 32 { 5 } else { 6 };
    let mut letters = [0u32; LETTERS + OTHERS_MAX];
    for class in &counter.classes {
        letters[usize::from(*class)] += 1;
    }
    let signs: u32 = letters[1..].iter().sum();
    let mut in_alphabet = [0u32; 64];
    counter.count(bits);
    let langs = profiles.langs.len();
    // A letter counts for a language that has it, and against one that has not.
    let basic: u32 = letters[1..LETTERS].iter().sum();
    in_alphabet[..langs].fill(basic);
    for (lacking, count) in profiles.lacking.iter().zip(letters) {
        for lang in lacking {
            in_alphabet[usize::from(*lang)] -= count;
        }
    }
    for (c, count) in others.iter().zip(&letters[LETTERS..]) {
        let having = profiles.having.get(c).map_or(&[][..], Vec::as_slice);
        for lang in having {
            in_alphabet[usize::from(*lang)] += count;
        }
    }
    let (distances, ranked) = counter.distances(profiles, &others, bits);
    let weight = (-(f64::from(signs) / 300.0) + 2.0 / 3.0).clamp(1.0 / 3.0, 2.0 / 3.0);
    let farthest = ranked * PROFILE;
    let score = |lang: usize| {
        let alphabet = f64::from((2 * in_alphabet[lang]).saturating_sub(signs)) / f64::from(signs);
        let distance = distances[lang].wrapping_sub(PROFILE.saturating_sub(ranked) * PROFILE);
        let distance = distance.min(PROFILE * PROFILE);
        let trigrams = f64::from(farthest.wrapping_sub(distance)) / f64::from(farthest);
        alphabet * weight + trigrams * (1.0 - weight)
    };
    let (mut best, mut second) = ((0, -1.0), -1.0);
    for (lang, score) in (0..langs).map(|lang| (lang, score(lang))) {
        if score > best.1 {
            second = best.1;
            best = (lang, score);
        } else if score > second {
            second = score;
        }
    }
    Ok((confidence(best.1, second, ranked) > RELIABLE).then(|| profiles.langs[best.0]))
}

fn confidence(best: f64, second: f64, trigrams: u32) -> f64 {
    if best == 0.0 || second == 0.0 {
        return best;
    }
    let enough = (3.0 / f64::from(trigrams)) + 0.015;
    let rate = (best - second) / second;
    if rate > enough { 1.0 } else { rate / enough }
}

impl Counter {
    /// Reads a text as classes of letters; gives those beyond a to z, in order. `Err` where it may be in another
    /// script, or has too many letters.
    fn read(&mut self, text: &str) -> Result<Vec<char>, ()> {
        self.classes.clear();
        let mut others: Vec<char> = Vec::new();
        let (mut latin, mut foreign) = (0usize, 0usize);
        for c in text.chars() {
            if c.is_ascii() && c != '\u{7f}' {
                let class = class(c as u8);
                latin += usize::from(class != 0);
                self.classes.push(class);
                continue;
            }
            if is_latin(c) {
                latin += 1;
            } else {
                foreign += 1;
            }
            // It is written in another way at the end of a word, which no single letter shows.
            if c == 'Σ' {
                return Err(());
            }
            for lower in c.to_lowercase() {
                if lower.is_ascii() && lower != '\u{7f}' {
                    self.classes.push(class(lower as u8));
                    continue;
                }
                let known = others.iter().position(|other| *other == lower);
                let place = known.unwrap_or(others.len());
                if place == OTHERS_MAX {
                    return Err(());
                }
                if known.is_none() {
                    others.push(lower);
                }
                self.classes.push((LETTERS + place) as u8);
            }
        }
        if latin <= foreign {
            return Err(());
        }
        if !others.is_empty() {
            // Trigrams that stand equally often are ranked by their codes.
            let mut order: Vec<usize> = (0..others.len()).collect();
            order.sort_unstable_by_key(|place| others[*place]);
            let mut ranks = [0u8; OTHERS_MAX];
            for (rank, place) in order.iter().enumerate() {
                ranks[*place] = (LETTERS + rank) as u8;
            }
            for class in self
                .classes
                .iter_mut()
                .filter(|class| usize::from(**class) >= LETTERS)
            {
                *class = ranks[usize::from(*class) - LETTERS];
            }
            others.sort_unstable();
        }
        Ok(others)
    }

    /// Counts the trigrams, and ranks the most frequent.
    fn count(&mut self, bits: u32) {
        let mask = (1usize << (3 * bits)) - 1;
        if self.counts.len() <= mask {
            self.counts.resize(mask + 1, 0);
        }
        self.ranked.clear();
        let mut letters = self.classes.iter().chain(&[0]);
        let mut trigram = usize::from(letters.next().copied().unwrap_or_default());
        for &letter in letters {
            trigram = (trigram << bits | usize::from(letter)) & mask;
            // Two blanks say nothing, wherever they stand.
            let middle = trigram >> bits & ((1 << bits) - 1);
            if middle == 0 && (letter == 0 || trigram >> (2 * bits) == 0) {
                continue;
            }
            if self.counts[trigram] == 0 {
                self.ranked.push(trigram as u32);
            }
            self.counts[trigram] += 1;
        }
        for trigram in &mut self.ranked {
            let count = std::mem::take(&mut self.counts[*trigram as usize]);
            *trigram |= u32::from(count) << (3 * bits);
        }
        self.ranked.sort_unstable_by(|a, b| b.cmp(a));
        self.ranked.truncate(RANKED);
    }

    /// How far the ranks are from those of each language, and how many there are.
    fn distances(&self, profiles: &Profiles, others: &[char], bits: u32) -> ([u32; 64], u32) {
        let mut distances = [PROFILE * PROFILE; 64];
        let mask = (1u32 << bits) - 1;
        for (rank, trigram) in self.ranked.iter().enumerate() {
            let classes = [
                trigram >> (2 * bits) & mask,
                trigram >> bits & mask,
                trigram & mask,
            ];
            let classes = classes.map(|class| class as usize);
            let places = if classes.iter().all(|class| *class < LETTERS) {
                let index = (classes[0] * LETTERS + classes[1]) * LETTERS + classes[2];
                &profiles.places
                    [usize::from(profiles.begins[index])..usize::from(profiles.begins[index + 1])]
            } else {
                let letters = classes.map(|class| match class {
                    0 => ' ',
                    class if class < LETTERS => char::from(b'`' + class as u8),
                    class => others[class - LETTERS],
                });
                profiles.others.get(&letters).map_or(&[][..], Vec::as_slice)
            };
            for place in places {
                let distance = &mut distances[usize::from(place.lang)];
                *distance = *distance + (rank as u32).abs_diff(u32::from(place.rank)) - PROFILE;
            }
        }
        (distances, self.ranked.len() as u32)
    }
}

/// Whether `whatlang` counts a letter beyond ASCII for the Latin script and for no other.
fn is_latin(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{2af}' | '\u{1d00}'..='\u{1d2a}' | '\u{1d2c}'..='\u{1d77}' | '\u{1d79}'..='\u{1dbf}'
        | '\u{1e00}'..='\u{1eff}' | '\u{2100}'..='\u{214f}' | '\u{2c60}'..='\u{2c7f}' | '\u{a720}'..='\u{a7ff}'
        | '\u{ab30}'..='\u{ab6f}')
}
