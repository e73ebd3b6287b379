//! Reads the input as a `tokenizer.json`, and encodes and decodes a text with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use terang_model::tokenizer::{Detokenizer, Special, Tokenizer};

const TEXT: &str = "Hello, <s> world's 1234 \u{e9} \u{1f642}\n\n  \u{2581}x aaaa bbb</s>";

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json_bytes("tokenizer.json".as_ref(), bytes) else {
        return;
    };
    for special in [Special::Ignore, Special::Parse] {
        let Ok(ids) = tokenizer.encode(TEXT, special) else {
            continue;
        };
        if special == Special::Ignore {
            assert!(ids.iter().all(|&id| !tokenizer.is_special(id)), "a control token from text");
        }
        let whole = tokenizer.decode(&ids, false);
        let mut stream = Detokenizer::new(false);
        let mut pieces = String::new();
        for &id in &ids {
            assert!((id as usize) < tokenizer.vocab_size());
            pieces.push_str(&stream.push(&tokenizer, id));
        }
        pieces.push_str(&stream.flush());
        assert_eq!(pieces, whole);
    }
});
