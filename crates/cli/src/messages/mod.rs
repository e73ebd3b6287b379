//! Everything the program says, in English and Indonesian. A message is a variant with its values;
//! the table in `catalogue.rs` of this folder gives both texts, and the compiler refuses a variant
//! that lacks one. Texts of errors follow the house form: what happened, where, what to do next;
//! lower case, no full stop.

mod table;

use std::sync::OnceLock;

pub(crate) use table::Msg;

/// A language of the program's own messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Lang {
    /// English.
    #[default]
    En,
    /// Indonesian.
    Id,
}

static LANG: OnceLock<Lang> = OnceLock::new();

impl Lang {
    /// Sets the language of the process, as `setlocale` would; the first call counts.
    pub(crate) fn set(self) {
        let _ = LANG.set(self);
    }

    /// The language of the process.
    pub(crate) fn current() -> Self {
        LANG.get().copied().unwrap_or_default()
    }

    /// The language that the environment asks for, by POSIX's order of precedence.
    pub(crate) fn from_environment() -> Self {
        ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty())
            .map_or(Self::En, |value| Self::from_locale(&value))
    }

    fn from_locale(locale: &str) -> Self {
        let language = locale.split(['_', '.', '@', '-']).next().unwrap_or("");
        // `in` is the code that Indonesian had before 1989 and that old systems still send.
        if matches!(language, "id" | "in" | "ind") {
            Self::Id
        } else {
            Self::En
        }
    }
}

impl std::fmt::Display for Msg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text(Lang::current()))
    }
}

/// A size for people: `98.4 MB`, with a comma in Indonesian.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let text = if unit == 0 {
        format!("{bytes}")
    } else if value < 9.995 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    };
    let text = match Lang::current() {
        Lang::En => text,
        Lang::Id => text.replace('.', ","),
    };
    format!("{text} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::table::TEXTS;
    use super::*;

    fn placeholders(text: &str) -> std::collections::BTreeSet<&str> {
        text.split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .filter(|name| !name.is_empty())
            .collect()
    }

    #[test]
    fn every_message_stands_in_both_languages_with_the_same_values() {
        for (name, en, id) in TEXTS {
            assert!(!en.trim().is_empty() && !id.trim().is_empty(), "{name}");
            assert_eq!(placeholders(en), placeholders(id), "{name}");
            assert!(
                !en.contains("please") && !en.ends_with('.'),
                "{name}: house form"
            );
            assert!(!id.ends_with('.'), "{name}: house form");
        }
    }

    #[test]
    fn the_locale_chooses_the_language() {
        for (locale, lang) in [
            ("id_ID.UTF-8", Lang::Id),
            ("id", Lang::Id),
            ("in_ID", Lang::Id),
            ("en_US.UTF-8", Lang::En),
            ("C", Lang::En),
            ("idx_XX", Lang::En),
            ("", Lang::En),
        ] {
            assert_eq!(Lang::from_locale(locale), lang, "{locale}");
        }
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(98_362_432), "98.4 MB");
        assert_eq!(human_bytes(1_117_320_768), "1.12 GB");
        assert_eq!(human_bytes(999_999), "1.00 MB");
    }
}
