//! Stop strings across token boundaries.
//!
//! The answer ends before the stop string that is complete first; of those complete at the same
//! place, the longest counts. So the result does not depend on how the text was split into tokens.
//! Text that may be the beginning of a stop string is held back until it cannot be; never more than
//! the longest stop string.

/// Looks for stop strings in a text that arrives in pieces.
#[derive(Clone, Debug)]
pub struct StopMatcher {
    stops: Vec<String>,
    /// Text that is a proper beginning of a stop string.
    held: String,
}

/// What a piece of text has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Text that no stop string can take back any more.
    pub text: String,
    /// A stop string is complete: nothing after `text` belongs to the answer.
    pub stopped: bool,
}

impl StopMatcher {
    /// A matcher for `stops`; empty strings among them never match.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// Takes the next piece of text. After `stopped`, further pieces are the caller's mistake.
    pub fn push(&mut self, piece: &str) -> Released {
        let mut text = std::mem::take(&mut self.held);
        text.push_str(piece);
        let first_complete = self
            .stops
            .iter()
            .filter_map(|stop| text.find(stop).map(|start| (start + stop.len(), start)))
            .min();
        if let Some((_, start)) = first_complete {
            text.truncate(start);
            return Released {
                text,
                stopped: true,
            };
        }
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let earliest = text.len().saturating_sub(longest);
        let held_from = (earliest..text.len())
            .filter(|&start| text.is_char_boundary(start))
            .find(|&start| {
                self.stops
                    .iter()
                    .any(|stop| stop.starts_with(&text[start..]))
            })
            .unwrap_or(text.len());
        self.held = text.split_off(held_from);
        Released {
            text,
            stopped: false,
        }
    }

    /// The text has ended: gives what was held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[String], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops.to_vec());
        let mut answer = String::new();
        for piece in pieces {
            let released = matcher.push(piece);
            answer.push_str(&released.text);
            if released.stopped {
                assert_eq!(matcher.finish(), "");
                return (answer, true);
            }
        }
        answer.push_str(&matcher.finish());
        (answer, false)
    }

    fn strings(stops: &[&str]) -> Vec<String> {
        stops.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn across_pieces() {
        let stops = strings(&["</s>", "User:"]);
        assert_eq!(
            run(&stops, &["Hi <", "/", "s", "> more"]),
            ("Hi ".into(), true)
        );
        assert_eq!(run(&stops, &["a Us", "e me"]), ("a Use me".into(), false));
        assert_eq!(run(&stops, &["ends in </s"]), ("ends in </s".into(), false));
    }

    #[test]
    fn holds_back_only_what_may_stop() {
        let mut matcher = StopMatcher::new(strings(&["\n\n"]));
        assert_eq!(matcher.push("a\n").text, "a");
        assert_eq!(matcher.push("b").text, "\nb");
    }

    #[test]
    fn the_first_complete_stop_counts_and_then_the_longest() {
        assert_eq!(
            run(&strings(&["abcd", "bc"]), &["xabcd"]),
            ("xa".into(), true)
        );
        assert_eq!(run(&strings(&["bc", "abc"]), &["xabc"]), ("x".into(), true));
    }

    /// The definition, on the whole text.
    fn in_whole_text(stops: &[String], text: &str) -> (String, bool) {
        for end in 0..=text.len() {
            let ends_here = stops
                .iter()
                .filter(|stop| text.as_bytes()[..end].ends_with(stop.as_bytes()));
            if let Some(longest) = ends_here.map(String::len).max() {
                return (text[..end - longest].to_string(), true);
            }
        }
        (text.to_string(), false)
    }

    proptest! {
        #[test]
        fn any_split_is_as_the_whole(
            text in "[abé🦀]{0,24}",
            stops in prop::collection::vec("[abé🦀]{1,4}", 0..4),
            cuts in prop::collection::vec(any::<bool>(), 24),
        ) {
            let mut pieces = vec![String::new()];
            for (c, cut) in text.chars().zip(cuts) {
                pieces.last_mut().unwrap().push(c);
                if cut {
                    pieces.push(String::new());
                }
            }
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(run(&stops, &pieces), in_whole_text(&stops, &text));
        }
    }
}
