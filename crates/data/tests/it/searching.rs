use super::*;
use proptest::prelude::*;
use terang_data::index::{Index, build};
use terang_data::trace::Settings;

/// Prepared and indexed texts, a document each.
fn indexed(texts: &[String]) -> (tempfile::TempDir, Index) {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = texts
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string())
        .collect();
    std::fs::write(folder.path().join("a.jsonl"), lines.join("\n")).unwrap();
    let config = folder.path().join("c.toml");
    let text = "name = \"x\"\n[deduplicate]\nexact = false\nnear = false\n[[source]]\nname = \"a\"\n\
        files = [\"a.jsonl\"]\nrules = []\nlicence = \"CC0-1.0\"\n";
    std::fs::write(&config, text).unwrap();
    let out = folder.path().join("out");
    run(&config, &out, 1).unwrap();
    assert!(matches!(
        Index::open(&out),
        Err(DataError::NotIndexed { .. })
    ));
    build(&out, &|_| true).unwrap();
    let index = Index::open(&out).unwrap();
    (folder, index)
}

#[test]
fn a_phrase_is_found_in_every_document_that_has_it() {
    let mut texts: Vec<String> = (0..200).map(|i| sentence(i, 40)).collect();
    texts[17].push_str(" The heron stands in the rice field.");
    texts[60] = "The heron stands in the rice field. And the heron stands in the water.".to_owned();
    let (_folder, index) = indexed(&texts);
    let found = index.find("heron stands in the", 10).unwrap();
    assert_eq!((found.occurrences, found.documents), (3, 2));
    let items: Vec<u64> = found
        .first
        .iter()
        .map(|place| place.reference.item)
        .collect();
    assert_eq!(items, [18, 61]);
    assert_eq!(found.first[1].occurrences, 2);
    assert!(
        found.first[0]
            .around
            .contains("The heron stands in the rice field.")
    );
    assert_eq!(found.first[0].reference.file, "a.jsonl");
    assert_eq!(index.find("no such phrase", 10).unwrap().documents, 0);
    // The end of one document and the beginning of the next are no phrase.
    let across = format!("{} {}", &texts[3][texts[3].len() - 9..], &texts[4][..9]);
    assert_eq!(index.find(&across, 10).unwrap().documents, 0);
    assert!(index.find(" \n", 10).is_err());
    let began = std::time::Instant::now();
    (0..50).for_each(|_| drop(index.find("heron stands", 10).unwrap()));
    assert!(began.elapsed().as_millis() < 2500);
}

#[test]
fn an_answer_is_traced_to_its_documents() {
    let mut texts: Vec<String> = (0..50).map(|i| sentence(i, 40)).collect();
    texts[5] = "Borobudur was built in the ninth century by the Sailendra dynasty.".to_owned();
    let (_folder, index) = indexed(&texts);
    let answer = "I think Borobudur was built in the ninth century by somebody else.";
    let trace = index.trace(answer, &Settings::default()).unwrap();
    let span = &trace.spans[0];
    assert_eq!(span.text, "Borobudur was built in the ninth century by");
    assert_eq!(span.first[0].reference.item, 6);
    assert_eq!((span.words, trace.covered_bytes), (8, span.text.len()));
    assert_eq!(&answer[span.start..span.end], span.text);
    assert_eq!(
        index
            .trace("nothing of this", &Settings::default())
            .unwrap()
            .spans,
        []
    );
}

/// All spans of whole words that stand in a text and in no longer one that does, by looking everywhere.
fn plain(texts: &[String], answer: &str, words_min: usize) -> Vec<(usize, usize)> {
    let is_word = |at: Option<char>| at.is_some_and(char::is_alphanumeric);
    let starts = |at: usize| {
        is_word(answer[at..].chars().next()) && !is_word(answer[..at].chars().next_back())
    };
    let ends = |at: usize| {
        let before = answer[..at].chars().next_back();
        let is_mark = before.is_some_and(|c| !c.is_alphanumeric() && !c.is_whitespace());
        at == answer.len() || is_mark || (is_word(before) && !is_word(answer[at..].chars().next()))
    };
    let places: Vec<usize> = (0..=answer.len())
        .filter(|at| answer.is_char_boundary(*at))
        .collect();
    let mut all = Vec::new();
    for &start in places
        .iter()
        .filter(|at| **at < answer.len() && starts(**at))
    {
        for &end in places.iter().filter(|at| **at > start && ends(**at)) {
            if texts.iter().any(|text| text.contains(&answer[start..end])) {
                all.push((start, end));
            }
        }
    }
    let is_inner = |a: &(usize, usize)| all.iter().any(|b| b != a && b.0 <= a.0 && a.1 <= b.1);
    let count = |a: &(usize, usize)| {
        answer[a.0..a.1]
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .count()
    };
    let mut spans: Vec<(usize, usize)> = all
        .iter()
        .filter(|span| !is_inner(span) && count(span) >= words_min)
        .copied()
        .collect();
    spans.sort_by_key(|(start, end)| (std::cmp::Reverse(end - start), *start));
    spans
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The index says what looking everywhere says.
    #[test]
    fn tracing_is_what_looking_everywhere_finds(
        texts in proptest::collection::vec("[ab]{1,3}( [ab]{1,3}){0,12}[.!]?", 1..6),
        answer in "[ab]{1,3}( [abé]{1,3}){0,12}[.!]?",
        words_min in 1usize..4,
    ) {
        let (_folder, index) = indexed(&texts);
        let settings = Settings { words_min, spans_max: 1000, documents_max: 3 };
        let trace = index.trace(&answer, &settings).unwrap();
        let found: Vec<(usize, usize)> = trace.spans.iter().map(|span| (span.start, span.end)).collect();
        prop_assert_eq!(found, plain(&texts, &answer, words_min));
        for span in &trace.spans {
            let holds = |text: &&String| text.contains(&span.text);
            prop_assert_eq!(span.documents, texts.iter().filter(holds).count() as u64);
        }
    }
}
