use super::*;

const GOOD: &str = r#"
name = "x"
[tokenizer]
vocab_size = 300
[model]
hidden_size = 16
intermediate_size = 32
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 1
context = 64
[[data]]
name = "text"
files = ["a.txt"]
form = "text"
[[stage]]
name = "pretrain"
kind = "pretrain"
data = ["text"]
steps = 10
batch = 4
micro_batch = 1
sequence = 32
[stage.optimizer]
learning_rate = 0.01
"#;

proptest::proptest! {
    /// Whatever stands there, it is read or refused.
    #[test]
    fn no_text_is_fatal(at in 0..GOOD.len(), cut in 0..40usize, put in "[ -~\\n]{0,12}") {
        let mut text = GOOD.to_owned();
        text.replace_range(at..(at + cut).min(GOOD.len()), &put);
        let _ = Recipe::parse(Path::new("r.toml"), &text);
    }
}

#[test]
fn wrong_recipes_are_refused_by_name() {
    let path = Path::new("r.toml");
    assert!(Recipe::parse(path, GOOD).is_ok());
    let cases = [
        (
            "learning_rate = 0.01",
            "learning_rat = 0.01",
            "did you mean learning_rate?",
        ),
        (
            "name = \"x\"",
            "name = \"x\"\nprecision = \"bf61\"",
            "did you mean bf16?",
        ),
        (
            "name = \"x\"",
            "name = \"x\"\nprecisoin = \"bf16\"",
            "did you mean precision?",
        ),
        (
            "data = [\"text\"]",
            "data = [\"texd\"]",
            "did you mean text?",
        ),
        ("micro_batch = 1", "micro_batch = 3", "micro_batch: found 3"),
        ("batch = 4\nmicro", "batch = 12\nmicro", "a power of two"),
        (
            "sequence = 32",
            "sequence = 65",
            "allowed 2 to model.context (64)",
        ),
        ("kind = \"pretrain\"", "kind = \"sft\"", "plain text"),
        (
            "kind = \"pretrain\"",
            "kind = \"pretrian\"",
            "did you mean pretrain?",
        ),
        ("hidden_size = 16", "hidden_size = 18", "a multiple of 2 x"),
        ("steps = 10", "steps = 0", "found 0"),
        (
            "learning_rate = 0.01",
            "learning_rate = nan",
            "learning_rate: found NaN",
        ),
        (
            "kind = \"pretrain\"",
            "kind = \"grpo\"",
            "plain text, which a stage",
        ),
        (
            "files = [\"a.txt\"]",
            "prepared = \"../x\"",
            "prepared: found ../x",
        ),
        (
            "files = [\"a.txt\"]",
            "files = [\"a.txt\"]\nconfig = \"d.toml\"",
            "beside prepared alone",
        ),
        ("files = [\"a.txt\"]", "", "files: found none"),
        ("name = \"x\"", "name = ", "line 2"),
        ("hidden_size = 16", "hidden_size = 1000000", "GiB"),
    ];
    for (from, to, expected) in cases {
        assert!(GOOD.contains(from), "{from}");
        let error = Recipe::parse(path, &GOOD.replacen(from, to, 1))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && error.starts_with("r.toml: "),
            "{to}: {error}"
        );
    }
}

#[test]
fn settings_of_answers_are_checked() {
    let path = Path::new("r.toml");
    let form = |form: &str, kind: &str, extra: &str| {
        let text = GOOD
            .replace("form = \"text\"", &format!("form = \"{form}\""))
            .replace("kind = \"pretrain\"", &format!("kind = \"{kind}\""))
            .replace("batch = 4\nmicro_batch = 1", "batch = 16\nmicro_batch = 8");
        Recipe::parse(path, &format!("{text}{extra}"))
    };
    let wrong = |result: Result<Recipe>| result.unwrap_err().to_string();
    assert!(form("preference", "dpo", "").is_ok());
    assert!(
        form(
            "task",
            "grpo",
            "[stage.grpo]\ngroup = 4\nanswer_tokens = 8\n"
        )
        .is_ok()
    );
    assert!(wrong(form("task", "dpo", "")).contains("holds tasks"));
    assert!(wrong(form("task", "grpo", "")).contains("answer_tokens: found 32"));
    let error = wrong(form("task", "grpo", "[stage.grpo]\ngroup = 3\n"));
    assert!(error.contains("a divisor of micro_batch (8)"), "{error}");
    let error = wrong(form("preference", "dpo", "[stage.dpo]\nbeta = 0.0\n"));
    assert!(error.contains("dpo.beta: found 0"), "{error}");
    let error = wrong(form(
        "task",
        "grpo",
        "[stage.grpo]\ntemperature = -1\nanswer_tokens = 8\n",
    ));
    assert!(error.contains("grpo.temperature: found -1"), "{error}");
}

/// What recipes without the field were saved as stays the same text.
#[test]
fn single_precision_is_what_a_recipe_without_one_means() {
    let path = Path::new("r.toml");
    let recipe = Recipe::parse(path, GOOD).unwrap();
    assert_eq!(recipe.precision, Precision::F32);
    assert!(!toml::to_string(&recipe).unwrap().contains("precision"));
    let recipe = Recipe::parse(path, &format!("precision = \"bf16\"\n{GOOD}")).unwrap();
    assert_eq!(recipe.precision.profile(), "terang-train-bf16-1");
    let again = Recipe::parse(path, &toml::to_string(&recipe).unwrap()).unwrap();
    assert_eq!(again, recipe);
}
