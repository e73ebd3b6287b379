"""lm-evaluation-harness over `/v1/completions` gives the log-likelihoods that `terang eval` gives.

`terang eval perplexity` counts the second half of a window of tokens. Each text is one window here,
and the harness is asked for the likelihood of the same half after the other.
"""

import json
import math
import os
import pathlib
import subprocess
import sys

import httpx
import pytest

DATA = pathlib.Path(__file__).parent.parent / "data" / "lambada.jsonl"
# The harness adds a few hundred tokens in float64, from numbers in float32.
TOLERANCE = 1e-3

TASK = """
task: halves
dataset_path: json
dataset_kwargs:
  data_files: {data_files}
test_split: train
output_type: loglikelihood
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{continuation}}}}"
target_delimiter: ""
metric_list:
  - metric: perplexity
    aggregation: perplexity
    higher_is_better: false
"""


def halves(url, text):
    """The text less as few words as it takes for its second half to begin a word."""
    while True:
        wanted = {"prompt": text, "add_special_tokens": False, "return_token_strs": True}
        cut = httpx.post(f"{url}/tokenize", json=wanted).json()
        at = cut["count"] // 2 + 1
        texts = cut["token_strs"]
        if texts[at].startswith(" ") and "\ufffd" not in "".join(texts):
            context, continuation = "".join(texts[:at]), "".join(texts[at:])
            assert context + continuation == text
            return {"context": context, "continuation": continuation, "count": cut["count"]}
        text = text.rsplit(" ", 1)[0]


def by_terang(model, document, file):
    """The log-likelihood of the second half as the binary measures it, without any server."""
    file.write_text(document["context"] + document["continuation"])
    arguments = ["eval", "perplexity", "--model", model, "--file", file, "--json"]
    arguments += ["--context", str(document["count"])]
    found = subprocess.run([os.environ["TERANG_BIN"], *arguments], capture_output=True, check=True)
    result = json.loads(found.stdout)
    assert result["windows"] == 1
    assert result["tokens"] == document["count"] - document["count"] // 2 - 1
    return -math.log(result["perplexity"]) * result["tokens"]


@pytest.fixture(scope="module")
def documents(url, model, tmp_path_factory):
    """The texts with their log-likelihoods."""
    file = tmp_path_factory.mktemp("texts") / "text"
    lines = map(json.loads, DATA.read_text().splitlines())
    documents = [halves(url, f"{line['context']} {line['continuation']}") for line in lines]
    for document in documents:
        document["ours"] = by_terang(model, document, file)
    return documents


@pytest.mark.parametrize("batch_size", [1, 4])
def test_log_likelihoods_are_the_same(base_url, model, documents, tmp_path, batch_size):
    data = tmp_path / "halves.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents))
    (tmp_path / "halves.yaml").write_text(TASK.format(data_files=json.dumps(str(data))))
    place = f"model={model},base_url={base_url}/completions,tokenizer_backend=remote"
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions"]
    command += ["--model_args", place, "--batch_size", str(batch_size)]
    command += ["--tasks", "halves", "--include_path", tmp_path]
    command += ["--log_samples", "--output_path", tmp_path / "results"]
    environment = {
        **os.environ,
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "cache"),
    }
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    (samples,) = (tmp_path / "results").rglob("samples_halves_*.jsonl")
    by_harness = {}
    for sample in map(json.loads, samples.read_text().splitlines()):
        by_harness[sample["doc_id"]] = float(sample["filtered_resps"][0][0])
    assert len(by_harness) == len(documents)
    for index, document in enumerate(documents):
        ours = document["ours"]
        assert ours < 0
        assert abs(by_harness[index] - ours) < TOLERANCE, (index, by_harness[index], ours)
    (results,) = (tmp_path / "results").rglob("results_*.json")
    figure = json.loads(results.read_text())["results"]["halves"]["perplexity,none"]
    mean = sum(by_harness.values()) / len(by_harness)
    assert math.isclose(figure, math.exp(-mean), rel_tol=1e-6)
