use super::*;
use crate::words::words;

/// A page as people write them.
fn good() -> String {
    "The ferry to the smaller islands leaves at seven, when the fishing boats have come back and the market is \
     already full. Most passengers carry baskets of fruit, live chickens or boxes tied with string.\n\
     An old conductor walks between the benches and asks where each of them wants to get off. He never writes \
     anything down, yet nobody has been forgotten in thirty years of service.\n\
     Around noon the wind usually turns, and the captain chooses a longer course behind the reef. Children who \
     were asleep wake up then, because waves begin to drum against the wooden hull.\n\
     Travellers from the capital often worry that they will miss their connection, but there is always somebody \
     at the pier with a motorbike and enough time for another cup of coffee.\n"
        .to_owned()
}

fn broken(text: &str, set: &str) -> Option<&'static str> {
    let mut found = Vec::new();
    words(text, &mut found);
    Rules::named(&[set])
        .unwrap()
        .broken(text, &found, &mut Runs::default())
}

#[test]
fn ordinary_text_passes_all_rules() {
    for set in ["gopher", "repetition", "fineweb", "c4"] {
        assert_eq!(broken(&good(), set), None, "{set}");
    }
}

#[test]
fn each_rule_is_broken_by_what_it_is_about() {
    let good = good();
    let word = |i: usize| format!("{}{}", ["alpha", "beta", "gamma"][i % 3], i);
    let many = |n: usize| (0..n).map(word).collect::<Vec<_>>();
    for (text, expected) in [
        ("too short".to_owned(), "gopher_word_count"),
        ("a b c d ".repeat(20), "gopher_word_length"),
        (good.clone() + &"# ".repeat(40), "gopher_symbols"),
        (
            format!("- the and {}", many(60).join("\n- ")),
            "gopher_bullets",
        ),
        (
            format!("the and {}...", many(60).join("...\nx ")),
            "gopher_symbols",
        ),
        (
            format!("the and of {}", "1234 ".repeat(80)),
            "gopher_letters",
        ),
        (many(60).join(" "), "gopher_stop_words"),
        (
            format!("{good}{}", "the same line again\n".repeat(12)),
            "repetition_lines",
        ),
        ("one and two. ".repeat(30), "repetition_top_gram"),
        (
            format!("{} {}", many(30).join(" "), many(30).join(" ")),
            "repetition_grams",
        ),
        (many(60).join("\n"), "fineweb_line_ends"),
        (format!("{}.", many(60).join(".\n")), "fineweb_short_lines"),
        (good.clone() + "Lorem Ipsum dolor.", "c4_placeholder"),
        (good.clone() + "fn x() {", "c4_code"),
        (good.clone() + "Enable JavaScript.", "c4_script"),
        (good.clone() + "See our Privacy Policy.", "c4_policy"),
        ("One. Two".to_owned(), "c4_sentences"),
    ] {
        let rule = RULES.iter().find(|rule| rule.name == expected).unwrap();
        assert_eq!(broken(&text, rule.set), Some(expected), "{text}");
        assert_eq!(broken(&text, expected), Some(expected), "{text}");
    }
    let unknown = Rules::named(&["gopher", "nothing"]);
    assert_eq!(unknown, Err("nothing".to_owned()));
    assert!(RULES.len() <= 32);
}

#[test]
fn nothing_is_too_small_for_a_rule() {
    for text in ["", " ", "\n\n", "a", "…", "- "] {
        for rule in RULES {
            let _ = broken(text, rule.name);
        }
    }
}
