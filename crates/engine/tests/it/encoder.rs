//! The encoder as its users see it: many texts at once, long ones refused or cut, calls taken back.

use std::path::{Path, PathBuf};
use std::time::Instant;

use terang_engine::{EmbedOptions, Encoder, Error, is_encoder};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/encoder/tiny")
}

fn open() -> Encoder {
    Encoder::open(&tiny(), Some(2)).unwrap()
}

#[test]
fn a_text_has_the_same_vector_in_any_company() {
    let encoder = open();
    assert!(is_encoder(&tiny()));
    assert_eq!((encoder.dimensions(), encoder.context_len()), (48, 128));
    // More tokens than one batch has.
    let texts: Vec<String> = (0..90).map(|n| "hello world ".repeat(n % 30)).collect();
    let all = encoder.embed(&texts).unwrap();
    assert_eq!(all.len(), texts.len());
    for (text, together) in texts.iter().zip(&all) {
        assert_eq!(encoder.embed(&[text]).unwrap()[0], *together);
        assert_eq!(together.tokens, encoder.tokens(text).unwrap().len());
        let length: f64 = together.vector.iter().map(|&x| f64::from(x).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6);
    }
    assert!(encoder.embed(&[] as &[&str]).unwrap().is_empty());
}

#[test]
fn threads_share_it() {
    let encoder = open();
    let alone = encoder.embed(&["hello", "world"]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(encoder.embed(&["hello", "world"]).unwrap(), alone));
        }
    });
}

#[test]
fn long_texts_are_refused_by_number_and_cut_only_when_asked() {
    let encoder = open();
    let long = "hello ".repeat(200);
    let error = encoder.embed(&["hello", &long]).unwrap_err();
    let Error::InputTooLong {
        index: 1,
        tokens: 202,
        context_len: 128,
    } = error
    else {
        panic!("{error}");
    };
    let cut = encoder.embed_cut(&["hello", &long]).unwrap();
    let short = encoder.embed(&["hello ".repeat(126)]).unwrap();
    assert_eq!(cut[1], short[0]);
    assert_eq!(cut[0], encoder.embed(&["hello"]).unwrap()[0]);
}

#[test]
fn tokens_are_checked_and_calls_can_be_taken_back() {
    let encoder = open();
    let refused = |tokens: Vec<u32>| {
        let error = encoder
            .embed_tokens(&[tokens], &EmbedOptions::default())
            .unwrap_err();
        error.to_string()
    };
    assert!(refused(vec![38]).contains("found token 38, allowed tokens 0 to 37"));
    assert!(refused(Vec::new()).contains("at least one token"));
    let cancelled = EmbedOptions::default();
    cancelled.cancel.cancel();
    let texts = [vec![2, 5, 3]];
    assert!(matches!(
        encoder.embed_tokens(&texts, &cancelled),
        Err(Error::Cancelled)
    ));
    let late = EmbedOptions {
        deadline: Some(Instant::now()),
        ..EmbedOptions::default()
    };
    assert!(matches!(
        encoder.embed_tokens(&texts, &late),
        Err(Error::Deadline)
    ));
}

#[test]
#[ignore = "a measurement: needs TERANG_MINILM, the folder of all-MiniLM-L6-v2"]
fn tokens_a_second() {
    let folder = std::env::var("TERANG_MINILM").unwrap();
    for threads in [1, 2] {
        let encoder = Encoder::open(Path::new(&folder), Some(threads)).unwrap();
        for (words, count) in [(12, 200), (100, 60), (200, 30)] {
            let texts = vec!["meaning ".repeat(words); count];
            let mut best = 0.0f64;
            for _ in 0..3 {
                let begun = Instant::now();
                let embedded = encoder.embed(&texts).unwrap();
                let tokens: usize = embedded.iter().map(|text| text.tokens).sum();
                best = best.max(tokens as f64 / begun.elapsed().as_secs_f64());
            }
            eprintln!("{threads} threads, texts of {words} words: {best:.0} tokens/s");
        }
    }
}
