//! What kind of line begins here? Answered from as few characters as suffice.

/// A line's kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    Paragraph,
    Heading(usize),
    Item {
        indent: usize,
        marker: String,
    },
    Quote {
        depth: usize,
        rest: String,
    },
    /// Starts a fenced block, if the whole line agrees.
    Fence {
        mark: char,
        length: usize,
        indent: usize,
        language: String,
    },
    /// May be a row of a table.
    Row,
    /// A horizontal rule, if the whole line agrees.
    Rule,
}

const HEADING_LEVEL_MAX: usize = 6;
const NUMBER_DIGITS_MAX: usize = 9;

/// The kind of the line that begins with `head`; `None` while it depends on what follows. `whole`
/// says that the line ends here.
pub(super) fn classify(head: &str, whole: bool) -> Option<Kind> {
    let text = head.trim_start_matches([' ', '\t']);
    let indent = columns(&head[..head.len() - text.len()]);
    let Some(first) = text.chars().next() else {
        return whole.then_some(Kind::Blank);
    };
    let undecided = |kind: Kind| if whole { Some(kind) } else { None };
    let run = text.chars().take_while(|c| *c == first).count();
    let rest = &text[run * first.len_utf8()..];
    match first {
        '`' | '~' => {
            if run >= 3 {
                // A line of backticks inside a sentence is no fence.
                if first == '`' && rest.contains('`') {
                    return Some(Kind::Paragraph);
                }
                return Some(Kind::Fence {
                    mark: first,
                    length: run,
                    indent,
                    language: language(rest),
                });
            }
            if rest.is_empty() {
                return undecided(Kind::Paragraph);
            }
            Some(Kind::Paragraph)
        }
        '#' => match rest.chars().next() {
            _ if run > HEADING_LEVEL_MAX => Some(Kind::Paragraph),
            None => undecided(Kind::Paragraph),
            Some(' ') => Some(Kind::Heading(run)),
            Some(_) => Some(Kind::Paragraph),
        },
        '>' => quote(text, whole),
        '|' => Some(Kind::Row),
        '-' | '*' | '_' | '+' => {
            let bullet = first != '_' && run == 1 && rest.starts_with(' ');
            if run >= 3 && first != '+' && rest.trim().is_empty() {
                return if whole { Some(Kind::Rule) } else { None };
            }
            if bullet {
                return Some(Kind::Item {
                    indent,
                    marker: first.to_string(),
                });
            }
            if rest.is_empty() {
                return undecided(Kind::Paragraph);
            }
            Some(Kind::Paragraph)
        }
        '0'..='9' => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            if digits > NUMBER_DIGITS_MAX {
                return Some(Kind::Paragraph);
            }
            let mut after = text[digits..].chars();
            match (after.next(), after.next()) {
                (None, _) | (Some('.' | ')'), None) => undecided(Kind::Paragraph),
                (Some('.' | ')'), Some(' ')) => Some(Kind::Item {
                    indent,
                    marker: text[..=digits].to_owned(),
                }),
                _ => Some(Kind::Paragraph),
            }
        }
        _ => Some(Kind::Paragraph),
    }
}

/// `> > text`: decided at the first character that is neither a mark nor a space.
fn quote(text: &str, whole: bool) -> Option<Kind> {
    let mut depth = 0;
    let mut rest = text;
    while let Some(after) = rest.strip_prefix('>') {
        depth += 1;
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    (whole || !rest.is_empty()).then(|| Kind::Quote {
        depth,
        rest: rest.to_owned(),
    })
}

fn language(info: &str) -> String {
    info.trim()
        .chars()
        .take_while(|c| !c.is_whitespace() && *c != '{')
        .take(20)
        .collect()
}

/// Whether `line` closes a fence of `length` `mark`s.
pub(super) fn closes(line: &str, mark: char, length: usize) -> bool {
    let line = line.trim();
    line.chars().count() >= length && line.chars().all(|c| c == mark)
}

/// `line` with at most `indent` columns of its own indentation taken away.
pub(super) fn without_indent(line: &str, indent: usize) -> &str {
    let spaces = line.bytes().take(indent).take_while(|b| *b == b' ').count();
    &line[spaces..]
}

fn columns(blank: &str) -> usize {
    blank.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum()
}
