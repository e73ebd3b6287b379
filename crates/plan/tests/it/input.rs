//! Bad input: one line that says what, where and what to do next.

use terang_plan::Fitted;
use terang_plan::config::model_from_config;
use terang_plan::plan::plan;
use terang_plan::request::Request;
use terang_plan::rows::{parse_csv, read_rows};
use terang_plan::validate::predict_rows;

fn fails(text: &str, part: &str) {
    let made = Request::parse(text, "run.toml")
        .and_then(|r| r.resolve())
        .and_then(|a| plan(&a, Fitted::built_in()));
    let message = made.map(|_| ()).unwrap_err().to_string();
    assert!(
        message.contains(part),
        "{message:?} says nothing of {part:?}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}

const RUN: &str = "gpus = 64\ntokens = '1T'\n";

#[test]
fn each_mistake_is_named() {
    fails(
        &format!("{RUN}model = 'llama3-70b'\ngpu = 'h10'"),
        "did you mean \"h100\"",
    );
    fails(
        &format!("{RUN}model = 'lama3-70b'"),
        "did you mean \"llama3-70b\"",
    );
    fails("model = 'grok-1'\ntokens = '1T'\ngpus = 0", "gpus");
    fails(
        "model = 'grok-1'\ntokens = '1T'\ngpus = 8",
        "does not fit on 8 H100",
    );
    fails("model = 'grok-1'\ngpus = 8", "tokens");
    fails("tokens = '1T'", "model");
    fails(
        &format!("{RUN}model = 'llama3-70b'\nnetwork = '400'"),
        "give it a unit",
    );
    fails(
        &format!("{RUN}model = 'llama3-70b'\nnetwork = '12800GB'"),
        "did you mean 12800Gb",
    );
    fails(
        &format!("{RUN}model = 'llama3-70b'\nfix = 'tp=16,pp=8'"),
        "the pins take 128 GPUs",
    );
    fails(
        &format!("{RUN}model = 'llama3-70b'\nfix = 'tp=7'"),
        "does not divide",
    );
    fails(
        &format!("{RUN}model = 'llama3-70b'\nfix = 'tq=8'"),
        "did you mean \"tp\"",
    );
    fails(
        &format!("{RUN}model = 'llama3-70b'\nfix = 'ep=8'"),
        "has no experts",
    );
    fails(
        &format!("{RUN}model = 'llama3-70b'\nprecision = 'nvfp4'"),
        "has no nvfp4",
    );
    fails(&format!("{RUN}model = 'llama3-70b'\nprice = -1"), "price");
    fails(&format!("{RUN}model = 'llama3-70b'\nprise = 1"), "run.toml");
    fails(
        "model = 'llama3-70b'\ntokens = '1T'\ngpus = 'many'",
        "must be a number",
    );
    let huge = "fix = 'tp=1048576,pp=1048576,dp=1048576,cp=1048576'";
    fails(
        &format!("{RUN}model = 'llama3-70b'\n{huge}"),
        "but there are 64",
    );
}

#[test]
fn a_config_json_is_read() {
    let text = r#"{"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
        "vocab_size": 128256, "max_position_embeddings": 8192, "tie_word_embeddings": false}"#;
    let m = model_from_config(text, "config.json").unwrap();
    assert!((m.params() / 8.03e9 - 1.0).abs() < 0.01, "{}", m.params());
    let wrong = model_from_config("{\"hidden_size\": 0}", "c.json")
        .unwrap_err()
        .to_string();
    assert!(wrong.contains("c.json: no hidden_size"), "{wrong}");
}

#[test]
fn csv_keeps_quoted_commas_and_line_ends() {
    let rows = parse_csv("a,b\n\"x, \"\"y\"\"\",2\r\n\n3,\"4\n5\"\n").unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["a"], "x, \"y\"");
    assert_eq!(rows[1]["b"], "4\n5");
    assert!(parse_csv("").is_err() && parse_csv("a\n\"b").is_err());
    assert!(read_rows("x,y\n1,2\n").is_err());
}

#[test]
fn a_row_that_lacks_something_says_what() {
    let text = "id,group,gpu_kind,model,n_gpus,tp,pp,micro_batch,global_batch,seq,layers,hidden,ffn,heads,step_time_s,use\n\
                a,g,A100-80GB,GPT,8,1,1,1,8,2048,24,2048,8192,16,1.5,fit\n\
                b,g,A100-80GB,GPT,8,1,,1,8,2048,24,2048,8192,16,1.5,fit\n\
                c,g,TPU,GPT,8,1,1,1,8,2048,24,2048,8192,16,1.5,reference\n\
                d,g,A100-80GB,GPT,8,1,1,1,8,2048,24,2048,8192,16,,fit\n";
    let rows = predict_rows(&read_rows(text).unwrap(), Fitted::built_in());
    assert_eq!(rows.len(), 4);
    assert!(rows[0].error_pct.is_some() && rows[0].reason.is_none());
    assert!(rows[1].predicted.is_none() && rows[1].reason.as_ref().unwrap().contains("no pp"));
    assert!(
        rows[2]
            .reason
            .as_ref()
            .unwrap()
            .contains("unknown GPU kind")
    );
    assert!(rows[3].predicted.is_some() && rows[3].error_pct.is_none() && rows[3].reason.is_some());
}
