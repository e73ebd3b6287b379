//! What came back of a call: text, bounded, and the names of what is no text. It is data: nothing in
//! it is read as anything else.

use std::fmt::Write as _;

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Map, Value, json};

use super::shorten;

/// Of the text that is kept and shown.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Parts that are named.
const PARTS_MAX: usize = 100;
/// Of what a result says about itself, and of its structured form.
const DETAIL_BYTES_MAX: usize = 16 << 10;

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The tool says that it failed.
    pub(crate) failed: bool,
    pub(crate) text: String,
    /// A JSON object: `parts` that are no text, by name; `structured` and `_meta` where they are small.
    pub(crate) detail: Map<String, Value>,
}

/// The beginning of a text, and that it is one where there was more.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!(
        "{}\n[cut: {end} of {} bytes are here]",
        &text[..end],
        text.len()
    )
}

/// Reads a result.
pub(super) fn of(result: CallToolResult) -> Outcome {
    let mut text = String::new();
    let mut parts: Vec<Value> = Vec::new();
    let mut line = |more: &str| {
        // What is over the limit is not even put together.
        if text.len() <= TEXT_BYTES_MAX {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(more);
        }
    };
    for block in &result.content {
        let part = match block {
            ContentBlock::Text(block) => {
                line(&block.text);
                continue;
            }
            ContentBlock::Image(block) => {
                json!({ "type": "image", "mime": shorten(&block.mime_type, 100), "bytes": decoded(&block.data) })
            }
            ContentBlock::Audio(block) => {
                json!({ "type": "audio", "mime": shorten(&block.mime_type, 100), "bytes": decoded(&block.data) })
            }
            ContentBlock::Resource(block) => match &block.resource {
                ResourceContents::TextResourceContents {
                    uri,
                    mime_type,
                    text,
                    ..
                } => json!({
                    "type": "resource", "uri": shorten(uri, 1000),
                    "mime": mime_type.as_deref().map(|mime| shorten(mime, 100)), "bytes": text.len(),
                }),
                ResourceContents::BlobResourceContents {
                    uri,
                    mime_type,
                    blob,
                    ..
                } => json!({
                    "type": "resource", "uri": shorten(uri, 1000),
                    "mime": mime_type.as_deref().map(|mime| shorten(mime, 100)), "bytes": decoded(blob),
                }),
                _ => json!({ "type": "resource" }),
            },
            ContentBlock::ResourceLink(link) => json!({
                "type": "link", "uri": shorten(&link.uri, 1000), "name": shorten(&link.name, 200),
                "mime": link.mime_type.as_deref().map(|mime| shorten(mime, 100)),
            }),
            _ => json!({ "type": "unknown" }),
        };
        line(&told(&part));
        if parts.len() < PARTS_MAX {
            parts.push(part);
        }
    }
    let structured = result
        .structured_content
        .map(|value| (value.to_string(), value));
    if text.is_empty()
        && let Some((structured, _)) = &structured
    {
        text.clone_from(structured);
    }
    let mut detail = Map::new();
    if !parts.is_empty() {
        detail.insert("parts".to_owned(), parts.into());
    }
    if let Some((_, value)) = structured.filter(|(text, _)| text.len() <= DETAIL_BYTES_MAX) {
        detail.insert("structured".to_owned(), value);
    }
    let meta = result.meta.and_then(|meta| serde_json::to_value(meta).ok());
    if let Some(meta) = meta.filter(|meta| meta.to_string().len() <= DETAIL_BYTES_MAX) {
        detail.insert("_meta".to_owned(), meta);
    }
    Outcome {
        failed: result.is_error == Some(true),
        text: cut(&text, TEXT_BYTES_MAX),
        detail,
    }
}

/// Bytes that base64 stands for.
fn decoded(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// How a part that is no text is told.
fn told(part: &Value) -> String {
    let of = |name: &str| part[name].as_str().filter(|text| !text.is_empty());
    let facts = [of("name"), of("uri"), of("mime")];
    let mut told = format!("[{}", part["type"].as_str().unwrap_or_default());
    for fact in facts.into_iter().flatten() {
        told.push_str(", ");
        told.push_str(fact);
    }
    if let Some(bytes) = part["bytes"].as_u64() {
        let _ = write!(told, ", {bytes} bytes");
    }
    told.push_str(": not shown]");
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(value: Value) -> CallToolResult {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn text_is_kept_and_the_rest_is_named() {
        let outcome = of(result(json!({
            "content": [
                { "type": "text", "text": "one" },
                { "type": "image", "data": "aGVsbG8=", "mimeType": "image/png" },
                { "type": "resource_link", "uri": "ui://page/1", "name": "page" },
                { "type": "resource", "resource": { "uri": "file:///a", "text": "secret\ntext" } },
            ],
            "structuredContent": { "sum": 3 },
            "_meta": { "ui/resourceUri": "ui://page/1" },
        })));
        assert!(!outcome.failed);
        assert_eq!(
            outcome.text,
            "one\n[image, image/png, 5 bytes: not shown]\n[link, page, ui://page/1: not shown]\n\
             [resource, file:///a, 11 bytes: not shown]"
        );
        assert_eq!(outcome.detail["_meta"]["ui/resourceUri"], "ui://page/1");
        assert_eq!(outcome.detail["structured"]["sum"], 3);
        assert_eq!(outcome.detail["parts"].as_array().unwrap().len(), 3);
        let bare = of(result(
            json!({ "structuredContent": { "sum": 3 }, "isError": true }),
        ));
        assert_eq!((bare.failed, bare.text.as_str()), (true, "{\"sum\":3}"));
    }

    #[test]
    fn what_is_huge_is_cut_and_says_so() {
        let outcome = of(result(json!({
            "content": [{ "type": "text", "text": "é".repeat(1 << 20) }],
            "_meta": { "x": "y".repeat(1 << 20) },
        })));
        assert!(
            outcome.text.len() < TEXT_BYTES_MAX + 100,
            "{}",
            outcome.text.len()
        );
        assert!(outcome.text.ends_with("of 2097152 bytes are here]"));
        assert!(outcome.detail.is_empty());
        let many: Vec<Value> = (0..10_000)
            .map(|_| json!({ "type": "image", "data": "", "mimeType": "a/b" }))
            .collect();
        let outcome = of(result(json!({ "content": many })));
        assert!(outcome.text.len() < TEXT_BYTES_MAX + 100);
        assert_eq!(outcome.detail["parts"].as_array().unwrap().len(), PARTS_MAX);
    }
}
