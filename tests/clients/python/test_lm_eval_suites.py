"""`terang eval MODEL --suite` gives the figures that lm-evaluation-harness gives over `/v1/completions`."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

DATA = pathlib.Path(__file__).parent.parent / "data"

ACC = """
  - metric: acc
    aggregation: mean
    higher_is_better: true"""
NORM = """
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true"""
PERPLEXITY = """
  - metric: perplexity
    aggregation: perplexity
    higher_is_better: false"""

TASKS = {
    "choices": (
        """
output_type: multiple_choice
doc_to_text: "{{query}}\\nAnswer:"
doc_to_target: gold
doc_to_choice: "{{choices}}"
metric_list:"""
        + ACC
        + NORM,
        ["acc", "acc_norm"],
    ),
    "pairs": (
        """
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: "{{[sentence_good, sentence_bad]}}"
target_delimiter: ""
metric_list:"""
        + ACC,
        ["acc"],
    ),
    "lambada": (
        """
output_type: loglikelihood
doc_to_text: "{{context}}"
doc_to_target: "{{' ' ~ continuation}}"
metric_list:"""
        + ACC
        + PERPLEXITY,
        ["acc", "perplexity"],
    ),
}


def by_harness(base_url, model, folder):
    """The figures of all tasks, by task."""
    for name, (task, _) in TASKS.items():
        head = f"task: own_{name}\ndataset_path: json\ntest_split: train\ndataset_kwargs:\n"
        head += f"  data_files: {json.dumps(str(DATA / f'{name}.jsonl'))}"
        (folder / f"{name}.yaml").write_text(head + task + "\n")
    place = f"model={model},base_url={base_url}/completions,tokenizer_backend=remote"
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions"]
    command += ["--model_args", place, "--batch_size", "1", "--include_path", folder]
    command += ["--tasks", ",".join(f"own_{name}" for name in TASKS)]
    command += ["--output_path", folder / "results"]
    offline = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    ran = subprocess.run(command, env={**os.environ, **offline}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    (results,) = (folder / "results").rglob("results_*.json")
    return json.loads(results.read_text())["results"]


def by_terang(model):
    """The same as the binary measures them, without any server."""
    command = [os.environ["TERANG_BIN"], "eval", model, "--json"]
    for name in TASKS:
        command += ["--suite", DATA / f"{name}.jsonl"]
    found = subprocess.run(command, capture_output=True, check=True)
    return {suite["name"]: suite["metrics"] for suite in json.loads(found.stdout)["suites"]}


def test_figures_are_the_same(base_url, model, tmp_path):
    theirs, ours = by_harness(base_url, model, tmp_path), by_terang(model)
    for name, (_, metrics) in TASKS.items():
        for metric in metrics:
            their, our = theirs[f"own_{name}"], ours[name][metric]
            # What the harness reports, to the digits of its table; likelihoods go through float32.
            assert round(our["value"], 4) == pytest.approx(round(their[f"{metric},none"], 4), rel=2e-4)
            if metric != "perplexity":
                assert round(our["stderr"], 4) == round(their[f"{metric}_stderr,none"], 4)
