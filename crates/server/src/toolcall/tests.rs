use proptest::prelude::*;

use super::*;

fn tools() -> Arc<[String]> {
    Arc::from(["weather".to_owned(), "get-time".to_owned()])
}

/// Joins neighbours, so that what remains does not depend on how the text came.
fn join(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(Part::Text(text)), Part::Text(more))
            | (Some(Part::Arguments(text)), Part::Arguments(more)) => text.push_str(&more),
            (_, part) => joined.push(part),
        }
    }
    joined
}

fn read_pieces<'a>(format: Format, pieces: impl IntoIterator<Item = &'a str>) -> Vec<Part> {
    let mut parser = format.parser(tools());
    let mut parts: Vec<Part> = pieces.into_iter().flat_map(|p| parser.push(p)).collect();
    parts.extend(parser.finish());
    join(parts)
}

fn read(format: Format, text: &str) -> Vec<Part> {
    read_pieces(format, [text])
}

fn call(name: &str, arguments: &str) -> Vec<Part> {
    vec![
        Part::Begin { name: name.into() },
        Part::Arguments(arguments.into()),
        Part::End,
    ]
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

#[test]
fn each_family_is_read() {
    let args = r#"{"city": "Paris", "days": [1, 2], "note": "a \"}\" b"}"#;
    let expected = call("weather", args);
    let hermes =
        format!("<tool_call>\n{{\"name\": \"weather\", \"arguments\": {args}}}\n</tool_call>");
    let llama = format!("{{\"name\": \"weather\", \"parameters\": {args}}}");
    let mistral = format!("[TOOL_CALLS][{{\"name\": \"weather\", \"arguments\": {args}}}]");
    let gemma = format!("```tool_call\n{{\"name\": \"weather\", \"parameters\": {args}}}\n```");
    for (format, written) in [
        (Format::Hermes, hermes.clone()),
        (Format::Generic, hermes.clone()),
        (Format::Llama, llama.clone()),
        (Format::Llama, format!("<|python_tag|>{llama}")),
        (Format::Mistral, mistral),
        (Format::Mistral, format!("[TOOL_CALLS]weather[ARGS]{args}")),
        (Format::Gemma, gemma),
    ] {
        assert_eq!(read(format, &written), expected, "{format:?}: {written}");
    }
    let mut said = vec![text("Let me look.")];
    said.extend(expected.clone());
    assert_eq!(
        read(Format::Hermes, &format!("Let me look.\n{hermes}\n")),
        {
            let mut said = said.clone();
            said.push(text("\n"));
            said
        }
    );
}

#[test]
fn several_calls_are_read() {
    let one = r#"{"name": "weather", "arguments": {"a": 1}}"#;
    let two = r#"{"arguments": {}, "name": "get-time"}"#;
    let expected = [call("weather", r#"{"a": 1}"#), call("get-time", "{}")].concat();
    for (format, written) in [
        (
            Format::Hermes,
            format!("<tool_call>{one}</tool_call>\n<tool_call>{two}</tool_call>"),
        ),
        (
            Format::Hermes,
            format!("<tool_call>[{one}, {two}]</tool_call>"),
        ),
        (Format::Llama, format!("{one}; {two}")),
        (Format::Mistral, format!("[TOOL_CALLS] [{one}, {two}]")),
        (
            Format::Mistral,
            "[TOOL_CALLS]weather{\"a\": 1}[TOOL_CALLS]get-time[ARGS]{}".to_owned(),
        ),
        (Format::Gemma, format!("```json\n[{one},\n{two}]\n```")),
    ] {
        assert_eq!(read(format, &written), expected, "{format:?}: {written}");
    }
}

#[test]
fn arguments_come_in_odd_forms() {
    for (written, arguments) in [
        (r#"{"name": "weather"}"#, "{}"),
        (r#"{"name": "weather", "arguments": null}"#, "{}"),
        (
            r#"{"name": "weather", "arguments": "{\"a\": 1}"}"#,
            r#"{"a": 1}"#,
        ),
        (
            r#"{"arguments": "{\"a\": 1}", "name": "weather"}"#,
            r#"{"a": 1}"#,
        ),
        (r#"{"id": 7, "name": "weather", "arguments": {}}"#, "{}"),
    ] {
        let written = format!("<tool_call>{written}</tool_call>");
        assert_eq!(
            read(Format::Hermes, &written),
            call("weather", arguments),
            "{written}"
        );
    }
}

#[test]
fn what_is_no_call_is_text() {
    for (format, written) in [
        (Format::Hermes, "a < b and <tool_cal and <tool_call"),
        (
            Format::Hermes,
            "<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
        ),
        (Format::Hermes, "<tool_call> say the docs </tool_call>"),
        (Format::Hermes, "<tool_call>"),
        (Format::Hermes, "{\"name\": \"weather\", \"arguments\": {}}"),
        (Format::Llama, "{\"name\": \"Bob\", \"parameters\": {}}"),
        (Format::Llama, "{\"weather\": 1}"),
        (Format::Llama, "{not json"),
        (
            Format::Llama,
            "So: {\"name\": \"weather\", \"parameters\": {}}",
        ),
        (Format::Mistral, "[TOOL_CALLS]unknown[ARGS]{}"),
        (Format::Mistral, "[1, 2]"),
        (Format::Gemma, "```json\n{\"a\": 1}\n```"),
        (Format::Gemma, "```rust\nfn main() {}\n```"),
    ] {
        assert_eq!(read(format, written), [text(written)], "{format:?}");
    }
}

#[test]
fn an_answer_that_is_cut_keeps_what_came() {
    let cut = "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Pa";
    assert_eq!(
        read(Format::Hermes, cut),
        call("weather", "{\"city\": \"Pa")
    );
    let closing = "<tool_call>{\"name\": \"weather\", \"arguments\": {}}</tool";
    assert_eq!(read(Format::Hermes, closing), call("weather", "{}"));
}

#[test]
fn arguments_go_out_while_they_are_written() {
    let mut parser = Format::Hermes.parser(tools());
    let begun = parser.push("<tool_call>{\"name\": \"weather\", \"arguments\": {\"ci");
    assert_eq!(
        begun,
        [
            Part::Begin {
                name: "weather".into()
            },
            Part::Arguments("{\"ci".into())
        ]
    );
    assert_eq!(parser.push("ty\": 1"), [Part::Arguments("ty\": 1".into())]);
}

#[test]
fn templates_tell_their_format() {
    for (source, format) in [
        ("{{ '<tool_call>' }}", Format::Hermes),
        ("{{ '[TOOL_CALLS]' }}", Format::Mistral),
        (
            "{%- if tools %}{\"name\": f, \"parameters\": d}",
            Format::Llama,
        ),
        ("<|python_tag|>", Format::Llama),
        ("```tool_code", Format::Gemma),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}",
            Format::Generic,
        ),
    ] {
        assert_eq!(Format::of_template(source), format, "{source}");
    }
}

const FORMATS: [Format; 4] = [
    Format::Hermes,
    Format::Llama,
    Format::Mistral,
    Format::Gemma,
];

proptest! {
    /// Any text in any pieces gives what the whole gives, and loses nothing but layout.
    #[test]
    fn any_split_is_as_the_whole(
        picks in prop::collection::vec(0..16_usize, 0..14),
        cuts in prop::collection::vec(any::<bool>(), 400),
        format in prop::sample::select(&FORMATS[..]),
    ) {
        let bits = [
            "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "```json\n", "```", "{", "}", "[", "]",
            "\"name\": \"weather\"", ", ", "\"arguments\": {\"a\": \"é}\"}", "weather[ARGS]{}",
            " ", "text", "{\"name\": \"weather\", \"parameters\": {}}",
        ];
        let whole: String = picks.iter().map(|&pick| bits[pick]).collect();
        let mut pieces = vec![String::new()];
        for (c, cut) in whole.chars().zip(cuts) {
            pieces.last_mut().unwrap().push(c);
            if cut {
                pieces.push(String::new());
            }
        }
        let split = read_pieces(format, pieces.iter().map(String::as_str));
        prop_assert_eq!(&split, &read(format, &whole));
        // Calls open and close in turn.
        let mut open = false;
        for part in &split {
            match part {
                Part::Begin { .. } => { prop_assert!(!open); open = true; }
                Part::End => { prop_assert!(open); open = false; }
                Part::Arguments(_) => prop_assert!(open),
                Part::Text(_) => prop_assert!(!open),
            }
        }
        prop_assert!(!open);
    }

    /// Whatever arguments are written, they come back as they are.
    #[test]
    fn arguments_come_back(key in ".{0,8}", value in ".{0,24}", number in any::<i64>()) {
        let arguments = serde_json::json!({ key: value, "n": [number, null, {}] }).to_string();
        let written = format!(
            "<tool_call>\n{{\"name\": \"weather\", \"arguments\": {arguments}}}\n</tool_call>"
        );
        prop_assert_eq!(read(Format::Hermes, &written), call("weather", &arguments));
    }
}
