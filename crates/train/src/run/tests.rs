mod answers;

use super::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const RECIPE: &str = r#"
name = "sums"
seed = 11
[tokenizer]
vocab_size = 300
[model]
hidden_size = 32
intermediate_size = 48
num_hidden_layers = 2
num_attention_heads = 4
num_key_value_heads = 2
context = 48
[[data]]
name = "text"
files = ["*.txt"]
form = "text"
licence = "CC0-1.0"
[[data]]
name = "talk"
files = ["talk.jsonl"]
form = "chat"
weight = 1.5
[[stage]]
name = "pretrain"
kind = "pretrain"
data = ["text"]
steps = 9
batch = 8
micro_batch = 2
sequence = 32
validation = 0.1
validate_every = 4
[stage.optimizer]
rule = "muon"
learning_rate = 0.01
[stage.schedule]
curve = "wsd"
warmup = 2
[[stage]]
name = "sft"
kind = "sft"
data = ["talk"]
steps = 5
batch = 4
micro_batch = 1
sequence = 48
recompute = true
z_loss = 1e-4
[stage.optimizer]
learning_rate = 0.003
[checkpoint]
every = 3
keep = 2
"#;

/// A folder with a recipe and its data.
fn folder() -> (tempfile::TempDir, Recipe) {
    let folder = tempfile::tempdir().unwrap();
    let (mut text, mut talk) = (String::new(), String::new());
    for i in 0..60u32 {
        writeln!(text, "{i} and {} are {}.\nThat is so.\n", i % 7, i + i % 7).unwrap();
        let answer = format!("It is {}.", i + 1);
        let question = format!("What comes after {i}?");
        let messages = serde_json::json!({ "messages": [
            { "role": "user", "content": question }, { "role": "assistant", "content": answer },
        ] });
        writeln!(talk, "{messages}").unwrap();
    }
    std::fs::write(folder.path().join("a.txt"), text).unwrap();
    std::fs::write(folder.path().join("talk.jsonl"), talk).unwrap();
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, RECIPE).unwrap();
    let recipe = Recipe::read(&path).unwrap();
    (folder, recipe)
}

fn options(folder: &Path, out: &str, workers: usize, threads: usize) -> Options {
    Options {
        recipe: folder.join("recipe.toml"),
        base: None,
        folders: crate::prepared::Folders {
            data: folder.join("data"),
            packages: folder.join("packages"),
        },
        out: folder.join(out),
        workers,
        threads,
        cpu: Cpu::best(),
        samples: true,
    }
}

#[test]
fn workers_threads_and_being_broken_off_change_no_bit() {
    let (folder, recipe) = folder();
    let mut sums = BTreeSet::new();
    let steps = Mutex::new(Vec::new());
    for (workers, threads) in [(1, 1), (1, 2), (2, 1), (4, 1)] {
        let options = options(
            folder.path(),
            &format!("w{workers}t{threads}"),
            workers,
            threads,
        );
        let finished = run(&recipe, &options, &|event| {
            if let Event::Step(step) = event {
                steps.lock().unwrap().push((
                    step.stage.clone(),
                    step.step,
                    step.loss.to_bits(),
                    step.gradient_norm.to_bits(),
                ));
            }
            true
        })
        .unwrap();
        assert!(finished.val_loss.is_some_and(f64::is_finite));
        assert_eq!(finished.manifest.steps_total, 14);
        sums.insert(finished.weights_sha256);
        // Nothing of before remains, and a finished run stays what it is.
        assert_eq!(checkpoint::list(&checkpoints(&options.out)).len(), 2);
        sums.insert(run(&recipe, &options, &|_| true).unwrap().weights_sha256);
    }
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps.len(), 4 * 14);
    assert!(steps.chunks(14).all(|chunk| chunk == &steps[..14]));

    // Stopped at every step in turn, each time on other ranks.
    let options_of = |i: u64| options(folder.path(), "broken", 1 << (i % 3), 1);
    let mut i = 0;
    let finished = loop {
        let n = AtomicU64::new(0);
        let result = run(&recipe, &options_of(i), &|event| {
            !matches!(event, Event::Step(_)) || n.fetch_add(1, Ordering::Relaxed) < 2
        });
        i += 1;
        match result {
            Ok(finished) => break finished,
            Err(TrainError::Stopped) => assert!(i < 14),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(i > 3);
    sums.insert(finished.weights_sha256.clone());
    assert_eq!(sums.len(), 1, "{sums:?}");

    // The model is one that is read as any other, and its lineage holds.
    let loaded = terang_model::bundle::LoadedModel::open(&finished.model).unwrap();
    assert!(loaded.template.is_some());
    assert_eq!(loaded.config.hidden_size, 32);
    let (manifest, _) = checkpoint::verify(&finished.model).unwrap();
    assert_eq!(manifest.data[0].licence, "CC0-1.0");
    assert_eq!(manifest.data[1].documents, 60);
    assert!(manifest.parent.is_some());
}

#[test]
fn the_loss_falls() {
    let (folder, mut recipe) = folder();
    recipe.stage[0].steps = 60;
    let losses = Mutex::new(Vec::new());
    run(&recipe, &options(folder.path(), "out", 1, 2), &|event| {
        if let Event::Step(step) = event {
            losses.lock().unwrap().push(step.loss);
        }
        true
    })
    .unwrap();
    let losses = losses.into_inner().unwrap();
    assert!((losses[0] - 300f64.ln()).abs() < 0.3, "{}", losses[0]);
    assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn bf16_gives_one_result_and_nearly_the_loss_of_single_precision() {
    let (folder, mut recipe) = folder();
    recipe.stage[0].steps = 40;
    let single = run(&recipe, &options(folder.path(), "f32", 1, 2), &|_| true).unwrap();
    assert_eq!(single.manifest.profile, "terang-train-f32-1");
    recipe.precision = crate::recipe::Precision::Bf16;
    let mut sums = BTreeSet::new();
    for (workers, threads) in [(1, 1), (1, 2), (2, 1), (4, 1)] {
        let out = format!("bf16-{workers}-{threads}");
        let options = options(folder.path(), &out, workers, threads);
        let finished = run(&recipe, &options, &|_| true).unwrap();
        assert_eq!(finished.manifest.profile, "terang-train-bf16-1");
        checkpoint::verify(&finished.model).unwrap();
        let (loss, expected) = (finished.val_loss.unwrap(), single.val_loss.unwrap());
        assert!(
            (loss - expected).abs() < 0.03 * expected,
            "{loss} and {expected}"
        );
        sums.insert(finished.weights_sha256);
    }
    assert_eq!(sums.len(), 1, "{sums:?}");
    assert!(!sums.contains(&single.weights_sha256));

    // A run goes on in its own precision alone.
    let error = run(&recipe, &options(folder.path(), "f32", 1, 2), &|_| true).unwrap_err();
    assert!(
        error.to_string().contains("the precision is another"),
        "{error}"
    );
}

#[test]
fn a_model_is_tuned_whole_or_by_thin_corrections() {
    let (folder, mut recipe) = folder();
    recipe.stage[0].steps = 60;
    let made = run(&recipe, &options(folder.path(), "first", 1, 2), &|_| true).unwrap();
    let head = "name = \"tuned\"\n[model]\nfrom = \"first/model\"\n";
    let data = &RECIPE[RECIPE.find("[[data]]\nname = \"talk\"").unwrap()..];
    let (source, stage) = (
        &data[..data.find("[[stage]]").unwrap()],
        &data[data.rfind("[[stage]]").unwrap()..],
    );
    let lora = "[lora]\nrank = 4\nalpha = 8.0\n";
    for (form, between) in [("whole", ""), ("thin", lora)] {
        let text = format!(
            "{head}{between}{source}{}",
            stage.replace("steps = 5", "steps = 12")
        );
        let path = folder.path().join("recipe.toml");
        let recipe = Recipe::parse(&path, &text).unwrap();
        let mut sums = BTreeSet::new();
        for (workers, threads) in [(1, 2), (2, 1)] {
            let mut options = options(folder.path(), &format!("{form}{workers}"), workers, threads);
            options.base = Some(made.model.clone());
            let losses = Mutex::new(Vec::new());
            // Broken off once.
            let n = AtomicU64::new(0);
            let stopped = run(&recipe, &options, &|event| {
                !matches!(event, Event::Step(_)) || n.fetch_add(1, Ordering::Relaxed) < 5
            });
            assert!(matches!(stopped, Err(TrainError::Stopped)));
            let finished = run(&recipe, &options, &|event| {
                if let Event::Step(step) = event {
                    losses.lock().unwrap().push(step.loss);
                }
                true
            })
            .unwrap();
            let losses = losses.into_inner().unwrap();
            assert!(losses.last().unwrap() < &losses[0], "{form}: {losses:?}");
            sums.insert(finished.weights_sha256);
            checkpoint::verify(&finished.model).unwrap();
            if form == "thin" {
                let base = terang_model::bundle::LoadedModel::open(&made.model).unwrap();
                terang_model::Adapter::open(&finished.model, &base.config).unwrap();
                assert!(finished.parameters < made.parameters / 2);
            } else {
                terang_model::bundle::LoadedModel::open(&finished.model).unwrap();
                assert_eq!(finished.parameters, made.parameters);
            }
        }
        assert_eq!(sums.len(), 1, "{form}");
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_lost() {
    let (folder, recipe) = folder();
    let run_with = |recipe: &Recipe, out: &str, workers| {
        run(recipe, &options(folder.path(), out, workers, 1), &|_| true)
    };
    let error = |result: Result<Finished>| result.unwrap_err().to_string();
    assert!(error(run_with(&recipe, "a", 3)).contains("powers of two"));
    assert!(error(run_with(&recipe, "a", 8)).contains("at most 4"));

    run_with(&recipe, "a", 1).unwrap();
    let mut other = recipe.clone();
    other.seed = 12;
    assert!(error(run_with(&other, "a", 1)).contains("the recipe is another"));

    // A shard that was changed is named.
    let latest = checkpoint::list(&checkpoints(&folder.path().join("a")))
        .pop()
        .unwrap();
    let path = latest.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let message = error(run_with(&recipe, "a", 1));
    assert!(
        message.contains("model.safetensors") && message.contains("SHA-256"),
        "{message}"
    );

    // Numbers that overflow end the run and name a tensor.
    let mut wild = recipe.clone();
    wild.stage[0].optimizer = crate::optimizer::Settings {
        learning_rate: 10.0,
        clip: 0.0,
        weight_decay: 100.0,
        ..Default::default()
    };
    wild.stage[0].steps = 400;
    let message = error(run_with(&wild, "wild", 2));
    assert!(
        message.contains("stage pretrain, step") && message.contains("finite"),
        "{message}"
    );

    let held = lock(&folder.path().join("held")).unwrap();
    assert!(error(run_with(&recipe, "held", 1)).contains("another run"));
    drop(held);

    std::fs::write(folder.path().join("a.txt"), "").unwrap();
    assert!(error(run_with(&recipe, "b", 1)).contains("less than one sequence"));
    std::fs::remove_file(folder.path().join("a.txt")).unwrap();
    assert!(error(run_with(&recipe, "b", 1)).contains("no file fits *.txt"));
}
