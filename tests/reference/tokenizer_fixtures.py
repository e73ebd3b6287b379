"""Writes what the reference tokenizers make of the corpus, as fixtures of the Rust tests.

Usage: tokenizer_fixtures.py OUT_FOLDER NAME=FILE ...
where FILE is a tokenizer.json (reference: the Python package `tokenizers`) or a GGUF file with a byte-level
vocabulary (its tokenizer.json is put together from its metadata and the family's pre-tokenizer).

For each name, OUT_FOLDER/NAME.ids holds, for each string in turn, the number of tokens as one LEB128 number and
the 32-bit FNV-1a hash of the ids (each as a 32-bit little-endian number), little-endian.
"""
import struct
import sys
from pathlib import Path

import tokenizers

from tokenizer_corpus import corpus


def from_gguf(path):
    import gguf
    reader = gguf.GGUFReader(path)

    def value(key):
        field = reader.fields.get("tokenizer.ggml." + key)
        return None if field is None else field.contents()
    assert value("model") == "gpt2" and value("pre") == "smollm", (value("model"), value("pre"))
    tokens, types = value("tokens"), value("token_type")
    merges = [tuple(m.split(" ")) for m in value("merges")]
    tok = tokenizers.Tokenizer(tokenizers.models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    pre = tokenizers.pre_tokenizers
    tok.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
    tok.decoder = tokenizers.decoders.ByteLevel()
    tok.add_special_tokens([t for t, kind in zip(tokens, types) if kind == 3])
    return tok


def leb128(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def fnv1a(data):
    state = 0x811c9dc5
    for byte in data:
        state = (state ^ byte) * 0x01000193 & 0xffffffff
    return state


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    texts = corpus()
    for argument in sys.argv[2:]:
        name, file = argument.split("=", 1)
        tok = from_gguf(file) if file.endswith(".gguf") else tokenizers.Tokenizer.from_file(file)
        tok.encode_special_tokens = True
        # An encoder's file asks for both.
        tok.no_padding()
        tok.no_truncation()
        out = bytearray()
        total = 0
        for text in texts:
            ids = tok.encode(text, add_special_tokens=False).ids
            total += len(ids)
            out += leb128(len(ids)) + struct.pack("<I", fnv1a(struct.pack(f"<{len(ids)}I", *ids)))
        (folder / f"{name}.ids").write_bytes(out)
        print(name, len(texts), "strings", total, "tokens", len(out), "bytes")


if __name__ == "__main__":
    main()
