//! What a function of `LibreOffice` does, as a page of its help begins: the heading, and the sentence that the help
//! itself marks as the short description (`class="avis"`).

use super::{pair, typed};
use crate::document::{self, Document};
use crate::language;

/// Questions about the page, in the language that its path names.
pub(super) fn documents(name: &str, page: &str) -> Vec<Document> {
    let Some((title, answer)) = described(page) else {
        return Vec::new();
    };
    let is_indonesian = name.contains("/id/");
    let found = language::detect(&answer).map(language::name);
    // Not all pages were translated.
    if found
        .is_some_and(|found| (found == "id") != is_indonesian && (found == "en") == is_indonesian)
    {
        return Vec::new();
    }
    let questions = if is_indonesian {
        [
            format!("Apa fungsi {title} di LibreOffice?"),
            format!("Apa kegunaan {title} di LibreOffice?"),
        ]
    } else {
        [
            format!("What does {title} do in LibreOffice?"),
            format!("What is {title} for in LibreOffice?"),
        ]
    };
    let each = questions
        .iter()
        .flat_map(|q| [pair(q, &answer), pair(&typed(q), &answer)]);
    each.collect()
}

/// The heading and the first sentence of the description, where both are short enough to be asked for.
fn described(page: &str) -> Option<(String, String)> {
    let between = |text: &'_ str, open: &str, close: &str| -> Option<String> {
        let start = text.find(open)?;
        let rest = &text[start..];
        let inner = &rest[rest.find('>')? + 1..];
        let inner = &inner[..inner.find(close)?];
        let text = document::of_html(inner.as_bytes()).ok()?.text;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let title = between(page, "<h1", "</h1>")?;
    let start = page.find("class=\"avis\"")?;
    let description = between(&page[start..], "class=\"avis\"", "</p>")?;
    let end = description
        .find(". ")
        .map_or(description.len(), |end| end + 1);
    let answer = description[..end].to_owned();
    let fits = (3..=30).contains(&title.len())
        && (20..=140).contains(&answer.len())
        && answer.ends_with('.')
        && title
            .chars()
            .all(|c| c.is_alphanumeric() || " -&".contains(c));
    fits.then_some((title, answer))
}
