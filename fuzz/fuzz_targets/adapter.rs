//! Opens the input as a LoRA adapter: as a GGUF file, as the weights and as the configuration of a
//! PEFT folder. What opens fits the model that it was opened for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use terang_model::{Adapter, Config};

const MODEL: &str = include_str!("../../tests/fixtures/tiny/llama/config.json");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/adapters/llama");

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = Config::from_hf_json(Path::new("config.json"), MODEL) else {
        panic!("the model's own configuration is sound");
    };
    let open = |path: &Path| {
        if let Ok(adapter) = Adapter::open(path, &config) {
            assert!(!adapter.is_empty() && adapter.len() <= 7 * config.layers.len());
        }
    };
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let path = |name: &str| folder.path().join(name);
    if std::fs::write(path("adapter.gguf"), bytes).is_ok() {
        open(&path("adapter.gguf"));
    }
    let names = ["adapter_config.json", "adapter_model.safetensors"];
    for (fuzzed, kept) in [(names[0], names[1]), (names[1], names[0])] {
        let copied = std::fs::copy(Path::new(FOLDER).join(kept), path(kept));
        if copied.is_ok() && std::fs::write(path(fuzzed), bytes).is_ok() {
            open(folder.path());
        }
    }
});
