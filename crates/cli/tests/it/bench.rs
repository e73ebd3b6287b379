//! `terang bench` on a tiny model: every figure is there, and is a number that can be one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::Place;

/// The tiny Llama of the fixtures with a tokenizer of single bytes and this context.
fn tiny(place: &Place, context_len: usize) -> PathBuf {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny/llama");
    let folder = place.path("tiny");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(
        fixture.join("model.safetensors"),
        folder.join("model.safetensors"),
    )
    .unwrap();
    let config = std::fs::read_to_string(fixture.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["max_position_embeddings"] = json!(context_len);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let vocab: serde_json::Map<String, Value> = (0..64_u8)
        .map(|id| (char::from(b'A' + id).to_string(), json!(id)))
        .collect();
    let tokenizer = json!({
        "added_tokens": [],
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "use_regex": true },
        "decoder": { "type": "ByteLevel" },
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder
}

fn bench(place: &Place, model: &Path, arguments: &[&str]) -> Value {
    let model = model.to_str().unwrap();
    let arguments = [&["--threads", "2", "bench", model, "--json"], arguments].concat();
    let outcome = place.run(&arguments);
    serde_json::from_str(&outcome.succeeds().stdout).unwrap()
}

/// The keys of an object, sorted.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// `figure` is a finite number above 0.
#[track_caller]
fn is_positive(name: &str, figure: &Value) {
    let number = figure.as_f64();
    assert!(
        number.is_some_and(|n| n.is_finite() && n > 0.0),
        "{name}: {figure}"
    );
}

#[test]
fn every_figure_is_there() {
    let place = Place::new();
    let report = bench(&place, &tiny(&place, 4096), &["--rounds", "1"]);
    for key in ["model", "cpu", "level", "version"] {
        assert!(report[key].is_string(), "{key}");
    }
    assert_eq!(
        (&report["threads"], &report["rounds"]),
        (&json!(2), &json!(1))
    );
    for (object, wanted) in [
        ("prefill_tok_s", &["128", "2048", "512"][..]),
        ("decode_tok_s", &["0", "2048", "512"]),
        ("batched_tok_s", &["1", "16", "32", "4", "64", "8"]),
        (
            "limits",
            &[
                "f32_flops_s",
                "int8_ops_s",
                "int8_tile_ops_s",
                "read_bytes_s",
            ],
        ),
        (
            "share_of_limit",
            &[
                "batched_1",
                "batched_16",
                "batched_32",
                "batched_4",
                "batched_64",
                "batched_8",
                "decode_0",
                "decode_2048",
                "decode_512",
                "prefill_128",
                "prefill_2048",
                "prefill_512",
            ],
        ),
    ] {
        let object = &report[object];
        assert_eq!(keys(object), wanted);
        for key in wanted {
            // Few processors have tiles.
            if !(*key == "int8_tile_ops_s" && object[*key].is_null()) {
                is_positive(key, &object[*key]);
            }
        }
    }
    is_positive("ttft_cold_ms", &report["ttft_cold_ms"]);
    assert_eq!(report["batched_prompt"], 128);
    if cfg!(target_os = "linux") {
        is_positive("peak_rss_bytes", &report["peak_rss_bytes"]);
    }
    for fit in ["decode_ms", "batched_step_ms"] {
        for key in ["a", "b", "predicted_a", "predicted_b"] {
            let value = &report["fit"][fit][key];
            assert!(value.as_f64().is_some_and(f64::is_finite), "{fit} {key}");
        }
    }
}

#[test]
fn a_short_context_leaves_out_what_does_not_fit() {
    let place = Place::new();
    let report = bench(&place, &tiny(&place, 600), &["--quick"]);
    is_positive("prefill 512", &report["prefill_tok_s"]["512"]);
    is_positive("decode 512", &report["decode_tok_s"]["512"]);
    assert_eq!(report["prefill_tok_s"]["2048"], Value::Null);
    assert_eq!(report["decode_tok_s"]["2048"], Value::Null);
    assert_eq!(report["share_of_limit"]["decode_2048"], Value::Null);
    let report = bench(&place, &tiny(&place, 64), &["--quick"]);
    assert_eq!(report["prefill_tok_s"]["128"], Value::Null);
    assert_eq!(report["fit"]["decode_ms"], Value::Null);
    is_positive("decode 0", &report["decode_tok_s"]["0"]);
    is_positive("batched 32", &report["batched_tok_s"]["32"]);
    assert!(report["batched_prompt"].as_u64().is_some_and(|n| n < 64));
    let report = bench(
        &place,
        &tiny(&place, 4096),
        &["--rounds", "2", "--only", "decode,cold"],
    );
    is_positive("decode 2048", &report["decode_tok_s"]["2048"]);
    is_positive("ttft_cold_ms", &report["ttft_cold_ms"]);
    assert_eq!(report["prefill_tok_s"]["128"], Value::Null);
    assert_eq!(report["peak_rss_bytes"], Value::Null);
}

#[test]
fn people_get_a_table_in_their_language() {
    let place = Place::new();
    let model = tiny(&place, 256);
    let model = model.to_str().unwrap();
    let outcome = place.run(&["--lang", "id", "bench", model, "--quick"]);
    let table = &outcome.succeeds().stdout;
    for part in [
        "PEKERJAAN",
        "prapengisian 128",
        "batas: memori",
        "memori puncak",
    ] {
        assert!(table.contains(part), "{table}");
    }
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
    place
        .run(&["bench", "./none.gguf"])
        .fails(1, "no such model file");
    place
        .run(&["bench", model, "--rounds", "0"])
        .fails(2, "from 1 to 1000");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let place = Place::new();
    let model = tiny(&place, 4096);
    let mut child = place
        .terang()
        .args([
            "bench",
            model.to_str().unwrap(),
            "--rounds",
            "1000",
            "--json",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let begun = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(20));
}
