"""Times mistral.rs through its Python package: mistral_bench.py MODEL THREADS PART.

It tells its speeds itself, with each answer; there is no access to its batches or to a depth of the
cache, so those figures are left out. Prints figures as one line of JSON.
"""

import importlib.metadata
import json
import os
import sys

from engines import COLD_PROMPT, DECODE_TOKENS

# What its matrix products take their number of threads from; read when the package is loaded.
os.environ["RAYON_NUM_THREADS"] = sys.argv[2]


def load(model):
    from mistralrs import Runner, Which

    folder, name = os.path.split(model)
    which = Which.GGUF(quantized_model_id=folder, quantized_filename=name)
    return Runner(which=which, prefix_cache_n=0, no_paged_attn=True)


def ask(runner, words, tokens):
    """A prompt of about so many tokens, one a word; its usage tells how many they were."""
    from mistralrs import CompletionRequest

    text = " ".join(["time", "house", "water", "road"][i % 4] for i in range(words))
    request = CompletionRequest(model="default", prompt=text, max_tokens=tokens, temperature=0.0)
    return runner.send_completion_request(request).usage


def prefill(runner):
    figures = {}
    for tokens in [128, 512]:
        figures[f"prefill_{tokens}"] = ask(runner, tokens, 1).avg_prompt_tok_per_sec
    return figures


def decode(runner):
    return {"decode_0": ask(runner, 1, DECODE_TOKENS).avg_compl_tok_per_sec}


def batched(_runner):
    return {}


def memory(runner):
    ask(runner, 512, DECODE_TOKENS)
    return {}


def cold(runner):
    ask(runner, COLD_PROMPT, 1)
    return {}


if __name__ == "__main__":
    if sys.argv[3] == "version":
        print(json.dumps({"version": importlib.metadata.version("mistralrs") + ", wheel"}))
    elif sys.argv[3] in ("batched", "chats"):
        print(json.dumps(batched(None)))
    else:
        parts = {f.__name__: f for f in [prefill, decode, memory, cold]}
        print(json.dumps(parts[sys.argv[3]](load(sys.argv[1]))))
