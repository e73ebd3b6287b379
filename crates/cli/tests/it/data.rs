//! `terang data`, and a recipe that makes its own data.

use serde_json::Value;

use crate::support::Place;

const CONFIG: &str = r#"
name = "small"
[tokenizer]
vocab_size = 400
[[source]]
name = "sums"
generate = "arithmetic"
count = 300
deduplicate = false
licence = "CC0-1.0"
[[source]]
name = "pages"
files = ["pages/*.txt"]
rules = []
licence = "CC-BY-4.0"
"#;

const RECIPE: &str = r#"
name = "small"
[model]
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 1
context = 64
[[data]]
name = "texts"
prepared = "small"
config = "small.data.toml"
form = "text"
[[data]]
name = "chats"
prepared = "small"
config = "small.data.toml"
form = "chat"
[[stage]]
name = "pretrain"
kind = "pretrain"
data = ["texts"]
steps = 3
batch = 2
micro_batch = 1
sequence = 32
[[stage]]
name = "sft"
kind = "sft"
data = ["chats"]
steps = 3
batch = 2
micro_batch = 1
sequence = 64
"#;

/// A configuration with its pages, and a recipe beside it.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("pages")).unwrap();
    for i in 0..20 {
        let text = format!(
            "Page {i}: the heron stands in the rice field, and {i} ducks swim by. Mail a{i}@b.co.\n"
        );
        std::fs::write(place.path(&format!("pages/{i:02}.txt")), text.repeat(3)).unwrap();
    }
    std::fs::write(place.path("small.data.toml"), CONFIG).unwrap();
    std::fs::write(place.path("small.toml"), RECIPE).unwrap();
    place
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn data_are_prepared_indexed_and_searched() {
    let place = place();
    let config = place.path("small.data.toml").display().to_string();
    let out = place.path("out").display().to_string();
    let refused = place.run(&["data", "find", &out, "heron"]);
    refused.fails(2, "terang data prepare");
    let prepared = place.run(&["data", "prepare", &config, "--out", &out, "--json"]);
    let manifest = json(&prepared.succeeds().stdout);
    assert_eq!(manifest["sources"][1]["scrubbed"]["email"], 60);
    assert_eq!(manifest["sources"][0]["documents_out"], 300);
    assert!(manifest["tokens"].as_u64().unwrap() > 1000);
    place
        .run(&["data", "find", &out, "heron"])
        .fails(2, "terang data index");
    place.run(&["data", "index", &out, "--json"]).succeeds();
    let found = place.run(&["data", "find", &out, "heron stands in the rice", "--json"]);
    let found = json(&found.succeeds().stdout);
    assert_eq!(found["first"][0]["file"], "pages/00.txt");
    assert_eq!(found["first"][0]["licence"], "CC-BY-4.0");
    let answer = "I saw that the heron stands in the rice field yesterday.";
    let traced = place.run(&["data", "trace", &out, answer, "--json"]);
    let traced = json(&traced.succeeds().stdout);
    assert_eq!(
        traced["spans"][0]["text"],
        "the heron stands in the rice field"
    );
    let told = place.run(&["data", "trace", &out, answer]);
    assert!(told.succeeds().stdout.contains("pages/00.txt"));
    // Again: there is nothing to do, and nothing changes.
    let again = place.run(&[
        "data",
        "prepare",
        &config,
        "--out",
        &out,
        "--threads",
        "1",
        "--json",
    ]);
    assert_eq!(json(&again.succeeds().stdout)["digest"], manifest["digest"]);
}

#[test]
fn wrong_configurations_are_misuse() {
    let place = place();
    let path = place.path("wrong.toml");
    std::fs::write(&path, CONFIG.replace("licence", "lisence")).unwrap();
    let path = path.display().to_string();
    let out = place.path("out").display().to_string();
    let refused = place.run(&["data", "prepare", &path, "--out", &out]);
    refused.fails(2, "did you mean licence?");
    let missing = place.path("none.toml").display().to_string();
    place
        .run(&["data", "prepare", &missing, "--out", &out])
        .fails(1, "none.toml");
    let empty = place.run(&["data", "trace", &out, " "]);
    empty.fails(2, "ANSWER");
}

#[test]
fn a_recipe_makes_its_data_and_names_them_in_the_lineage() {
    let place = place();
    let recipe = place.path("small.toml").display().to_string();
    let out = place.path("run").display().to_string();
    let trained = place.run(&["train", "--recipe", &recipe, "--out", &out, "--json"]);
    let first = json(&trained.succeeds().stdout);
    let manifest = place.data().join("data/small/manifest.json");
    let manifest = json(&std::fs::read_to_string(manifest).unwrap());
    let model = std::path::Path::new(first["model"].as_str().unwrap());
    let found = std::fs::read_dir(model)
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .any(|text| text.contains(manifest["digest"].as_str().unwrap()));
    assert!(found, "no file of the model names the data's digest");
    // The data are there now, and the weights are the same.
    let again = place.path("again").display().to_string();
    let trained = place.run(&[
        "train",
        "--recipe",
        &recipe,
        "--out",
        &again,
        "--threads",
        "1",
        "--json",
    ]);
    assert_eq!(
        json(&trained.succeeds().stdout)["weights_sha256"],
        first["weights_sha256"]
    );
}

/// Killed at whatever it was doing, and given again: the same bytes.
#[test]
fn a_killed_run_goes_on() {
    let place = place();
    let text =
        "{\"text\": \"The heron NUMBER stands in the rice field, where NUMBER ducks swim by.\"}\n";
    let lines: String = (0..40_000)
        .map(|i| text.replace("NUMBER", &format!("n{}", i * 7919)))
        .collect();
    std::fs::write(place.path("many.jsonl"), lines).unwrap();
    let source = "[[source]]\nname = \"many\"\nfiles = [\"many.jsonl\"]\nrules = []\n";
    std::fs::write(place.path("small.data.toml"), format!("{CONFIG}{source}")).unwrap();
    let config = place.path("small.data.toml").display().to_string();
    let whole = place.path("whole").display().to_string();
    let digest = |out: &str| {
        let run = place.run(&["data", "prepare", &config, "--out", out, "--json"]);
        json(&run.succeeds().stdout)["digest"].clone()
    };
    let expected = digest(&whole);
    let killed = place.path("killed").display().to_string();
    for milliseconds in [20, 60, 150, 300, 600] {
        let mut child = place
            .terang()
            .args(["data", "prepare", &config, "--out", &killed, "--json"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert_eq!(digest(&killed), expected);
}
