//! Stages that compare and reward answers, through whole runs.

use super::*;

/// After a stage that teaches to add, one that prefers an answer and one that rewards another.
const STAGES: &str = r#"
[[data]]
name = "pairs"
files = ["pairs.jsonl"]
form = "preference"
[[data]]
name = "tasks"
files = ["tasks.jsonl"]
form = "task"
[[stage]]
name = "dpo"
kind = "dpo"
data = ["pairs"]
steps = 6
batch = 8
micro_batch = 2
sequence = 40
validation = 0.2
validate_every = 3
[stage.optimizer]
learning_rate = 0.01
[stage.dpo]
beta = 0.3
[[stage]]
name = "grpo"
kind = "grpo"
data = ["tasks"]
steps = 4
batch = 16
micro_batch = 4
sequence = 40
validation = 0.2
[stage.optimizer]
learning_rate = 0.01
[stage.grpo]
group = 4
answer_tokens = 8
"#;

fn write_data(folder: &Path) {
    let (mut pairs, mut tasks) = (String::new(), String::new());
    for i in 0..20 {
        let prompt = format!("say {i}");
        let pair = serde_json::json!({ "prompt": prompt, "chosen": "ya", "rejected": "no" });
        let task = serde_json::json!({ "prompt": prompt, "answer": "y", "check": "contains" });
        let _ = writeln!(pairs, "{pair}");
        let _ = writeln!(tasks, "{task}");
    }
    std::fs::write(folder.join("pairs.jsonl"), pairs).unwrap();
    std::fs::write(folder.join("tasks.jsonl"), tasks).unwrap();
}

fn insert_before_checkpoint(text: &str, stages: &str) -> String {
    let at = text.find("[checkpoint]").unwrap();
    format!("{}{stages}{}", &text[..at], &text[at..])
}

#[test]
fn stages_of_answers_are_reproducible_and_resumable() {
    let (folder, _) = folder();
    write_data(folder.path());
    let text = insert_before_checkpoint(RECIPE, STAGES).replace("steps = 9", "steps = 3");
    let recipe = Recipe::parse(&folder.path().join("recipe.toml"), &text).unwrap();
    let (mut sums, mut seen) = (BTreeSet::new(), Vec::new());
    for (workers, threads) in [(1, 2), (2, 1), (4, 1)] {
        let options = options(folder.path(), &format!("a{workers}"), workers, threads);
        let steps = Mutex::new(Vec::new());
        let samples = AtomicU64::new(0);
        let finished = run(&recipe, &options, &|event| {
            match event {
                Event::Step(step) => steps.lock().unwrap().push(step.clone()),
                Event::Sample { prompt, .. } => {
                    assert!(!prompt.is_empty());
                    samples.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
            true
        })
        .unwrap();
        assert!(samples.into_inner() > 2);
        assert!(finished.val_reward.is_some());
        sums.insert(finished.weights_sha256);
        seen = steps.into_inner().unwrap();
    }
    // What is preferred is preferred more from step to step.
    let dpo: Vec<&Step> = seen.iter().filter(|step| step.stage == "dpo").collect();
    assert!(
        (dpo[0].loss - std::f64::consts::LN_2).abs() < 1e-6,
        "{}",
        dpo[0].loss
    );
    assert!(dpo[5].loss < 0.9 * dpo[0].loss, "{dpo:?}");
    assert_eq!(dpo[5].reward, Some(1.0));
    let grpo = seen.iter().filter(|step| step.stage == "grpo");
    assert!(grpo.clone().count() == 4 && grpo.clone().all(|step| step.reward.is_some()));

    // Broken off at every second step.
    let options_of = |i: u64| options(folder.path(), "broken", 1 << (i % 3), 1);
    let mut i = 0;
    let finished = loop {
        let n = AtomicU64::new(0);
        let result = run(&recipe, &options_of(i), &|event| {
            !matches!(event, Event::Step(_)) || n.fetch_add(1, Ordering::Relaxed) < 1
        });
        i += 1;
        match result {
            Ok(finished) => break finished,
            Err(TrainError::Stopped) => assert!(i < 20),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(i > 6);
    sums.insert(finished.weights_sha256);
    assert_eq!(sums.len(), 1, "{sums:?}");
}

#[test]
fn thin_corrections_learn_from_answers_too() {
    let (folder, recipe) = folder();
    write_data(folder.path());
    let made = run(&recipe, &options(folder.path(), "first", 1, 2), &|_| true).unwrap();
    let head = "name = \"tuned\"\n[model]\nfrom = \"first/model\"\n[lora]\nrank = 4\nalpha = 8.0\n";
    let path = folder.path().join("recipe.toml");
    let recipe = Recipe::parse(&path, &format!("{head}{STAGES}")).unwrap();
    let mut sums = BTreeSet::new();
    for (workers, stop_after) in [(1, u64::MAX), (2, 3)] {
        let mut options = options(folder.path(), &format!("thin{workers}"), workers, 1);
        options.base = Some(made.model.clone());
        let n = AtomicU64::new(0);
        let losses = Mutex::new(Vec::new());
        let go_on = || {
            run(&recipe, &options, &|event| {
                if let Event::Step(step) = event {
                    losses.lock().unwrap().push(step.loss);
                    return n.fetch_add(1, Ordering::Relaxed) != stop_after;
                }
                true
            })
        };
        let finished = match go_on() {
            Err(TrainError::Stopped) => go_on().unwrap(),
            other => other.unwrap(),
        };
        let losses = losses.into_inner().unwrap();
        assert!(losses[5] < losses[0], "{losses:?}");
        sums.insert(finished.weights_sha256);
    }
    assert_eq!(sums.len(), 1);

    // The model before the stage is part of what a run goes on from.
    let recipe = Recipe::parse(
        &path,
        &format!("{head}{STAGES}").replace("steps = 6", "steps = 9"),
    )
    .unwrap();
    let mut options = options(folder.path(), "changed", 1, 1);
    options.base = Some(made.model.clone());
    let n = AtomicU64::new(0);
    let stopped = run(&recipe, &options, &|event| {
        !matches!(event, Event::Step(_)) || n.fetch_add(1, Ordering::Relaxed) < 3
    });
    assert!(matches!(stopped, Err(TrainError::Stopped)));
    let reference = options.out.join("reference/adapter_model.safetensors");
    let mut bytes = std::fs::read(&reference).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&reference, bytes).unwrap();
    let error = run(&recipe, &options, &|_| true).unwrap_err().to_string();
    assert!(
        error.contains("reference") && error.contains("SHA-256"),
        "{error}"
    );
}
