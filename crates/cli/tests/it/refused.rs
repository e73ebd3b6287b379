//! Models that cannot be run: one line that names the file and what is wrong in it, exit code 1.

use std::fs;
use std::path::Path;

use crate::real;
use crate::support::{Outcome, Place};

/// Asks `model` and expects one line with these parts and nothing else.
#[track_caller]
fn refused(place: &Place, model: &Path, parts: &[&str]) {
    for arguments in [&["chat", "q"][..], &["chat", "q", "--json"]] {
        let mut command = place.terang();
        command.args(arguments).arg("--model").arg(model);
        let outcome: Outcome = command.output().unwrap().into();
        outcome.fails(1, &model.display().to_string());
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
        for part in parts {
            assert!(
                outcome.stderr.contains(part),
                "{:?} lacks {part:?}",
                outcome.stderr
            );
        }
    }
}

/// A small model of the repository.
fn tiny(name: &str) -> std::path::PathBuf {
    real::repository("tests/fixtures/tiny").join(name)
}

/// `bytes` with every `from` replaced; both are of the same length, so that nothing moves.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut out = bytes.to_vec();
    let mut found = 0;
    // Keys stand before the weights.
    for at in 0..out.len().min(8 << 20) - from.len() {
        if out[at..].starts_with(from.as_bytes()) {
            out[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "the file has no {from}");
    out
}

/// A tokenizer of single letters, enough for a folder to be read further.
const LETTERS: &str = r#"{"model": {"type": "BPE", "vocab": {"q": 0, "a": 1}, "merges": []}}"#;

fn folder(place: &Place, config: impl FnOnce(String) -> String) -> std::path::PathBuf {
    let folder = place.path("folder");
    fs::create_dir_all(&folder).unwrap();
    let text = fs::read_to_string(tiny("llama/config.json")).unwrap();
    fs::write(folder.join("config.json"), config(text)).unwrap();
    fs::copy(
        tiny("llama/model.safetensors"),
        folder.join("model.safetensors"),
    )
    .unwrap();
    fs::write(folder.join("tokenizer.json"), LETTERS).unwrap();
    folder
}

#[test]
fn a_folder_without_its_parts() {
    let place = Place::new();
    let whole = folder(&place, |text| text);
    for (name, part) in [
        ("tokenizer.json", "tokenizer.json: No such file"),
        ("model.safetensors", "safetensors"),
        ("config.json", "not a model; allowed"),
    ] {
        let kept = fs::read(whole.join(name)).unwrap();
        fs::remove_file(whole.join(name)).unwrap();
        refused(&place, &whole, &[part]);
        fs::write(whole.join(name), kept).unwrap();
    }
    fs::write(whole.join("tokenizer.json"), "{}").unwrap();
    refused(&place, &whole, &["tokenizer.json", "missing field `model`"]);
}

#[test]
fn a_folder_of_an_unknown_architecture() {
    let place = Place::new();
    let folder = folder(&place, |text| text.replace("\"llama\"", "\"tiger\""));
    refused(
        &place,
        &folder,
        &["config.json", "model_type", "tiger", "supported: "],
    );
}

#[test]
fn a_folder_with_a_wrong_figure() {
    let place = Place::new();
    let wrong = folder(&place, |text| {
        text.replace("\"hidden_size\": 32", "\"hidden_size\": 64")
    });
    refused(&place, &wrong, &["found", "allowed"]);
    let absent = folder(&place, |text| text.replace("hidden_size", "hidden_sise"));
    refused(&place, &absent, &["config.json", "hidden_size"]);
    let broken = folder(&place, |text| text.replace('}', ""));
    refused(&place, &broken, &["config.json"]);
}

#[test]
fn a_file_of_an_unknown_architecture() {
    let place = Place::new();
    let path = place.path("tiger.gguf");
    let Some(real) = real::model() else { return };
    let bytes = fs::read(real.file()).unwrap();
    // The name itself, which its length precedes, and the keys that begin with it.
    let text = |name| format!("\u{5}\0\0\0\0\0\0\0{name}");
    let bytes = replaced(&bytes, &text("llama"), &text("tiger"));
    let bytes = replaced(&bytes, "llama.", "tiger.");
    fs::write(&path, bytes).unwrap();
    refused(
        &place,
        &path,
        &["general.architecture", "tiger", "supported: "],
    );
}

#[test]
fn a_file_without_a_tokenizer() {
    let place = Place::new();
    refused(&place, &tiny("llama/model.gguf"), &["tokenizer.ggml"]);
}

#[test]
fn a_file_that_is_cut_anywhere() {
    let Some(real) = real::model() else { return };
    let place = Place::new();
    let bytes = fs::read(real.file()).unwrap();
    let path = place.path("cut.gguf");
    for length in [
        0,
        3,
        4,
        24,
        5000,
        1_000_000,
        bytes.len() / 2,
        bytes.len() - 1,
    ] {
        fs::write(&path, &bytes[..length]).unwrap();
        refused(&place, &path, &["found"]);
    }
}

/// A base model knows no turns: it goes on with the text, and a conversation says so.
#[test]
fn a_model_without_a_chat_template_goes_on_with_the_text() {
    let Some(real) = real::model() else { return };
    let place = Place::new();
    let bytes = fs::read(real.file()).unwrap();
    let path = place.path("base.gguf");
    let bytes = replaced(&bytes, "tokenizer.chat_template", "tokenizer.chat_nothings");
    fs::write(&path, bytes).unwrap();
    let mut command = place.terang();
    command
        .args(["chat", "The capital of France is", "--json"])
        .args(["--temperature", "0", "--max-tokens", "4", "--model"])
        .arg(&path);
    let answer = real::Answer::of(&mut command);
    assert!(answer.text().contains("Paris"), "{answer:?}");
    assert_eq!(answer.count("prompt_tokens"), 5);
    #[cfg(unix)]
    {
        let mut command = place.terang();
        command.args(["chat", "--model"]).arg(&path);
        let (mut terminal, banner) = crate::terminal::Terminal::start(&mut command);
        assert!(banner.contains("has no chat template"), "{banner}");
        assert_eq!(terminal.leave("/quit\r"), Some(0));
    }
}
