//! What a document is once it is read: its text, and where in it pages and headings begin.

use serde::{Deserialize, Serialize};

use crate::error::{DocumentError, Result};
use crate::{PAGES_MAX, TEXT_BYTES_MAX};

/// Characters of a heading that are kept.
const TITLE_CHARS_MAX: usize = 200;

/// Where a page begins.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct PageStart {
    /// Byte of the text.
    pub at: usize,
    /// Counted from 1.
    pub number: usize,
}

/// Where a section begins.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Heading {
    /// Byte of the text.
    pub at: usize,
    /// What the heading says.
    pub title: String,
}

/// A document's text.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Document {
    /// The text, in the order in which it is read.
    pub text: String,
    /// Where pages begin, ascending; none where the format has no pages.
    #[serde(default)]
    pub pages: Vec<PageStart>,
    /// Where sections begin, ascending.
    #[serde(default)]
    pub headings: Vec<Heading>,
    /// Every line is a record of a table whose names of columns are the first heading.
    #[serde(default)]
    pub is_table: bool,
}

impl Document {
    /// What holds for every document; also of what another process has written.
    pub(crate) fn check(self) -> Result<Self> {
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(DocumentError::TooMuchText {
                limit: TEXT_BYTES_MAX,
            });
        }
        if self.pages.len() > PAGES_MAX {
            return Err(DocumentError::TooManyPages {
                found: self.pages.len(),
                limit: PAGES_MAX,
            });
        }
        if self.text.trim().is_empty() {
            return Err(DocumentError::NoText);
        }
        let pages = self.pages.iter().map(|page| page.at);
        let headings = self.headings.iter().map(|heading| heading.at);
        if !self.holds(pages) || !self.holds(headings) {
            return Err(DocumentError::Damaged);
        }
        Ok(self)
    }

    /// Places of the text, none before the one before it.
    fn holds(&self, mut places: impl Iterator<Item = usize>) -> bool {
        let mut last = 0;
        places.all(|at| {
            let fine = at >= last && self.text.is_char_boundary(at);
            last = at;
            fine
        })
    }

    /// The page on which a byte of the text stands.
    pub fn page_at(&self, at: usize) -> Option<usize> {
        let after = self.pages.partition_point(|page| page.at <= at);
        let page = self.pages.get(after.checked_sub(1)?)?;
        Some(page.number)
    }

    /// The heading under which a byte of the text stands.
    pub fn heading_at(&self, at: usize) -> Option<&str> {
        let after = self.headings.partition_point(|heading| heading.at <= at);
        let heading = self.headings.get(after.checked_sub(1)?)?;
        Some(&heading.title)
    }
}

/// A heading's words on one line, without blanks at their ends and not longer than is kept.
pub(crate) fn title(text: &str) -> String {
    let mut title = String::new();
    for word in text.split_whitespace() {
        if !title.is_empty() {
            title.push(' ');
        }
        title.extend(
            word.chars()
                .filter(|c| !c.is_control())
                .take(TITLE_CHARS_MAX),
        );
        if title.len() > 4 * TITLE_CHARS_MAX {
            break;
        }
    }
    title.chars().take(TITLE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_wrong_ones_refused() {
        let document = Document {
            text: "aé\n\nb".to_owned(),
            pages: vec![
                PageStart { at: 0, number: 1 },
                PageStart { at: 5, number: 3 },
            ],
            headings: vec![Heading {
                at: 3,
                title: "b".to_owned(),
            }],
            is_table: false,
        };
        assert_eq!(document.page_at(4), Some(1));
        assert_eq!(document.page_at(5), Some(3));
        assert_eq!(document.heading_at(2), None);
        assert_eq!(document.heading_at(3), Some("b"));
        for at in [2, 99] {
            let mut wrong = document.clone();
            wrong.pages[1].at = at;
            assert_eq!(wrong.check(), Err(DocumentError::Damaged));
        }
        assert_eq!(
            Document::default().check().unwrap_err(),
            DocumentError::NoText
        );
        assert!(document.check().is_ok());
    }

    #[test]
    fn titles_are_short_and_on_one_line() {
        assert_eq!(title("  a\n\tb\u{7}  "), "a b");
        assert_eq!(title(&"x ".repeat(9999)).chars().count(), TITLE_CHARS_MAX);
        assert_eq!(title(&"é".repeat(9999)).chars().count(), TITLE_CHARS_MAX);
    }
}
