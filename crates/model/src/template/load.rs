//! Reads templates: where a Hugging Face folder keeps them, and parsing within limits.

use super::budget::{Failure, Outcome};
use super::{ChatTemplate, Tokenizer};
use crate::gguf::Metadata;
use crate::{Error, Result};
use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{Token, WhitespaceConfig, parse as parse_jinja, tokenize};
use minijinja::syntax::SyntaxConfig;
use std::path::Path;

/// Longest template; the longest in use have about 20 thousand bytes.
const SOURCE_BYTES_MAX: usize = 256 << 10;
/// Most tokens between `{{` and `}}`: bounds how deep an expression can nest.
const EXPRESSION_TOKENS_MAX: usize = 2_000;
/// Most `elif`: each nests one deeper.
const ELIF_MAX: usize = 500;

/// As Hugging Face's library sets them.
const WHITESPACE: WhitespaceConfig = WhitespaceConfig {
    keep_trailing_newline: false,
    lstrip_blocks: true,
    trim_blocks: true,
};

impl ChatTemplate {
    /// The template of a GGUF file; `None` if it has none.
    pub fn from_gguf(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let source = metadata.get_opt::<&str>("tokenizer.chat_template")?;
        source
            .map(|source| Self::new(source, tokenizer))
            .transpose()
    }

    /// The template of a Hugging Face model folder: `chat_template.jinja`, or `chat_template` in
    /// `tokenizer_config.json`; `None` if the model has none.
    pub fn from_folder(folder: &Path, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let file = folder.join("chat_template.jinja");
        if file.exists() {
            let bytes = crate::tokenizer::read_bounded(&file, SOURCE_BYTES_MAX as u64)?;
            let source = String::from_utf8(bytes)
                .map_err(|e| Error::invalid(&file, "template", e, "UTF-8"))?;
            return Self::new(&source, tokenizer).map(Some);
        }
        let file = folder.join("tokenizer_config.json");
        let Some(config) = crate::tokenizer::read_json(&file)? else {
            return Ok(None);
        };
        // Several templates are a list of names and texts.
        let source = match &config["chat_template"] {
            serde_json::Value::Array(list) => list
                .iter()
                .find(|entry| entry["name"] == "default")
                .and_then(|entry| entry["template"].as_str()),
            other => other.as_str(),
        };
        source
            .map(|source| Self::new(source, tokenizer))
            .transpose()
    }
}

/// Checks the size and rewrites what the grammar lacks.
pub(super) fn prepare(source: &str) -> Result<String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(Error::Limit {
            what: "bytes of chat template",
            found: source.len(),
            limit: SOURCE_BYTES_MAX,
        });
    }
    Ok(without_generation_tags(source))
}

/// `{% generation %}` only marks the assistant's words for training; a condition that holds does
/// the same to the text.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tag[2..].find("%}").map(|end| end + 2) else {
            rest = tag;
            break;
        };
        let inside = &tag[2..end];
        let word = inside.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let statement = match word {
            "generation" => "if true",
            "endgeneration" => "endif",
            other => other,
        };
        if statement == word {
            out.push_str("{%");
            rest = &tag[2..];
        } else {
            out.push_str("{%");
            out.push_str(&inside.replacen(word, statement, 1));
            out.push_str("%}");
            rest = &tag[end + 2..];
        }
    }
    out.push_str(rest);
    out
}

/// The syntax tree. The grammar nests without end in a few places; these are counted first.
pub(super) fn parse(source: &str) -> Outcome<Stmt<'_>> {
    let mut in_tag = 0usize;
    let mut elifs = 0usize;
    for token in tokenize(source, false, SyntaxConfig, WHITESPACE) {
        let (token, span) = token.map_err(|e| syntax_failure(&e))?;
        match token {
            Token::VariableStart | Token::BlockStart => in_tag = 0,
            Token::Ident("elif") => elifs += 1,
            _ => {}
        }
        in_tag += 1;
        if in_tag > EXPRESSION_TOKENS_MAX || elifs > ELIF_MAX {
            return Err(Failure::new("an expression or condition is too long").at(span.start_line));
        }
    }
    parse_jinja(source, "chat template", SyntaxConfig, WHITESPACE).map_err(|e| syntax_failure(&e))
}

fn syntax_failure(error: &minijinja::Error) -> Failure {
    let reason: String = error.to_string().chars().take(300).collect();
    Failure::new(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_tag_is_left_alone() {
        // Found by fuzzing: the end of a tag may not share a character with its beginning.
        for source in ["{%}", "{%}{{ x", "{%%}", "{%", "a{%-", "%}{%}%}"] {
            assert_eq!(without_generation_tags(source), source);
        }
    }

    #[test]
    fn generation_tags_become_conditions() {
        assert_eq!(
            without_generation_tags("a{%- generation -%}b{% endgeneration %}{% if x %}{{ '{%' }}"),
            "a{%- if true -%}b{% endif %}{% if x %}{{ '{%' }}"
        );
    }
}
