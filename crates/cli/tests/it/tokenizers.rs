//! `terang tokenizer train`.

use serde_json::Value;

use crate::support::Place;

#[test]
fn a_tokenizer_is_made_from_text_and_told() {
    let place = Place::new();
    let (text, out) = (place.path("text.txt"), place.path("tokenizer.json"));
    std::fs::write(
        &text,
        "a low tide, a lower tide and the lowest tide\n".repeat(50),
    )
    .unwrap();
    let (text, out) = (text.to_str().unwrap(), out.to_str().unwrap());
    let arguments = ["tokenizer", "train", "--vocab-size", "270", "--out", out];
    let told = place.run(&[&arguments[..], &["--json", text]].concat());
    let told: Value = serde_json::from_str(&told.succeeds().stdout).unwrap();
    assert_eq!(
        (&told["vocab_size"], &told["merges"]),
        (&270.into(), &11.into())
    );
    assert_eq!(told["words"], 50 * 12);
    let written: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    assert_eq!(written["added_tokens"][1]["content"], "<|im_start|>");
    assert_eq!(written["model"]["vocab"].as_object().unwrap().len(), 270);
    // The other language.
    let again = place.run(&[&arguments[..], &["--lang", "id", text]].concat());
    assert!(
        again.succeeds().stdout.contains("270 token dari"),
        "{}",
        again.stdout
    );
    for (wrong, code, part) in [
        (&["--vocab-size", "256", text][..], 2, "--vocab-size"),
        (&["--pre-tokenizer", "none", text], 2, "smollm, gpt-2"),
        (&["--special", "x", text], 2, "--special"),
        (&["gone.txt"], 1, "gone.txt"),
        (&[], 2, "FILE"),
    ] {
        let arguments = ["tokenizer", "train", "--out", out];
        place
            .run(&[&arguments[..], wrong].concat())
            .fails(code, part);
    }
}
