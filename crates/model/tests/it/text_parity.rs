//! Tokenizers give the ids that the reference library gives, on twelve thousand strings a family.

use crate::text_data::{fetched, fixture};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use terang_model::gguf::Gguf;
use terang_model::tokenizer::{Detokenizer, GgufVocab, Special, Tokenizer};

fn corpus() -> Vec<String> {
    let text = std::fs::read_to_string(fixture("tokenizers/corpus.jsonl")).unwrap();
    // Not `lines()`: strings may hold other line ends, but never an unescaped line feed.
    text.split_terminator('\n')
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn fnv1a(ids: &[u32]) -> u32 {
    ids.iter()
        .flat_map(|id| id.to_le_bytes())
        .fold(0x811c_9dc5, |state, byte| {
            (state ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
}

/// Number of ids and their hash, for each string.
fn expected(family: &str) -> Vec<(usize, u32)> {
    let bytes = std::fs::read(fixture(&format!("tokenizers/{family}.ids"))).unwrap();
    let mut rest = bytes.as_slice();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let mut count = 0;
        let mut shift = 0;
        loop {
            let byte = rest[0];
            rest = &rest[1..];
            count |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let (hash, after) = rest.split_at(4);
        out.push((count, u32::from_le_bytes(hash.try_into().unwrap())));
        rest = after;
    }
    out
}

/// `allowed`: strings on which the reference is known to differ, with the reason at the call.
fn check(tokenizer: &Tokenizer, family: &str, allowed: impl Fn(&str) -> bool) {
    let corpus = corpus();
    let expected = expected(family);
    assert_eq!(corpus.len(), expected.len());
    assert!(corpus.len() >= 10_000);
    let mut wrong = Vec::new();
    let mut unreadable = 0;
    for (text, expected) in corpus.iter().zip(&expected) {
        let ids = tokenizer.encode(text, Special::Ignore).unwrap();
        if (ids.len(), fnv1a(&ids)) != *expected && !allowed(text) {
            wrong.push(format!("{text:?}: {ids:?}, expected {} ids", expected.0));
        }
        let decoded = tokenizer.decode(&ids, true);
        unreadable += usize::from(decoded != *text);
        let mut stream = Detokenizer::new(true);
        let mut streamed = String::new();
        for &id in &ids {
            streamed.push_str(&stream.push(tokenizer, id));
        }
        streamed.push_str(&stream.flush());
        assert_eq!(streamed, decoded, "{text:?}");
    }
    let shown = wrong.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "{family}: {} strings differ:\n{shown}",
        wrong.len()
    );
    eprintln!(
        "{family}: {} strings; {unreadable} do not decode to themselves",
        corpus.len()
    );
}

fn json_tokenizer(family: &str) -> Option<(PathBuf, Tokenizer)> {
    let path = fetched(&format!("{family}/tokenizer.json"))?;
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    Some((path, tokenizer))
}

#[test]
fn smollm2_from_gguf_equals_the_reference() {
    let Some(path) = fetched("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf") else {
        return;
    };
    let gguf = Gguf::open(&path).unwrap();
    let tokenizer = Tokenizer::from_gguf(gguf.metadata()).unwrap();
    check(&tokenizer, "smollm2", |_| false);
}

#[test]
fn qwen3_from_json_equals_the_reference() {
    if let Some((_, tokenizer)) = json_tokenizer("qwen3") {
        check(&tokenizer, "qwen3", |_| false);
        assert_eq!(tokenizer.add_bos(), None);
    }
}

#[test]
fn llama3_from_json_equals_the_reference() {
    if let Some((_, tokenizer)) = json_tokenizer("llama3") {
        check(&tokenizer, "llama3", |_| false);
        assert_eq!(tokenizer.bos(), tokenizer.id_of("<|begin_of_text|>"));
    }
}

#[test]
fn gemma3_from_json_equals_the_reference() {
    if let Some((_, tokenizer)) = json_tokenizer("gemma3") {
        check(&tokenizer, "gemma3", |_| false);
        assert_eq!(tokenizer.add_bos(), tokenizer.id_of("<bos>"));
        let end = tokenizer.id_of("<end_of_turn>").unwrap();
        assert!(tokenizer.eos_ids().contains(&end));
    }
}

#[test]
fn further_families_from_json_equal_the_reference() {
    for family in ["deepseek_v3", "gptoss", "llama2"] {
        if let Some((_, tokenizer)) = json_tokenizer(family) {
            check(&tokenizer, family, |_| false);
        }
    }
}

#[test]
fn minilm_from_json_equals_the_reference() {
    if let Some((_, tokenizer)) = json_tokenizer("minilm") {
        check(&tokenizer, "minilm", |_| false);
        assert_eq!(tokenizer.add_bos(), tokenizer.id_of("[CLS]"));
        assert_eq!(tokenizer.suffix(), [102]);
        let ids = tokenizer.encode_whole("Hello, unaffable World!").unwrap();
        assert_eq!(
            tokenizer.decode(&ids, true),
            "hello , una ##ffa ##ble world !".replace(" ##", "")
        );
    }
}

/// A `tokenizer.json` as the metadata that a conversion to GGUF would write.
struct AsGguf {
    tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
}

fn as_gguf(path: &Path) -> AsGguf {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut by_id: HashMap<u64, (String, i32)> = HashMap::new();
    for (token, id) in json["model"]["vocab"].as_object().unwrap() {
        by_id.insert(id.as_u64().unwrap(), (token.clone(), 1));
    }
    for token in json["added_tokens"].as_array().unwrap() {
        let kind = if token["special"].as_bool().unwrap() {
            3
        } else {
            4
        };
        let content = token["content"].as_str().unwrap().to_owned();
        by_id.insert(token["id"].as_u64().unwrap(), (content, kind));
    }
    let count = by_id.keys().max().unwrap() + 1;
    let (tokens, types) = (0..count)
        .map(|id| {
            by_id
                .remove(&id)
                .unwrap_or_else(|| (format!("[PAD{id}]"), 5))
        })
        .unzip();
    let merges = json["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|merge| match merge.as_str() {
            Some(merge) => merge.to_owned(),
            None => format!(
                "{} {}",
                merge[0].as_str().unwrap(),
                merge[1].as_str().unwrap()
            ),
        });
    AsGguf {
        merges: merges.collect(),
        tokens,
        types,
    }
}

#[test]
fn byte_level_gguf_vocabularies_equal_the_reference() {
    for (family, pre) in [("qwen3", "qwen2"), ("llama3", "llama-bpe")] {
        let Some(path) = fetched(&format!("{family}/tokenizer.json")) else {
            continue;
        };
        let parts = as_gguf(&path);
        let vocab = GgufVocab {
            model: "gpt2",
            pre: Some(pre),
            tokens: parts.tokens.iter().map(String::as_str).collect(),
            token_types: parts.types,
            merges: parts.merges.iter().map(String::as_str).collect(),
            ..GgufVocab::default()
        };
        let tokenizer = Tokenizer::from_gguf_vocab(&path, &vocab).unwrap();
        check(&tokenizer, family, |_| false);
    }
}

#[test]
fn a_sentence_piece_gguf_vocabulary_equals_the_reference() {
    let Some(path) = fetched("gemma3/tokenizer.json") else {
        return;
    };
    let mut parts = as_gguf(&path);
    // Merges of a SentencePiece model stand in the order of the scores of what they make, and
    // scores are minus the id for all pieces that merging makes.
    let scores = (0..parts.tokens.len()).map(|id| -(id as f32)).collect();
    for (token, kind) in parts.tokens.iter_mut().zip(&mut parts.types) {
        if token.len() == 6 && token.starts_with("<0x") && token.ends_with('>') {
            *kind = 6;
        }
        // A conversion writes user-defined pieces with plain spaces.
        if *kind == 4 {
            *token = token.replace('▁', " ");
        }
    }
    let vocab = GgufVocab {
        model: "llama",
        tokens: parts.tokens.iter().map(String::as_str).collect(),
        token_types: parts.types,
        scores,
        add_space_prefix: Some(false),
        ..GgufVocab::default()
    };
    let tokenizer = Tokenizer::from_gguf_vocab(&path, &vocab).unwrap();
    // A conversion turns `▁▁` into two spaces, so that a written `▁▁` is no longer that token.
    check(&tokenizer, "gemma3", |text| text.contains('▁'));
}
