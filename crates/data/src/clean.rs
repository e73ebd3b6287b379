//! What becomes of one item: a document that is kept, or the name of the rule that it broke. A function of the
//! item and the configuration, so that threads may share the work.

use crate::config::{Config, Scrub, Source};
use crate::counts::Counts;
use crate::decontaminate::Held;
use crate::document::{self, Document, Kind};
use crate::minhash::{Keys, MinHash};
use crate::normalize::normalize;
use crate::quality::{Rules, Runs};
use crate::read::{Item, Shape};
use crate::words::{Word, words};
use crate::{language, personal};
use whatlang::Lang;

/// Most bytes of a document's text.
const DOCUMENT_MAX: usize = 8 << 20;

/// A document that is kept, so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Which of its file's it is, from 0.
    pub(crate) item: u64,
    pub(crate) kind: Kind,
    /// Its language, by the place of its name in [`language_number`].
    pub(crate) language: u8,
    pub(crate) text: String,
    /// What it is compared with others by.
    pub(crate) keys: Keys,
}

/// How one source's items are treated.
struct Treatment {
    rules: Rules,
    /// What is said in a conversation is held to rules of pages only where somebody asks for it.
    rules_for_chats: bool,
    languages: Vec<Lang>,
    scrub: Option<Scrub>,
    deduplicate: bool,
}

/// Room that is used for one item after the other.
#[derive(Default)]
struct Room {
    words: Vec<Word>,
    runs: Runs,
    detector: language::Detector,
}

/// How all items are treated.
pub(crate) struct Cleaner<'a> {
    config: &'a Config,
    treatments: Vec<Treatment>,
    held: Held,
    minhash: MinHash,
}

impl<'a> Cleaner<'a> {
    pub(crate) fn new(config: &'a Config, held: Held) -> Self {
        let codes = |names: &[String]| {
            names
                .iter()
                .filter_map(|name| language::code(name))
                .collect()
        };
        let treatments = config.source.iter().map(|source| Treatment {
            // The configuration was checked: no name is unknown.
            rules: source.quality().unwrap_or_default(),
            rules_for_chats: source.rules.is_some(),
            languages: codes(source.languages.as_ref().unwrap_or(&config.languages)),
            scrub: source.scrub.then_some(config.scrub),
            deduplicate: source.deduplicate,
        });
        Self {
            treatments: treatments.collect(),
            held,
            minhash: MinHash::new(&config.deduplicate),
            config,
        }
    }

    /// What becomes of the items of a batch, the first of them the `first`th of its file.
    pub(crate) fn batch(&self, source: usize, first: u64, items: Vec<Item>) -> (Vec<Kept>, Counts) {
        let mut counts = Counts::default();
        let mut kept = Vec::with_capacity(items.len());
        let mut room = Room::default();
        for (i, item) in items.into_iter().enumerate() {
            counts.documents_in += 1;
            match self.item(source, item, &mut room, &mut counts) {
                Ok((document, lang, keys)) => {
                    let language = lang.map_or(language::UNKNOWN, language::name);
                    counts.keep(language, document.text.len());
                    kept.push(Kept {
                        item: first + i as u64,
                        kind: document.kind,
                        language: language_number(lang),
                        text: document.text,
                        keys,
                    });
                }
                Err(rule) => counts.drop(rule),
            }
        }
        (kept, counts)
    }

    fn item(
        &self,
        source: usize,
        item: Item,
        room: &mut Room,
        counts: &mut Counts,
    ) -> std::result::Result<(Document, Option<Lang>, Keys), &'static str> {
        let treatment = &self.treatments[source];
        let Room {
            words: found,
            runs,
            detector,
        } = room;
        let mut document = document(item, &self.config.source[source])?;
        let said = match document.kind {
            Kind::Text => document.text.as_str(),
            Kind::Chat => document
                .text
                .rsplit(document::CONTENT)
                .next()
                .unwrap_or_default(),
        };
        let lang = detector.detect(said);
        if let Some(lang) = lang
            && !treatment.languages.is_empty()
            && !treatment.languages.contains(&lang)
        {
            return Err("language");
        }
        words(&document.text, found);
        if document.kind == Kind::Text || treatment.rules_for_chats {
            treatment
                .rules
                .broken(&document.text, found, runs)
                .map_or(Ok(()), Err)?;
        }
        if self.held.overlaps(found) {
            return Err("evaluation");
        }
        if let Some(scrub) = treatment.scrub {
            let mut replaced = personal::Found::default();
            if let Some(text) = personal::scrub(&document.text, scrub, &mut replaced) {
                document.text = text;
                counts.scrubbed(&replaced);
                words(&document.text, found);
            }
        }
        let keys = if treatment.deduplicate {
            self.minhash.keys(&document.text, found)
        } else {
            Keys::none()
        };
        Ok((document, lang, keys))
    }
}

/// The document in an item, in its one way of writing; otherwise the rule that it broke.
pub(crate) fn document(item: Item, source: &Source) -> std::result::Result<Document, &'static str> {
    let mut document = match item {
        Item::Lost(rule) => return Err(rule),
        Item::Made(document) => document,
        Item::Text(bytes) => {
            if bytes.contains(&0) {
                return Err("binary");
            }
            Document::text(String::from_utf8(bytes).map_err(|_| "not_utf8")?)
        }
        Item::Html(bytes) => document::of_html(&bytes)?,
        Item::Value(value) => document::of_record(&value, source.field.as_deref())?,
        Item::Json(shape, bytes) => {
            let text = std::str::from_utf8(&bytes).map_err(|_| "not_utf8")?;
            let value = serde_json::from_str(text).map_err(|_| "not_json")?;
            match shape {
                Shape::Record => document::of_record(&value, source.field.as_deref())?,
                Shape::Tweet => document::of_tweet(&value)?,
                Shape::Activity => document::of_activity(&value)?,
            }
        }
    };
    document.text = normalize(&document.text);
    match document.text.len() {
        0 => Err("empty"),
        1..=DOCUMENT_MAX => Ok(document),
        _ => Err("too_long"),
    }
}

/// The number that a language is kept as: 0 where it is unknown.
fn language_number(lang: Option<Lang>) -> u8 {
    let place = lang.and_then(|lang| Lang::all().iter().position(|known| *known == lang));
    place.map_or(0, |place| place as u8 + 1)
}

/// The name of a language by the number that it is kept as.
pub(crate) fn language_of(number: u8) -> &'static str {
    let lang = usize::from(number)
        .checked_sub(1)
        .and_then(|place| Lang::all().get(place));
    lang.map_or(language::UNKNOWN, |lang| language::name(*lang))
}
