"""Writes what an encoder makes of some texts, as fixtures of the Rust tests.

Usage: encoder_fixtures.py OUT_FOLDER MODEL_FOLDER
where MODEL_FOLDER holds all-MiniLM-L6-v2 (config.json, tokenizer.json, model.safetensors). Needs numpy and
tokenizers. The reference is BERT written down in double precision, below; tokens are those of `tokenizers`.

OUT_FOLDER/minilm.json: texts, the number of tokens of each, and its vector (384 32-bit floats, little-endian, in
base64). OUT_FOLDER/tiny: a whole model of two narrow layers with random weights, and vectors.json of the same form.
"""
import base64
import json
import math
import struct
import sys
from pathlib import Path

import numpy as np
import tokenizers

TEXTS = [
    "",
    "a",
    "The cat sits outside.",
    "A man is playing guitar.",
    "Kucing itu duduk di luar rumah.",
    "Ibu kota negara Indonesia pindah dari Jakarta ke Nusantara.",
    "What is the capital of France?",
    "Paris is the capital and most populous city of France.",
    "今日は天気がいいですね。",
    "Ünïcödé àccénts Œuvre naïve façade",
    "مرحبا بالعالم",
    "😀 emoji \U0001f680 and \u200b zero width",
    "def add(a, b):\n    return a + b  # the sum\n",
    "SELECT name FROM users WHERE id = 7 AND deleted IS NULL;",
    "[CLS] is not a control token here [SEP], nor is [MASK].",
    "x" * 150,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "one two three four five six seven eight nine ten " * 6,
    "Clouds drift over the quiet valley while the river keeps its slow pace. " * 9,
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor " * 8,
]
TINY_TEXTS = ["", "hello world", "Hello, WORLD! unaffable", "zzz hello", "hello " * 61, "world hello " * 60]


def read_safetensors(path):
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    out = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = entry["data_offsets"]
        values = np.frombuffer(data, "<f4", (end - start) // 4, 8 + length + start)
        out[name] = values.reshape(entry["shape"])
    return out


def write_safetensors(path, tensors):
    header, body = {}, b""
    for name, value in tensors.items():
        raw = value.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


ERF = np.vectorize(math.erf, otypes=[np.float64])


class Bert:
    def __init__(self, config, tensors):
        self.config = config
        self.w = {name: value.astype(np.float64) for name, value in tensors.items()}

    def norm(self, name, x):
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        x = (x - mean) / np.sqrt(variance + self.config["layer_norm_eps"])
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def linear(self, name, x):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def vector(self, ids):
        heads = self.config["num_attention_heads"]
        n, d = len(ids), self.config["hidden_size"]
        x = (self.w["embeddings.word_embeddings.weight"][ids]
             + self.w["embeddings.token_type_embeddings.weight"][0]
             + self.w["embeddings.position_embeddings.weight"][:n])
        x = self.norm("embeddings.LayerNorm", x)
        for i in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{i}."
            q, k, v = (self.linear(layer + "attention.self." + part, x).reshape(n, heads, d // heads)
                       for part in ("query", "key", "value"))
            scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(d // heads)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            attended = np.einsum("hqk,khd->qhd", weights, v).reshape(n, d)
            x = self.norm(layer + "attention.output.LayerNorm",
                          x + self.linear(layer + "attention.output.dense", attended))
            hidden = self.linear(layer + "intermediate.dense", x)
            hidden = 0.5 * hidden * (1 + ERF(hidden / math.sqrt(2)))
            x = self.norm(layer + "output.LayerNorm", x + self.linear(layer + "output.dense", hidden))
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


def results(folder, texts, max_tokens):
    config = json.loads((folder / "config.json").read_text())
    tok = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tok.no_padding()
    tok.no_truncation()
    tok.encode_special_tokens = True
    bert = Bert(config, read_safetensors(folder / "model.safetensors"))
    out = []
    for text in texts:
        ids = tok.encode(text).ids
        assert len(ids) <= max_tokens, len(ids)
        vector = bert.vector(ids).astype("<f4").tobytes()
        out.append({"text": text, "tokens": len(ids), "vector": base64.b64encode(vector).decode()})
    print(folder, [entry["tokens"] for entry in out])
    return out


def write(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def tiny(folder):
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "un", "##aff", "##able", ",", "!"]
    words += [f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"]
    config = {"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": 48,
              "intermediate_size": 80, "layer_norm_eps": 1e-12, "max_position_embeddings": 160,
              "num_attention_heads": 3, "num_hidden_layers": 2, "type_vocab_size": 2, "vocab_size": len(words),
              "position_embedding_type": "absolute"}
    write(folder / "config.json", config)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})
    special = [{"id": i, "content": words[i], "special": True, "single_word": False, "lstrip": False,
                "rstrip": False, "normalized": False} for i in range(5)]
    write(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [words.index(name)], "tokens": [name]}
                               for name in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {word: i for i, word in enumerate(words)}}})
    random = np.random.default_rng(7)
    d, f = config["hidden_size"], config["intermediate_size"]
    tensors = {}

    def linear(name, rows, cols):
        tensors[name + ".weight"] = random.normal(0, 0.2, (rows, cols))
        tensors[name + ".bias"] = random.normal(0, 0.1, rows)

    def norm(name):
        tensors[name + ".weight"] = random.normal(1, 0.1, d)
        tensors[name + ".bias"] = random.normal(0, 0.1, d)
    for name, rows in (("word", len(words)), ("position", config["max_position_embeddings"]), ("token_type", 2)):
        tensors[f"embeddings.{name}_embeddings.weight"] = random.normal(0, 0.5, (rows, d))
    norm("embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(layer + "attention." + part, d, d)
        norm(layer + "attention.output.LayerNorm")
        linear(layer + "intermediate.dense", f, d)
        linear(layer + "output.dense", d, f)
        norm(layer + "output.LayerNorm")
    write_safetensors(folder / "model.safetensors", tensors)


def main():
    out, model = Path(sys.argv[1]), Path(sys.argv[2])
    tiny(out / "tiny")
    write(out / "tiny" / "vectors.json", results(out / "tiny", TINY_TEXTS, 128))
    write(out / "minilm.json", results(model, TEXTS, 256))


if __name__ == "__main__":
    main()
