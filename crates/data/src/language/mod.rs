//! Which language a text is in: trigrams of its first few thousand bytes, as `whatlang` compares them.

mod latin;

use whatlang::Lang;

/// Bytes that are looked at: more say nothing new, and cost as much as all other rules together.
const BYTES_MAX: usize = 2048;

/// ISO 639-1 of those that people write so.
const SHORT: [(&str, Lang); 16] = [
    ("ar", Lang::Ara),
    ("de", Lang::Deu),
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("fr", Lang::Fra),
    ("hi", Lang::Hin),
    ("id", Lang::Ind),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("jv", Lang::Jav),
    ("ko", Lang::Kor),
    ("nl", Lang::Nld),
    ("pt", Lang::Por),
    ("ru", Lang::Rus),
    ("tr", Lang::Tur),
    ("zh", Lang::Cmn),
];

/// What a text whose language cannot be told is noted as.
pub(crate) const UNKNOWN: &str = "und";

/// The language of a name in a configuration.
pub(crate) fn code(name: &str) -> Option<Lang> {
    let short = SHORT.iter().find(|(short, _)| *short == name);
    short
        .map(|(_, lang)| *lang)
        .or_else(|| Lang::from_code(name))
}

/// How a language is noted: two letters where it has them here, else three.
pub(crate) fn name(lang: Lang) -> &'static str {
    let short = SHORT.iter().find(|(_, known)| *known == lang);
    short.map_or_else(|| lang.code(), |(short, _)| *short)
}

/// The language of a text where it is certain. A few words are not enough for that.
pub(crate) fn detect(text: &str) -> Option<Lang> {
    Detector::default().detect(text)
}

/// Tells languages of one text after the other.
#[derive(Default)]
pub(crate) struct Detector {
    counter: latin::Counter,
}

impl Detector {
    /// As [`detect`].
    pub(crate) fn detect(&mut self, text: &str) -> Option<Lang> {
        let text = beginning(text);
        latin::detect(text, &mut self.counter).unwrap_or_else(|()| by_whatlang(text))
    }
}

fn by_whatlang(text: &str) -> Option<Lang> {
    let info = whatlang::detect(text)?;
    info.is_reliable().then(|| info.lang())
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::Strategy as _;

    #[test]
    fn indonesian_and_english_are_told_apart() {
        let indonesian = "Pemerintah daerah akan membangun jembatan baru yang menghubungkan kedua \
            desa itu, sehingga anak-anak dapat berangkat ke sekolah dengan lebih mudah setiap hari.";
        let english = "The local government is going to build a new bridge between the two villages, so \
            that the children can go to school more easily every day of the week.";
        assert_eq!(detect(indonesian).map(name), Some("id"));
        assert_eq!(detect(english).map(name), Some("en"));
        assert_eq!(detect("ok"), None);
        assert_eq!(code("jav").map(name), Some("jv"));
        assert_eq!(beginning(&"é".repeat(2000)).len(), 2048);
    }

    /// Words of some languages, and letters that are written in more than one way, count for more than one, or
    /// stand in no alphabet.
    const PIECES: [&str; 24] = [
        "the",
        "and",
        "yang",
        "dengan",
        "tidak",
        "nicht",
        "größer",
        "être",
        "mañana",
        "Straße",
        "İstanbul",
        "ığdır",
        "Łódź",
        "không",
        "được",
        "Σας",
        "привет",
        "中国",
        "“so”",
        "–",
        "K",
        "e\u{301}",
        "ʻokina",
        "3.5",
    ];

    proptest::proptest! {
        #[test]
        fn the_fast_way_says_what_whatlang_says(
            words in proptest::collection::vec(
                proptest::prop_oneof![
                    4 => proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
                    2 => "[a-zA-Z]{1,8}",
                    1 => "[a-zà-ÿĀ-ſ]{1,6}",
                    1 => "\\PC{0,3}",
                ],
                0..90,
            ),
            of in 1usize..90,
        ) {
            // Fewer different words make a text that is of some language.
            let of = of.min(words.len()).max(1);
            let text: Vec<&str> = (0..words.len()).map(|i| words[i * i % of].as_str()).collect();
            let text = text.join(" ");
            let mut detector = Detector::default();
            proptest::prop_assert_eq!(detector.detect(&text), by_whatlang(beginning(&text)));
            proptest::prop_assert_eq!(detector.detect(&text), by_whatlang(beginning(&text)));
        }
    }
}
