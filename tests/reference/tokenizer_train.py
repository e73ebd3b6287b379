#!/usr/bin/env python3
"""Merges that Hugging Face's trainer learns: `pip install tokenizers==0.23.3`, then

    python3 tests/reference/tokenizer_train.py > tests/reference/tokenizer_train.json

The text is `bench/data/rust-book.txt` and what is written below, which has what words are cut at.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from tokenizers import Regex, Tokenizer, __version__, decoders, models, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parent.parent.parent
CONTRACTION = "'s|'t|'re|'ve|'m|'ll|'d"
GPT2 = CONTRACTION + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (f"(?i:{CONTRACTION})" + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
PATTERNS = {"gpt-2": [GPT2], "smollm": [r"\p{N}", GPT2], "llama-bpe": [LLAMA3]}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TRICKY = "".join([
    "aaaa aaa aa a aaaaaaa\n", "It's we'll I'VE they're\n", "1 12 123 1234 12345\t6\n",
    "  two  spaces   three\r\n", "\u3000ideographic\u00a0space\n", "naïve café Straße\n",
    "aku, kamu & dia: “kita”—bersama-sama!\n", "日本語のテキスト 混ぜる\n", "👩‍👩‍👧 🇮🇩 e\u0301\n",
    "\n\n\n", "x=y;z+=1\t\t// done\n", "last line without its end",
]) * 3


def learn(name, files, vocab_size, min_frequency):
    tokenizer = Tokenizer(models.BPE())
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[name]]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=min_frequency,
                                  special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train(files, trainer)
    return tokenizer


def main():
    book = ROOT / "bench" / "data" / "rust-book.txt"
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        tricky = Path(folder) / "tricky.txt"
        tricky.write_bytes(TRICKY.encode())
        for name in PATTERNS:
            for vocab_size, min_frequency in [(1000, 0), (4000, 2), (100_000, 3)]:
                tokenizer = learn(name, [str(book), str(tricky)], vocab_size, min_frequency)
                model = json.loads(tokenizer.to_str())["model"]
                ids = tokenizer.encode("<|im_start|>" + TRICKY).ids
                merges = "\n".join(" ".join(merge) for merge in model["merges"])
                cases.append({"pre_tokenizer": name, "vocab_size": vocab_size,
                              "min_frequency": min_frequency, "tokens": len(model["vocab"]),
                              "merges": len(model["merges"]),
                              "first": [" ".join(merge) for merge in model["merges"][:20]],
                              "ids_sha256": hashlib.sha256(json.dumps(ids).encode()).hexdigest(),
                              "sha256": hashlib.sha256(merges.encode()).hexdigest()})
    json.dump({"tokenizers": __version__, "special": SPECIAL, "tricky": TRICKY, "cases": cases},
              sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    main()
