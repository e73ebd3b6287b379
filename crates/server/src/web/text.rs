//! Texts that people give: how long, and what may not stand in them.

use crate::error::{ApiError, ApiResult};

/// A text on one line, without blanks at its ends.
pub(super) fn line(field: &str, text: &str, chars_max: usize) -> ApiResult<String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > chars_max || text.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            field,
            format!("allowed are 1 to {chars_max} characters on one line"),
        ));
    }
    Ok(text.to_owned())
}

/// A text of any lines, perhaps empty.
pub(super) fn lines(field: &str, text: &str, bytes_max: usize) -> ApiResult<String> {
    if text.len() > bytes_max {
        return Err(ApiError::invalid(
            field,
            format!("allowed are {bytes_max} bytes"),
        ));
    }
    Ok(text.to_owned())
}

/// An address for mail, in small letters.
pub(super) fn email(field: &str, text: &str) -> ApiResult<String> {
    let text = text.trim().to_lowercase();
    let wrong = || ApiError::invalid(field, "allowed is an address such as ann@example.org");
    let (local, host) = text.split_once('@').ok_or_else(wrong)?;
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '<' | '>' | '"');
    if local.is_empty()
        || host.is_empty()
        || text.len() > 254
        || text.chars().filter(|&c| c == '@').count() != 1
        || local.contains(bad)
        || host.contains(bad)
    {
        return Err(wrong());
    }
    Ok(text)
}

/// An identity that a client chose.
pub(super) fn id(field: &str, text: &str) -> ApiResult<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(fine) {
        return Err(ApiError::invalid(
            field,
            "allowed are 1 to 64 letters, digits, - and _",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded() {
        assert_eq!(line("name", "  Ann ", 9).unwrap(), "Ann");
        for bad in ["", "  ", "a\nb", "0123456789", "a\u{0}"] {
            assert!(line("name", bad, 9).is_err(), "{bad:?}");
        }
        assert_eq!(
            email("email", " Ann@Example.org").unwrap(),
            "ann@example.org"
        );
        for bad in [
            "", "ann", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "<a@b>",
        ] {
            assert_eq!(email("email", bad).is_err(), bad != "a@b\n", "{bad:?}");
        }
        assert!(id("id", "0198-aZ_").is_ok());
        for bad in ["", "../x", "a b", "é"] {
            assert!(id("id", bad).is_err(), "{bad:?}");
        }
    }
}
