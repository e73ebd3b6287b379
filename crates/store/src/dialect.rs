//! What the two databases say differently: types of columns, full-text search, and where a row is
//! locked. Everything else is one text for both.

/// The kind of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Dialect {
    /// A migration's text with this dialect's types, and without the parts that are the other's:
    /// lines between `--{sqlite` or `--{postgres` and `--}`.
    pub(crate) fn migration(self, text: &str) -> String {
        let (serial, bytes, own) = match self {
            Self::Sqlite => ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB", "sqlite"),
            Self::Postgres => (
                "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                "BYTEA",
                "postgres",
            ),
        };
        let mut taken = String::with_capacity(text.len());
        let mut skip = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("--{") {
                skip = name != own;
            } else if line == "--}" {
                skip = false;
            } else if !skip {
                taken.push_str(line);
                taken.push('\n');
            }
        }
        taken.replace("SERIAL_KEY", serial).replace("BYTES", bytes)
    }

    /// Appended to a query whose rows are changed later in the same transaction. SQLite has one
    /// writer anyway.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Whether a text holds another, each an expression.
    pub(crate) fn contains(self, text: &str, part: &str) -> String {
        match self {
            Self::Sqlite => format!("INSTR({text}, {part}) > 0"),
            Self::Postgres => format!("POSITION({part} IN {text}) > 0"),
        }
    }

    /// The query of the full-text index for words, all of which must occur, the last as a beginning.
    pub(crate) fn match_words(self, words: &[String]) -> String {
        let last = words.len().saturating_sub(1);
        let words = words.iter().enumerate();
        match self {
            Self::Sqlite => {
                let quoted = words.map(|(index, word)| {
                    let star = if index == last { "*" } else { "" };
                    format!("\"{}\"{star}", word.replace('"', ""))
                });
                quoted.collect::<Vec<_>>().join(" AND ")
            }
            Self::Postgres => {
                let quoted = words.map(|(index, word)| {
                    let star = if index == last { ":*" } else { "" };
                    format!("'{}'{star}", word.replace(['\'', '\\'], ""))
                });
                quoted.collect::<Vec<_>>().join(" & ")
            }
        }
    }

    /// The query of the full-text index for words, one of which must occur; those that are marked as
    /// beginnings stand for every word that begins so.
    pub(crate) fn match_any(self, words: &[(String, bool)]) -> String {
        let words = words.iter();
        match self {
            Self::Sqlite => {
                let quoted = words.map(|(word, begins)| {
                    let star = if *begins { "*" } else { "" };
                    format!("\"{}\"{star}", word.replace('"', ""))
                });
                quoted.collect::<Vec<_>>().join(" OR ")
            }
            Self::Postgres => {
                let quoted = words.map(|(word, begins)| {
                    let star = if *begins { ":*" } else { "" };
                    format!("'{}'{star}", word.replace(['\'', '\\'], ""))
                });
                quoted.collect::<Vec<_>>().join(" | ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_holds_its_own_parts_and_types() {
        let text = "CREATE TABLE a (id SERIAL_KEY, b BYTES);\n--{sqlite\nS;\n--}\n--{postgres\nP;\n--}\nC;\n";
        let sqlite = Dialect::Sqlite.migration(text);
        assert!(
            sqlite.contains("BLOB") && sqlite.ends_with("S;\nC;\n"),
            "{sqlite}"
        );
        let postgres = Dialect::Postgres.migration(text);
        assert!(
            postgres.contains("BYTEA") && postgres.ends_with("P;\nC;\n"),
            "{postgres}"
        );
    }

    #[test]
    fn words_are_quoted() {
        let words = ["a\"b".to_owned(), "c'd\\".to_owned()];
        assert_eq!(Dialect::Sqlite.match_words(&words), "\"ab\" AND \"c'd\\\"*");
        assert_eq!(Dialect::Postgres.match_words(&words), "'a\"b' & 'cd':*");
    }
}
