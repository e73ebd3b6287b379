//! `terang train`, with the recipe that everybody has.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::Place;

fn recipe() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/smoke.toml")
}

/// The smoke recipe with fewer steps, beside its data.
fn short_recipe(place: &Place) -> PathBuf {
    let folder = place.path("recipes/smoke");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["text.txt", "chats.jsonl"] {
        std::fs::copy(
            recipe().with_file_name("smoke").join(name),
            folder.join(name),
        )
        .unwrap();
    }
    let text = std::fs::read_to_string(recipe()).unwrap();
    let text = text
        .replace("steps = 120", "steps = 24")
        .replace("every = 60", "every = 7");
    let path = folder.with_file_name("short.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn arguments<'a>(
    recipe: &'a str,
    out: &'a str,
    workers: &'a str,
    threads: &'a str,
) -> [&'a str; 10] {
    [
        "train",
        "--recipe",
        recipe,
        "--out",
        out,
        "--workers",
        workers,
        "--threads",
        threads,
        "--json",
    ]
}

#[test]
fn a_model_is_made_the_same_for_any_workers_and_threads_also_when_killed() {
    let place = Place::new();
    let recipe = short_recipe(&place);
    let recipe = recipe.to_str().unwrap();
    let mut sums = Vec::new();
    for (workers, threads) in [("1", "1"), ("2", "2"), ("4", "1")] {
        let out = place.path(&format!("w{workers}"));
        let told = place.run(&arguments(recipe, out.to_str().unwrap(), workers, threads));
        told.succeeds();
        assert_eq!(told.stdout.lines().count(), 1, "{}", told.stdout);
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        assert!(
            told["val_loss"].as_f64().unwrap() < 5.0
                && told["tokens_per_s"].as_f64().unwrap() > 0.0
        );
        sums.push(told["weights_sha256"].as_str().unwrap().to_owned());
        let report = std::fs::read_to_string(out.join("report.html")).unwrap();
        assert!(
            report.contains("<svg") && !report.contains("http"),
            "{}",
            report.len()
        );
    }

    // Killed five times, each time a little later.
    let out = place.path("killed");
    let out = out.to_str().unwrap();
    for i in 0..5u64 {
        let arguments = arguments(recipe, out, ["1", "2", "4"][i as usize % 3], "1");
        let mut child = place
            .terang()
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + 170 * i));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let told = place.run(&arguments(recipe, out, "1", "2"));
    told.succeeds();
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    sums.push(told["weights_sha256"].as_str().unwrap().to_owned());
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");

    // Its lineage holds, it is a model like any other, and a change is found.
    let model = place.path("killed/model");
    let model = model.to_str().unwrap();
    assert!(
        place
            .run(&["verify", model])
            .succeeds()
            .stdout
            .contains("smoke")
    );
    let answer = place.run(&[
        "chat",
        "--model",
        model,
        "--temperature",
        "0",
        "--max-tokens",
        "8",
        "What does a cat like?",
    ]);
    assert!(!answer.succeeds().stdout.trim().is_empty());
    // Written as a GGUF file it says the same, but for what quantizing takes.
    let gguf = place.path("mine.gguf");
    let gguf = gguf.to_str().unwrap();
    place
        .run(&["export", model, "--quantize", "f32", "--out", gguf])
        .succeeds();
    let asked = |model: &str| {
        let arguments = [
            "chat",
            "--model",
            model,
            "--temperature",
            "0",
            "--max-tokens",
            "12",
            "Apa warna langit?",
        ];
        place.run(&arguments).succeeds().stdout.clone()
    };
    assert_eq!(asked(gguf), asked(model));
    for quantize in ["f16", "q8_0", "q4_1", "q4_0"] {
        let told = place.run(&[
            "export",
            model,
            "--quantize",
            quantize,
            "--out",
            gguf,
            "--json",
        ]);
        told.succeeds();
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(told["bytes"], std::fs::metadata(gguf).unwrap().len());
        assert!(!asked(gguf).trim().is_empty());
    }
    let folder = place.path("hf");
    place
        .run(&[
            "export",
            model,
            "--to",
            "hf",
            "--out",
            folder.to_str().unwrap(),
        ])
        .succeeds();
    assert_eq!(asked(folder.to_str().unwrap()), asked(model));

    let weights = place.path("killed/model/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    place.run(&["verify", model]).fails(1, "model.safetensors");
}

#[test]
fn wrong_use_is_told() {
    let place = Place::new();
    let recipe = short_recipe(&place);
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, text.replace("hidden_size = 64", "hiden_size = 64")).unwrap();
    let recipe = recipe.to_str().unwrap();
    place
        .run(&["train", "--recipe", recipe])
        .fails(2, "did you mean hidden_size?");
    place
        .run(&["train", "--recipe", "gone.toml"])
        .fails(1, "gone.toml");
    place.run(&["train"]).fails(2, "--recipe");
    let good = short_recipe(&place);
    let good = good.to_str().unwrap();
    place
        .run(&["train", "--recipe", good, "--workers", "3"])
        .fails(2, "--workers");
    place.run(&["verify", "gone"]).fails(1, "gone");
}
