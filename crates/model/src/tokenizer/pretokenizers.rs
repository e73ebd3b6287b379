//! The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`: each is the list of split
//! patterns of that family's `tokenizer.json`.

/// GPT-2's pattern; also what `ByteLevel` with `use_regex` stands for in `tokenizer.json`.
pub(super) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const DIGIT: &str = r"\p{N}";

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const DEEPSEEK3: [&str; 3] = [
    r"\p{N}{1,3}",
    r"[一-龥\u3040-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];

/// A named pre-tokenizer.
#[derive(Debug)]
pub(super) struct Named {
    /// Patterns, each applied to the pieces that the one before left.
    pub(super) patterns: &'static [&'static str],
    /// A word that is a token is taken whole.
    pub(super) whole_words: bool,
    /// Text is brought into normal form C first.
    pub(super) nfc: bool,
    /// The begin token leads unless the file says otherwise.
    pub(super) add_bos: bool,
}

/// All names, for error messages.
pub(super) const NAMES: &str = "gpt-2, smollm, starcoder, refact, command-r, llama-bpe, smaug-bpe, \
                                qwen2, tekken, gpt-4o, deepseek-v3";

/// The pre-tokenizer of that name.
pub(super) fn named(name: &str) -> Option<Named> {
    const PLAIN: Named = Named {
        patterns: &[GPT2],
        whole_words: false,
        nfc: false,
        add_bos: false,
    };
    Some(match name {
        "gpt-2" | "gpt2" | "phi-2" | "mpt" | "olmo" | "jais" | "trillion" | "granite-docling" => {
            PLAIN
        }
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" => {
            Named {
                patterns: &[DIGIT, GPT2],
                ..PLAIN
            }
        }
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "lfm2" => {
            Named {
                patterns: &[LLAMA3],
                whole_words: true,
                add_bos: true,
                ..PLAIN
            }
        }
        "smaug-bpe" | "dbrx" => Named {
            patterns: &[LLAMA3],
            ..PLAIN
        },
        "qwen2" | "deepseek-r1-qwen" | "megrez" => Named {
            patterns: &[QWEN2],
            nfc: true,
            ..PLAIN
        },
        "stablelm2" | "hunyuan" => Named {
            patterns: &[QWEN2],
            ..PLAIN
        },
        "tekken" => Named {
            patterns: &[TEKKEN],
            whole_words: true,
            add_bos: true,
            ..PLAIN
        },
        "gpt-4o" | "llama4" => Named {
            patterns: &[GPT4O],
            ..PLAIN
        },
        "deepseek-v3" => Named {
            patterns: &DEEPSEEK3,
            ..PLAIN
        },
        _ => return None,
    })
}
