//! Light colouring of code: comments, strings, numbers and words that most languages reserve. One
//! line at a time and without state, so it is cheap and can stream; what it misses stays plain.

use super::style::{DIM, RESET};

const STRING: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[36m";
const KEYWORD: &str = "\x1b[35m";

const KEYWORDS: &[&str] = &[
    "and",
    "as",
    "async",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "def",
    "default",
    "do",
    "elif",
    "else",
    "enum",
    "except",
    "export",
    "extends",
    "false",
    "False",
    "finally",
    "fn",
    "for",
    "from",
    "func",
    "function",
    "go",
    "if",
    "impl",
    "import",
    "in",
    "interface",
    "is",
    "lambda",
    "let",
    "loop",
    "match",
    "mod",
    "mut",
    "new",
    "nil",
    "None",
    "not",
    "null",
    "or",
    "package",
    "pass",
    "private",
    "pub",
    "public",
    "raise",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "switch",
    "this",
    "throw",
    "trait",
    "true",
    "True",
    "try",
    "type",
    "use",
    "var",
    "void",
    "where",
    "while",
    "with",
    "yield",
    "SELECT",
    "FROM",
    "WHERE",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "JOIN",
    "ORDER",
    "GROUP",
    "BY",
    "AND",
    "OR",
    "NOT",
    "NULL",
];

/// Languages in which colouring would mislead.
const PROSE: &[&str] = &[
    "text",
    "txt",
    "plain",
    "plaintext",
    "markdown",
    "md",
    "output",
    "diff",
];

/// `code`, one line without its end, coloured.
pub(super) fn line(code: &str, language: &str) -> String {
    let language = language.to_ascii_lowercase();
    if PROSE.contains(&language.as_str()) {
        return code.to_owned();
    }
    let comment = comment_marks(&language);
    let mut out = String::with_capacity(code.len() + 32);
    let mut rest = code;
    let mut previous = ' ';
    while let Some(c) = rest.chars().next() {
        // A mark inside a word is none, as in `a#b` and `http://`.
        let separate =
            previous.is_whitespace() || previous == ';' || previous == ')' || previous == '}';
        if separate && comment.iter().any(|mark| rest.starts_with(mark)) {
            out.extend([DIM, rest, RESET]);
            return out;
        }
        let (length, colour) = token(c, rest, previous);
        let (text, after) = rest.split_at(length);
        match colour {
            Some(colour) => out.extend([colour, text, RESET]),
            None => out.push_str(text),
        }
        previous = text.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    out
}

/// Length and colour of the token that begins with `c`.
fn token(c: char, rest: &str, previous: char) -> (usize, Option<&'static str>) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let length = |accept: &dyn Fn(char) -> bool| {
        rest.char_indices()
            .find(|(_, c)| !accept(*c))
            .map_or(rest.len(), |(i, _)| i)
    };
    match c {
        '"' | '\'' | '`' if !word(previous) => match string_end(rest, c) {
            Some(end) => (end, Some(STRING)),
            None => (1, None),
        },
        '0'..='9' if !word(previous) => (length(&|c| word(c) || c == '.'), Some(NUMBER)),
        c if word(c) => {
            let end = length(&word);
            (end, KEYWORDS.contains(&&rest[..end]).then_some(KEYWORD))
        }
        c => (c.len_utf8(), None),
    }
}

/// End of the string that opens `rest`, if it closes in this line.
fn string_end(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return Some(index + c.len_utf8());
        }
    }
    None
}

fn comment_marks(language: &str) -> &'static [&'static str] {
    match language {
        "python" | "py" | "sh" | "bash" | "shell" | "zsh" | "ruby" | "rb" | "yaml" | "yml"
        | "toml" | "r" | "perl" | "make" | "makefile" | "dockerfile" | "elixir" => &["#"],
        "sql" | "lua" | "haskell" | "hs" | "ada" => &["--"],
        "lisp" | "clojure" | "scheme" | "ini" | "asm" => &[";"],
        "html" | "xml" | "css" | "json" => &["/*", "<!--"],
        "" => &[],
        _ => &["//", "/*"],
    }
}
