//! What Markdown looks like in a terminal.

use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::Renderer;

fn render(text: &str, width: usize) -> String {
    let mut renderer = Renderer::new(width, true);
    renderer.push(text) + &renderer.finish()
}

/// The text without style sequences.
fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}

fn shown(text: &str) -> String {
    bare(&render(text, 40))
}

#[test]
fn marks_become_styles() {
    assert_eq!(render("a **b** c\n", 40), "a \x1b[0;1mb\x1b[0m c\n");
    assert_eq!(
        render("*i* `c` ~~s~~\n", 40),
        "\x1b[0;3mi\x1b[0m \x1b[0;33mc\x1b[0m \x1b[0;9ms\x1b[0m\n"
    );
    assert_eq!(
        shown("2*3*4 snake_case_name a * b"),
        "2*3*4 snake_case_name a * b\n"
    );
    assert_eq!(shown("\\*not\\* `a*b*` ``x`y``"), "*not* a*b* x`y\n");
}

#[test]
fn links_show_their_target() {
    assert_eq!(
        shown("see [docs](https://a.b/c_(d)) now"),
        "see docs (https://a.b/c_(d)) now\n"
    );
    assert_eq!(shown("[https://a.b](https://a.b)"), "https://a.b\n");
    assert_eq!(
        shown("a[0] = [1, 2] and [x] (y)"),
        "a[0] = [1, 2] and [x] (y)\n"
    );
    assert_eq!(shown("[[[ [**b**"), "[[[ [b\n");
}

#[test]
fn blocks_are_set_apart() {
    assert_eq!(
        shown("# Title\ntext\n\n\n\nmore"),
        "Title\n\ntext\n\nmore\n"
    );
    assert_eq!(
        shown("- one\n- two\n  - three\n"),
        "• one\n• two\n  • three\n"
    );
    assert_eq!(
        shown("1. one\n2) two\n10. ten"),
        "1. one\n2) two\n10. ten\n"
    );
    assert_eq!(shown("> quoted\n> > twice"), "│ quoted\n│ │ twice\n");
    assert_eq!(
        shown("a\n\n---\n\nb"),
        format!("a\n\n{}\n\nb\n", "─".repeat(40))
    );
    assert_eq!(shown("**bold** start\n***x***"), "bold start\nx\n");
}

#[test]
fn code_is_kept_as_it_is() {
    let code = "```rust\nfn main() { let x = \"a  b\"; } // **no**\n\n  # indented\n```\nafter";
    let out = shown(code);
    assert!(out.starts_with("── rust ─"), "{out}");
    assert!(
        out.contains("\nfn main() { let x = \"a  b\"; } // **no**\n\n  # indented\n"),
        "{out}"
    );
    assert!(out.ends_with("─\n\nafter\n"), "{out}");
    // An unclosed block ends with the answer.
    assert!(shown("```\nx").ends_with('\n'));
}

#[test]
fn long_lines_wrap_under_their_item() {
    let out = bare(&render("- alpha beta gamma delta\n", 14));
    assert_eq!(out, "• alpha beta\n  gamma delta\n");
    let out = bare(&render("> alpha beta gamma", 12));
    assert_eq!(out, "│ alpha beta\n│ gamma\n");
    let wide = bare(&render(&"漢".repeat(10), 8));
    assert_eq!(wide, "漢漢漢漢\n漢漢漢漢\n漢漢\n");
}

#[test]
fn tables_stand_in_columns() {
    let out = shown("| a | b |\n|---|:-:|\n| **x** | y\\|z |\n| long | 漢 |\n\nend");
    assert_eq!(out, "a    │ b\n─────┼────\nx    │ y|z\nlong │ 漢\n\nend\n");
    assert_eq!(shown("| not a table\nnext"), "| not a table\nnext\n");
}

#[test]
fn controls_never_pass() {
    for rich in [true, false] {
        let mut renderer = Renderer::new(40, rich);
        let out = renderer.push("a\x1b[2Jb\x1b]52;c;ZQ==\x07\u{9b}1mc\r\x08") + &renderer.finish();
        assert!(
            !out.contains('\x1b') && !out.contains('\x07') && !out.contains('\u{9b}'),
            "{out:?}"
        );
    }
}

#[test]
fn plain_text_is_the_text() {
    let mut renderer = Renderer::new(40, false);
    assert_eq!(renderer.push("**a** `b`"), "**a** `b`");
    assert_eq!(renderer.finish(), "\n");
}

/// Text that is rich in marks.
fn markdown() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        "[a-z]{1,12}",
        Just(" ".to_owned()),
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("漢字".to_owned()),
        "[*_~`#>|\\[\\]()!\\\\.0-9-]{1,4}",
        Just("```rust\n".to_owned()),
        Just("\n```\n".to_owned()),
        Just("| a | b |\n|---|---|\n".to_owned()),
        Just("[x](http://y)".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn the_cut_of_the_stream_does_not_show(
        text in markdown(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        width in 10usize..60,
    ) {
        let whole = render(&text, width);
        let bounds: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|c| *c.get(&bounds)).collect();
        cuts.sort_unstable();
        let mut renderer = Renderer::new(width, true);
        let mut pieces = String::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            pieces += &renderer.push(&text[from..cut]);
            from = cut;
        }
        pieces += &renderer.finish();
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn words_are_kept_in_order(words in proptest::collection::vec("[a-z]{1,8}", 1..40), marks in "[ *_`>#\\n-]{1,3}", width in 10usize..60) {
        let text = words.join(&marks);
        let letters = |s: &str| s.chars().filter(char::is_ascii_lowercase).collect::<String>();
        prop_assert_eq!(letters(&bare(&render(&text, width))), letters(&text));
    }

    #[test]
    fn lines_fit_the_page(words in proptest::collection::vec("[a-z漢]{1,30}|\\*\\*[a-z]{1,9}\\*\\*|- |\n", 1..40), width in 12usize..60) {
        let out = bare(&render(&words.join(" "), width));
        for line in out.lines() {
            prop_assert!(line.width() <= width, "{:?}", line);
        }
    }
}
