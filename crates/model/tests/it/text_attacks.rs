//! Hostile tokenizers and templates: each ends in a typed error within a second and in bounded
//! memory.

use crate::text_templates::tokenizer_with;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use terang_model::Error;
use terang_model::template::{ChatInput, ChatTemplate, Limits};
use terang_model::tokenizer::{GgufVocab, Special, Tokenizer};

const SECOND: Duration = Duration::from_secs(1);

/// Resident memory of this process, in bytes.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

/// Runs one attack and gives its error. The best of three tries counts: other work on the machine
/// must not fail a test of ours.
fn refused<T: std::fmt::Debug>(name: &str, attack: impl Fn() -> Result<T, Error>) -> Error {
    let before = resident_bytes();
    let mut elapsed = Duration::MAX;
    let mut result = attack_timed(&attack, &mut elapsed);
    for _ in 0..2 {
        if elapsed >= SECOND {
            result = attack_timed(&attack, &mut elapsed);
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    let error = result.expect_err(name);
    assert!(elapsed < SECOND, "{name} took {elapsed:?}");
    // Other tests run beside this one: a generous bound here, the exact one is in the budget.
    assert!(grown < 256 << 20, "{name} grew memory by {grown} bytes");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 900, "{name}: {text}");
    error
}

fn attack_timed<T>(attack: impl Fn() -> Result<T, Error>, best: &mut Duration) -> Result<T, Error> {
    let start = Instant::now();
    let result = attack();
    *best = (*best).min(start.elapsed());
    result
}

fn render(source: &str) -> Result<String, Error> {
    let tokenizer = tokenizer_with(&["<|im_end|>"]);
    let template = ChatTemplate::new(source, &tokenizer)?;
    let input = ChatInput {
        messages: vec![serde_json::json!({"role": "user", "content": "hello"})],
        add_generation_prompt: true,
        ..ChatInput::default()
    };
    Ok(template.render(&input, &Limits::default())?.text())
}

#[test]
fn exploding_templates_are_stopped() {
    let nested_lists = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long_sum = format!("{{{{ {} }}}}", vec!["1"; 100_000].join("+"));
    let long_dots = format!("{{{{ messages{} }}}}", ".a".repeat(100_000));
    let long_filters = format!("{{{{ 'x'{} }}}}", "|trim".repeat(30_000));
    let elifs = format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(20_000));
    let ifs = format!(
        "{}{}",
        "{% if true %}".repeat(9_000),
        "{% endif %}".repeat(9_000)
    );
    let nots = format!("{{{{ {} x }}}}", "not ".repeat(60_000));
    let minus = format!("{{{{ {} 1 }}}}", "-".repeat(200_000));
    let attacks = [
        (
            "billion steps",
            "{% for a in range(100000) %}{% for b in range(10000) %}{% set x = a %}{% endfor %}{% endfor %}",
        ),
        ("range", "{% for a in range(1000000000) %}x{% endfor %}"),
        (
            "range of extremes",
            "{{ range(-170141183460469231731687303715884105727, 170141183460469231731687303715884105727)|length }}",
        ),
        (
            "nested ranges",
            "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x{% endfor %}{% endfor %}{% endfor %}",
        ),
        (
            "recursive macro",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        ),
        (
            "doubly recursive macro",
            "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        ),
        (
            "macro in its argument",
            "{% macro m(f) %}{{ f(f) }}{% endmacro %}{{ m(m) }}",
        ),
        ("repeated string", "{{ 'a' * 1000000000 }}"),
        (
            "repeated string, other way",
            "{{ 99999999999999999999999999 * 'ab' }}",
        ),
        ("repeated list", "{{ ([1] * 1000000000)|length }}"),
        (
            "doubling with ~",
            "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}",
        ),
        (
            "doubling with +",
            "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
        ),
        (
            "doubling lists",
            "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
        ),
        (
            "shared lists written",
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        ),
        (
            "shared lists compared",
            "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        ),
        (
            "shared lists as JSON",
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
        ),
        (
            "deep lists",
            "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        ),
        (
            "namespace in itself",
            "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns.x }}",
        ),
        (
            "namespace in a list",
            "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}",
        ),
        (
            "captures",
            "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(64) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",
        ),
        (
            "replace",
            "{{ ('a' * 100000)|replace('a', 'b' * 100000)|length }}",
        ),
        (
            "replace method",
            "{{ ('a' * 100000).replace('a', 'b' * 100000)|length }}",
        ),
        (
            "replace of nothing",
            "{{ ('a' * 100000)|replace('', 'b' * 100000)|length }}",
        ),
        ("join", "{{ (['a'] * 100000)|join('b' * 100000)|length }}"),
        (
            "join method",
            "{{ ('b' * 100000).join(['a'] * 100000)|length }}",
        ),
        ("indent", "{{ 'a'|indent(1000000000) }}"),
        (
            "indent of lines",
            "{{ ('\\n' * 1000000)|indent('x' * 1000000, true, true)|length }}",
        ),
        ("tojson indent", "{{ [1]|tojson(indent=1000000000) }}"),
        ("format", "{{ ('%s' * 100000)|format('x')|length }}"),
        (
            "format of a large value",
            "{% set x = 'x' * 1000000 %}{{ '{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}'.format(x)|length }}",
        ),
        ("power", "{{ 10 ** 1000000000 }}"),
        ("power of power", "{{ 2 ** 126 * 8 }}"),
        ("list of characters", "{{ ('a' * 10000000)|list|length }}"),
        ("split", "{{ ('a ' * 5000000).split()|length }}"),
        (
            "sort of long strings",
            "{% set x = 'a' * 1000000 %}{% set ns = namespace(l=[]) %}{{ ([x] * 100000)|sort|length }}",
        ),
        ("unique", "{{ range(100000)|unique|list|length }}"),
        (
            "search in a loop",
            "{% set x = 'a' * 4000000 %}{% for i in range(100000) %}{% if 'b' in x %}{% endif %}{% endfor %}",
        ),
        (
            "index in a loop",
            "{% set x = 'a' * 4000000 %}{% for i in range(100000) %}{% if x[3999999] == 'b' %}{% endif %}{% endfor %}",
        ),
        (
            "output",
            "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
        ),
        (
            "raw output",
            "{% for i in range(100000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
        ),
        ("map of map", "{{ [1]|map('map', 'map')|list }}"),
        ("strftime", "{{ strftime_now('%A' * 3000000)|length }}"),
        ("include", "{% include '/etc/passwd' %}"),
        ("import", "{% import '/etc/passwd' as p %}"),
        ("extends", "{% extends '/etc/passwd' %}"),
        (
            "class chain",
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        ),
        (
            "function globals",
            "{{ raise_exception.__globals__.os.system('id') }}",
        ),
        (
            "macro chain",
            "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__['x'].y }}",
        ),
        ("self", "{{ self._TemplateReference__context.environment }}"),
        ("cycler", "{{ cycler.__init__.__globals__ }}"),
        ("config", "{{ config.items() }}"),
        ("refusal", "{{ raise_exception('no\nway') }}"),
        ("syntax", "{% for %}"),
        ("unclosed", "{{ 'x"),
        ("lists in the source", &format!("{{{{ {nested_lists} }}}}")),
        ("sum in the source", &long_sum),
        ("attributes in the source", &long_dots),
        ("filters in the source", &long_filters),
        ("elifs in the source", &elifs),
        ("ifs in the source", &ifs),
        ("nots in the source", &nots),
        ("minuses in the source", &minus),
        ("size of the source", &"x".repeat(300 << 10)),
    ];
    for (name, source) in attacks {
        refused(name, || render(source));
    }
}

#[test]
fn a_template_reaches_only_what_it_is_given() {
    let probe = "{{ ''.__class__ is defined }}{{ messages.__class__ is defined }}{{ env is defined }}\
                 {{ open is defined }}{{ messages[0].content }}";
    assert_eq!(render(probe).unwrap(), "FalseFalseFalseFalsehello");
}

#[test]
fn conversations_are_bounded_too() {
    let tokenizer = tokenizer_with(&[]);
    let template = ChatTemplate::new("{{ messages|tojson }}", &tokenizer).unwrap();
    let render = |message: serde_json::Value| {
        let input = ChatInput {
            messages: vec![message],
            ..ChatInput::default()
        };
        template.render(&input, &Limits::default())
    };
    let mut deep = serde_json::json!(1);
    for _ in 0..200 {
        deep = serde_json::json!([deep]);
    }
    refused("deep content", || {
        render(serde_json::json!({"role": "user", "content": deep.clone()}))
    });
    for role in ["", "a b", "user|>\n<|system", "<s>", "ü"] {
        refused("role", || {
            render(serde_json::json!({"role": role, "content": "x"}))
        });
    }
    refused("no role", || render(serde_json::json!({"content": "x"})));
    refused("no object", || render(serde_json::json!("x")));
}

#[test]
fn a_long_conversation_is_within_the_limits() {
    let tokenizer = tokenizer_with(&["<|im_end|>"]);
    let source = "{% set ns = namespace(text='') %}{% for m in messages %}\
                  {% set ns.text = m.role ~ ': ' ~ m.content|trim ~ '\n' %}{{ ns.text }}{% endfor %}";
    let template = ChatTemplate::new(source, &tokenizer).unwrap();
    let message = serde_json::json!({"role": "user", "content": "<|im_end|> word ".repeat(300)});
    let input = ChatInput {
        messages: vec![message; 1000],
        ..ChatInput::default()
    };
    let text = template.render(&input, &Limits::default()).unwrap().text();
    assert!(text.len() > 4_000_000);
}

fn from_json(json: &str) -> Result<Tokenizer, Error> {
    Tokenizer::from_json_bytes(Path::new("tokenizer.json"), json.as_bytes())
}

fn model(vocab: &str, merges: &str) -> String {
    format!(r#"{{"model": {{"type": "BPE", "vocab": {vocab}, "merges": {merges}}}}}"#)
}

#[test]
fn hostile_tokenizer_files_are_refused() {
    let deep = format!(
        r#"{{"normalizer": {}"#,
        r#"{"type":"Sequence","normalizers":["#.repeat(100_000)
    );
    let deep_unknown = format!(r#"{{"x": {}"#, "[".repeat(100_000));
    let many_merges = model(
        r#"{"a":0,"aa":1}"#,
        &format!("[{}\"a a\"]", "\"a a\",".repeat(1_000_000)),
    );
    let many_tokens: String = (0..600_000).fold(String::new(), |mut all, i| {
        let _ = write!(all, "\"t{i}\":{i},");
        all
    });
    let many_tokens = model(&format!("{{{many_tokens}\"x\":9}}"), "[]");
    let many_added = format!(
        r#"{{"added_tokens": [{}null], "model": {{"vocab": {{}}, "merges": []}}}}"#,
        r#"{"id":1,"content":"a"},"#.repeat(70_000)
    );
    let many_steps = format!(
        r#"{{"normalizer": {{"type":"Sequence","normalizers":[{}null]}}, "model": {{"vocab": {{}}, "merges": []}}}}"#,
        r#"{"type":"NFC"},"#.repeat(100_000)
    );
    let pattern = |regex: &str| {
        format!(
            r#"{{"pre_tokenizer": {{"type":"Split","pattern":{{"Regex":{}}},"behavior":"Isolated"}},
                "model": {{"vocab": {{"a":0}}, "merges": []}}}}"#,
            serde_json::Value::from(regex)
        )
    };
    let attacks = [
        ("empty", String::new()),
        ("no object", "[]".to_owned()),
        ("deep", deep),
        ("deep and unknown", deep_unknown),
        ("a million merges", many_merges),
        ("a million tokens", many_tokens),
        ("many added tokens", many_added),
        ("many normalizers", many_steps),
        ("lone surrogate", model(r#"{"\ud800":0}"#, "[]")),
        ("id too large", model(r#"{"a":4294967295}"#, "[]")),
        ("id over 32 bits", model(r#"{"a":4294967296}"#, "[]")),
        ("negative id", model(r#"{"a":-1}"#, "[]")),
        ("same id twice", model(r#"{"a":0,"b":0}"#, "[]")),
        ("same token twice", model(r#"{"a":0,"a":1}"#, "[]")),
        (
            "long token",
            model(&format!("{{\"{}\":0}}", "a".repeat(100_000)), "[]"),
        ),
        ("merge of unknown tokens", model(r#"{"a":0}"#, r#"["a b"]"#)),
        (
            "merge that makes no token",
            model(r#"{"a":0,"b":1}"#, r#"["a b"]"#),
        ),
        ("merge without a space", model(r#"{"a":0}"#, r#"["aa"]"#)),
        (
            "merge of three",
            model(r#"{"a":0,"aaa":1}"#, r#"["a a a"]"#),
        ),
        ("merge as a number", model(r#"{"a":0}"#, "[1]")),
        (
            "no vocabulary",
            r#"{"model": {"type":"BPE","merges":[]}}"#.to_owned(),
        ),
        (
            "no merges",
            r#"{"model": {"type":"BPE","vocab":{"a":0}}}"#.to_owned(),
        ),
        (
            "unigram",
            r#"{"model": {"type":"Unigram","vocab":[["a",0]]}}"#.to_owned(),
        ),
        ("huge repetition", pattern("(?:a{1000}){1000}{1000}")),
        ("huge class repetition", pattern(r"(\p{L}{1,500}){1,500}")),
        ("broken regex", pattern("(")),
        (
            "nested regex",
            pattern(&format!("{}a{}", "(?:".repeat(5000), ")".repeat(5000))),
        ),
        ("long regex", pattern(&"a|".repeat(50_000))),
    ];
    for (name, json) in attacks {
        let error = refused(name, || from_json(&json));
        assert!(
            matches!(error, Error::Invalid { .. } | Error::Unsupported { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_catastrophic_pattern_is_an_error_and_never_wrong_tokens() {
    for regex in [
        r"(a+)+(?!a)b",
        r"(?:a|a)*(?=b)",
        r"(a*)*\1b",
        r"(?=(a+))\1b",
        r"(?:(?!b)a)+c(?!d)",
        r"a+(?!b)a+c",
        r"(?:a+b|a)+(?!a)c",
        r"(?=a+b)a",
        r"a[^b]*b|a",
    ] {
        let json = format!(
            r#"{{"pre_tokenizer": {{"type":"Split","pattern":{{"Regex":{}}},"behavior":"Isolated"}},
                "model": {{"vocab": {{"a":0,"b":1}}, "merges": []}}}}"#,
            serde_json::Value::from(regex)
        );
        let Ok(tokenizer) = from_json(&json) else {
            continue;
        };
        let start = Instant::now();
        let result = tokenizer.encode(&"a".repeat(100_000), Special::Ignore);
        let elapsed = start.elapsed();
        assert!(elapsed < SECOND, "{regex} took {elapsed:?}");
        match result {
            // Some of these are harmless for a clever engine; then all text must be there.
            Ok(ids) => assert_eq!(ids.len(), 100_000, "{regex}"),
            Err(e) => assert!(matches!(e, Error::Tokenizer { .. }), "{regex}: {e}"),
        }
    }
}

#[test]
fn hostile_gguf_vocabularies_are_refused() {
    let tokens = vec!["<unk>", "<s>", "a", "b", "ab"];
    let byte_level = GgufVocab {
        model: "gpt2",
        pre: Some("gpt-2"),
        tokens: tokens.clone(),
        ..GgufVocab::default()
    };
    let sentence_piece = GgufVocab {
        model: "llama",
        tokens: tokens.clone(),
        scores: vec![0.0; 5],
        ..GgufVocab::default()
    };
    let path = Path::new("model.gguf");
    assert!(Tokenizer::from_gguf_vocab(path, &byte_level).is_ok());
    assert!(Tokenizer::from_gguf_vocab(path, &sentence_piece).is_ok());
    let with = |base: &GgufVocab<'static>, change: fn(&mut GgufVocab<'static>)| {
        let mut vocab = base.clone();
        change(&mut vocab);
        vocab
    };
    let bytes = &sentence_piece;
    let attacks = [
        ("no tokens", with(&byte_level, |v| v.tokens.clear())),
        (
            "two million tokens",
            with(&byte_level, |v| v.tokens = vec!["a"; 2 << 20]),
        ),
        ("unknown model", with(&byte_level, |v| v.model = "rwkv")),
        (
            "unknown pre-tokenizer",
            with(&byte_level, |v| v.pre = Some("x\u{1b}[2J")),
        ),
        ("no pre-tokenizer", with(&byte_level, |v| v.pre = None)),
        (
            "begin token outside",
            with(&byte_level, |v| v.bos = Some(5)),
        ),
        (
            "end token outside",
            with(&byte_level, |v| v.eos = Some(u32::MAX)),
        ),
        (
            "fewer types",
            with(&byte_level, |v| v.token_types = vec![1; 4]),
        ),
        (
            "more types",
            with(&byte_level, |v| v.token_types = vec![1; 6]),
        ),
        (
            "type 0",
            with(&byte_level, |v| v.token_types = vec![1, 1, 0, 1, 1]),
        ),
        (
            "negative type",
            with(&byte_level, |v| v.token_types = vec![i32::MIN; 5]),
        ),
        (
            "merge outside",
            with(&byte_level, |v| v.merges = vec!["a c"]),
        ),
        (
            "merge to nothing",
            with(&byte_level, |v| v.merges = vec!["b a"]),
        ),
        (
            "merge without a space",
            with(&byte_level, |v| v.merges = vec!["ab"]),
        ),
        (
            "a million merges",
            with(&byte_level, |v| v.merges = vec!["a b"; 1_000_000]),
        ),
        ("no scores", with(bytes, |v| v.scores.clear())),
        ("fewer scores", with(bytes, |v| v.scores = vec![0.0; 4])),
        ("NaN score", with(bytes, |v| v.scores[2] = f32::NAN)),
        (
            "infinite score",
            with(bytes, |v| v.scores[2] = f32::INFINITY),
        ),
        (
            "byte token <0x-1>",
            with(bytes, |v| {
                v.tokens[4] = "<0x-1>";
                v.token_types = vec![1, 1, 1, 1, 6];
            }),
        ),
        (
            "byte token <0xZZ>",
            with(bytes, |v| {
                v.tokens[4] = "<0xZZ>";
                v.token_types = vec![1, 1, 1, 1, 6];
            }),
        ),
        (
            "byte token <0x+1>",
            with(bytes, |v| {
                v.tokens[4] = "<0x+1>";
                v.token_types = vec![1, 1, 1, 1, 6];
            }),
        ),
        (
            "oversized byte token",
            with(bytes, |v| {
                v.tokens[4] = "<0x00000000000000041>";
                v.token_types = vec![1, 1, 1, 1, 6];
            }),
        ),
    ];
    for (name, vocab) in attacks {
        refused(name, || Tokenizer::from_gguf_vocab(path, &vocab));
    }
    let long = "a".repeat(1 << 20);
    let mut vocab = byte_level.clone();
    vocab.tokens[4] = &long;
    refused("oversized token", || {
        Tokenizer::from_gguf_vocab(path, &vocab)
    });
}
