//! A model's vocabulary as the constraint compiler sees it: the bytes of every token, as a trie.

use std::sync::Arc;

use llguidance::toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use terang_model::tokenizer::{Special, Tokenizer};

/// Longer tokens (rules made of hundreds of dashes) are left out, so never chosen under a
/// constraint: the trie's nodes have room for a bounded depth.
const TOKEN_BYTES_MAX: usize = 512;

/// The trie of all tokens below `vocab_size`. Control tokens are known by name and never come out of
/// plain text.
pub(super) fn env(tokenizer: &Arc<Tokenizer>, vocab_size: usize) -> TokEnv {
    let words: Vec<Vec<u8>> = (0..vocab_size as u32)
        .map(|id| word(tokenizer, id).unwrap_or_default())
        .collect();
    let ends: Vec<u32> = tokenizer.eos_ids().to_vec();
    let ends: Vec<u32> = ends
        .into_iter()
        .filter(|&id| (id as usize) < vocab_size)
        .collect();
    let info = TokRxInfo::new(
        vocab_size as u32,
        ends.first().copied().unwrap_or(INVALID_TOKEN),
    );
    let mut trie = TokTrie::from(&info, &words);
    if ends.len() > 1 {
        trie = trie.with_eos_tokens(&ends);
    }
    Arc::new(Env {
        canonical: is_canonical(tokenizer),
        tokenizer: Arc::clone(tokenizer),
        trie,
    })
}

fn word(tokenizer: &Tokenizer, id: u32) -> Option<Vec<u8>> {
    let bytes = tokenizer.token_bytes(id)?;
    if bytes.is_empty() || bytes.len() > TOKEN_BYTES_MAX {
        return None;
    }
    if tokenizer.is_special(id) {
        let mut marked = vec![TokTrie::SPECIAL_TOKEN_MARKER];
        marked.extend(bytes);
        return Some(marked);
    }
    // This byte marks control tokens, and no text holds it.
    (bytes[0] != TokTrie::SPECIAL_TOKEN_MARKER).then_some(bytes)
}

/// Whether a piece from the middle of a text is tokenized as if it stood at the beginning.
fn is_canonical(tokenizer: &Tokenizer) -> bool {
    let probe = "{\"a b\": 1}";
    let tokens = tokenizer.encode(probe, Special::Ignore).unwrap_or_default();
    let bytes = tokens.iter().filter_map(|&id| tokenizer.token_bytes(id));
    bytes.flatten().eq(probe.bytes())
}

struct Env {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
    canonical: bool,
}

impl TokenizerEnv for Env {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let vocab_size = self.trie.vocab_size();
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            let tokens = self.tokenizer.encode(text, Special::Ignore);
            // A text that the tokenizer refuses is tokenized by the trie.
            tokens
                .ok()
                .filter(|tokens| tokens.iter().all(|&id| (id as usize) < vocab_size))
                .unwrap_or_else(|| self.trie.greedy_tokenize(text.as_bytes()))
        })
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.canonical
    }
}
