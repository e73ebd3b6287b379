#!/usr/bin/env python3
"""Terang's tokenizer trainer beside Hugging Face's, on the same text, in turns.

    pip install tokenizers
    cargo build --release
    python3 bench/tokenizer/run.py TEXT.txt [--rounds 3] [--vocab-size 8192]

Prints both medians, their ratio, and whether vocabulary and merges are the same.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parent.parent.parent
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def by_terang(text, vocab_size, out):
    command = [ROOT / "target" / "release" / "terang", "tokenizer", "train", "--vocab-size",
               str(vocab_size), "--out", out, "--json", text]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def by_hugging_face(text, vocab_size, out):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=2, special_tokens=SPECIAL,
                                  show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    begun = time.perf_counter()
    tokenizer.train([str(text)], trainer)
    tokenizer.save(str(out))
    return time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocab-size", type=int, default=8192)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "terang.json", Path(folder) / "reference.json"]
        times = ([], [])
        for _ in range(options.rounds):
            for index, train in enumerate((by_terang, by_hugging_face)):
                times[index].append(train(options.text, options.vocab_size, files[index]))
        ours, theirs = (json.loads(file.read_text())["model"] for file in files)
    terang, peer = (statistics.median(one) for one in times)
    same = (ours["vocab"], ours["merges"]) == (theirs["vocab"], theirs["merges"])
    print(f"{options.text.stat().st_size / 1e6:.1f} MB, {options.vocab_size} tokens: terang "
          f"{terang:.2f} s, tokenizers {peer:.2f} s, ratio {peer / terang:.2f}; "
          f"the same merges: {'yes' if same else 'NO'}")


if __name__ == "__main__":
    main()
