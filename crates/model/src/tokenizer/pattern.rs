//! Patterns of normalizers and pre-tokenizers.
//!
//! A regular expression comes from a model file and may be made to run without end. Those without
//! look-around run in linear time; for the others, each search is tried at one place only, with few
//! backtracks, and what could be slow without backtracking is refused when the file is read. A time
//! limit that depends on the text's length stands behind all this. Going over any of these is an
//! error, never a wrong split.

use crate::{Error, Result};
use fancy_regex::{Expr, Regex, RegexBuilder};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 16 << 10;
/// Most memory of a compiled part of one.
const REGEX_MEMORY_MAX: usize = 4 << 20;
/// Backtracks of one match before it is given up; real patterns need one or two.
const BACKTRACKS_MAX: usize = 5_000;
/// A repetition of more than this counts as one without end.
const REPEAT_MAX: usize = 64;
/// Deepest nesting of groups.
const DEPTH_MAX: usize = 100;
/// Time that matching may take: a fixed part and one for each byte of text. Real patterns need about
/// a twentieth.
const TIME_BASE: Duration = Duration::from_millis(200);
const NANOS_PER_BYTE: u64 = 5_000;

/// What a step looks for.
#[derive(Debug)]
pub(super) enum Pattern {
    Literal(String),
    /// Searched for in linear time.
    Linear(Box<Regex>),
    /// With look-around: matches at the place where the search begins, with nothing if need be.
    InPlace(Box<Regex>),
}

/// A time by which matching has to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn for_text(text: &str) -> Self {
        let per_byte = Duration::from_nanos(NANOS_PER_BYTE.saturating_mul(text.len() as u64));
        Self(Instant::now() + TIME_BASE + per_byte)
    }

    fn check(self) -> Result<()> {
        if Instant::now() > self.0 {
            return Err(Error::Tokenizer {
                reason: "the pre-tokenizer's pattern takes too long on this text".to_owned(),
            });
        }
        Ok(())
    }
}

/// What an expression contains.
#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    looks_around: bool,
    repeats: bool,
}

impl Pattern {
    /// Compiles a regular expression that came from `path`.
    pub(super) fn regex(path: &Path, field: &str, source: &str) -> Result<Self> {
        let invalid = |found: String| Error::invalid(path, field, found, "a regular expression");
        if source.len() > REGEX_BYTES_MAX {
            let found = format!("one of {} bytes", source.len());
            let allowed = format!("a regular expression of at most {REGEX_BYTES_MAX} bytes");
            return Err(Error::invalid(path, field, found, allowed));
        }
        let tree = Expr::parse_tree(source).map_err(|e| invalid(format!("{source}: {e}")))?;
        let traits = traits(&tree.expr, 0).map_err(|reason| {
            Error::unsupported(
                path,
                field,
                format!("{reason} in {source}"),
                "look-around of bounded length, no references to groups",
            )
        })?;
        let build = |source: &str| {
            RegexBuilder::new(source)
                .backtrack_limit(BACKTRACKS_MAX)
                .delegate_size_limit(REGEX_MEMORY_MAX)
                .delegate_dfa_size_limit(REGEX_MEMORY_MAX)
                .build()
                .map(Box::new)
                .map_err(|e| invalid(format!("{source}: {e}")))
        };
        Ok(if traits.looks_around {
            // The empty alternative keeps a failure from being searched for further on.
            Self::InPlace(build(&format!(r"\G(?:{source}|)"))?)
        } else {
            Self::Linear(build(source)?)
        })
    }

    /// Calls `on_match` with each match in turn; none is empty and no two overlap.
    pub(super) fn each_match(
        &self,
        text: &str,
        deadline: Deadline,
        mut on_match: impl FnMut(Range<usize>),
    ) -> Result<()> {
        const MATCHES_PER_CHECK: usize = 16;
        let fails = |e: fancy_regex::Error| Error::Tokenizer {
            reason: format!("the pre-tokenizer's pattern fails on this text: {e}"),
        };
        match self {
            Self::Literal(literal) if literal.is_empty() => {}
            Self::Literal(literal) => {
                for (start, found) in text.match_indices(literal.as_str()) {
                    on_match(start..start + found.len());
                }
            }
            Self::Linear(regex) => {
                for (i, found) in regex.find_iter(text).enumerate() {
                    if i % MATCHES_PER_CHECK == 0 {
                        deadline.check()?;
                    }
                    let found = found.map_err(fails)?;
                    if found.start() < found.end() {
                        on_match(found.range());
                    }
                }
            }
            Self::InPlace(regex) => {
                let mut place = 0;
                let mut tries = 0;
                while place < text.len() {
                    if tries % MATCHES_PER_CHECK == 0 {
                        deadline.check()?;
                    }
                    tries += 1;
                    match regex.find_from_pos(text, place).map_err(fails)? {
                        Some(found) if found.end() > place && found.start() == place => {
                            on_match(found.range());
                            place = found.end();
                        }
                        _ => place += text[place..].chars().next().map_or(1, char::len_utf8),
                    }
                }
            }
        }
        Ok(())
    }
}

/// What `expr` contains; `Err` says what of it could be slow in ways that cannot be bounded.
fn traits(expr: &Expr, depth: usize) -> std::result::Result<Traits, &'static str> {
    if depth > DEPTH_MAX {
        return Err("groups nested too deep");
    }
    let of_all = |parts: &[Expr]| {
        parts.iter().try_fold(Traits::default(), |all, part| {
            let part = traits(part, depth + 1)?;
            Ok(Traits {
                looks_around: all.looks_around | part.looks_around,
                repeats: all.repeats | part.repeats,
            })
        })
    };
    match expr {
        Expr::Empty | Expr::Any { .. } | Expr::Literal { .. } | Expr::Delegate { .. } => {
            Ok(Traits::default())
        }
        // Word boundaries and line ends look one character ahead; they are not searched for.
        Expr::Assertion(_) => Ok(Traits {
            looks_around: true,
            repeats: false,
        }),
        Expr::Concat(parts) | Expr::Alt(parts) => of_all(parts),
        Expr::Group(inner) => traits(inner, depth + 1),
        Expr::AtomicGroup(inner) => Ok(Traits {
            looks_around: true,
            ..traits(inner, depth + 1)?
        }),
        Expr::LookAround(inner, _) => {
            if traits(inner, depth + 1)?.repeats {
                return Err("look-around without end");
            }
            Ok(Traits {
                looks_around: true,
                repeats: false,
            })
        }
        Expr::Repeat { child, hi, .. } => {
            let inner = traits(child, depth + 1)?;
            let repeats = *hi > REPEAT_MAX;
            if repeats && inner.repeats && inner.looks_around {
                return Err("look-around in a repetition of repetitions");
            }
            Ok(Traits {
                looks_around: inner.looks_around,
                repeats: repeats || inner.repeats,
            })
        }
        _ => Err("a reference or condition"),
    }
}
