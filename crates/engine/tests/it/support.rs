//! A runner that says what it is told to, and a tokenizer with one token a byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use terang_engine::runner::{BlockPool, Chunk, Logits, LogitsWanted, PAGE, Runner};
use terang_engine::text::Text;
use terang_engine::{Event, FinishReason, Generation, Stats};
use terang_model::template::ChatTemplate;
use terang_model::tokenizer::Tokenizer;

pub(crate) const CONTEXT: usize = 256;
/// The token that ends a turn.
pub(crate) const END: u32 = 256;

/// Ends each message with the end token.
const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}:{{ m.content }}</s>{% endfor %}\
                        {% if add_generation_prompt %}assistant:{% endif %}";

/// The printable stand-ins of byte-level BPE, as GPT-2 defines them.
fn byte_level_alphabet() -> Vec<char> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut others = (0x100..).filter_map(char::from_u32);
    (0..=255)
        .map(|byte| {
            if printable(byte) {
                char::from(byte)
            } else {
                others.next().unwrap()
            }
        })
        .collect()
}

/// Token id = byte; [`END`] is `<end>`.
pub(crate) fn text() -> Text {
    let vocab: BTreeMap<String, usize> = byte_level_alphabet()
        .into_iter()
        .map(String::from)
        .zip(0..)
        .chain([("</s>".to_string(), 256)])
        .collect();
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": [{
            "id": END, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }],
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "use_regex": false },
        "post_processor": null,
        "decoder": { "type": "ByteLevel" },
        "model": {
            "type": "BPE", "unk_token": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab, "merges": [],
        },
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let config = serde_json::json!({ "eos_token": "</s>" });
    std::fs::write(
        folder.path().join("tokenizer_config.json"),
        config.to_string(),
    )
    .unwrap();
    let tokenizer = Tokenizer::from_file(Path::new(&path)).unwrap();
    assert_eq!(tokenizer.eos_ids(), [END]);
    let template = ChatTemplate::new(TEMPLATE, &tokenizer).unwrap();
    Text::new(Arc::new(tokenizer), Some(template))
}

/// Answers a prompt `N` bytes long with `script` from position `N` on, `?` after it.
pub(crate) struct Script {
    pub(crate) tokens: Vec<u32>,
    pub(crate) prompt_len: usize,
    /// Time that each call takes.
    pub(crate) call: Duration,
    /// Panics when the cache is this long.
    pub(crate) panic_at: Option<usize>,
    pub(crate) blocks: BlockPool,
    pub(crate) logits: Vec<f32>,
}

impl Script {
    /// Says `answer`, then ends its turn.
    pub(crate) fn new(prompt_len: usize, answer: &str) -> Self {
        Self {
            tokens: answer.bytes().map(u32::from).chain([END]).collect(),
            prompt_len,
            call: Duration::ZERO,
            panic_at: None,
            // Many contexts, as much as a test could ask for.
            blocks: BlockPool::new(100 * CONTEXT / PAGE),
            logits: Vec::new(),
        }
    }
}

impl Runner for Script {
    fn vocab_size(&self) -> usize {
        257
    }

    fn context_len(&self) -> usize {
        CONTEXT
    }

    fn blocks(&mut self) -> &mut BlockPool {
        &mut self.blocks
    }

    fn forward(&mut self, chunks: &mut [Chunk<'_>]) -> terang_engine::Result<()> {
        std::thread::sleep(self.call);
        self.logits.clear();
        for chunk in chunks {
            let len = chunk.sequence.len() + chunk.tokens.len();
            assert!(len <= CONTEXT);
            assert_ne!(Some(len), self.panic_at, "as the test asked");
            self.blocks.reserve(chunk.sequence, len)?;
            chunk.sequence.set_len(len);
            let rows = match chunk.logits {
                LogitsWanted::None | LogitsWanted::Hidden => 0,
                LogitsWanted::Last => 1,
                LogitsWanted::All => chunk.tokens.len(),
            };
            for len in len + 1 - rows..=len {
                let index = len - self.prompt_len;
                let id = self.tokens.get(index).copied().unwrap_or(u32::from(b'?'));
                let mut logits = vec![0.0; 257];
                logits[id as usize] = 50.0;
                self.logits.extend(logits);
            }
        }
        Ok(())
    }

    fn logits(&self) -> Logits<'_> {
        Logits::new(&self.logits, 257)
    }
}

/// The end of a generation.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) reason: FinishReason,
    pub(crate) stats: Stats,
}

/// Reads a generation to its end and checks the order of its events.
pub(crate) fn collect(generation: Generation) -> Result<Answer, String> {
    let mut text = String::new();
    let mut events = generation.peekable();
    if matches!(events.peek(), Some(Event::Started { .. })) {
        events.next();
    }
    let mut tokens = 0;
    let mut prefilled = 0;
    while let Some(event) = events.next() {
        match event {
            Event::Started { .. } => panic!("started twice"),
            Event::Prefill { done, total } => {
                assert!(tokens == 0 && done > prefilled && done <= total);
                prefilled = done;
            }
            Event::PromptLogprobs(_) => assert_eq!(tokens, 0),
            Event::Token { text: piece, .. } => {
                tokens += 1;
                text.push_str(&piece);
            }
            Event::Finished {
                text: rest,
                reason,
                stats,
            } => {
                text.push_str(&rest);
                assert_eq!(events.next(), None);
                assert_eq!(stats.completion_tokens, tokens);
                return Ok(Answer {
                    text,
                    reason,
                    stats,
                });
            }
            Event::Failed { message } => {
                assert_eq!(events.next(), None);
                return Err(message);
            }
        }
    }
    panic!("a generation without an end");
}
