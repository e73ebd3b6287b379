#!/usr/bin/env python3
"""Writes the seeds of the file targets: small sound files (no packages needed).

    python fuzz/seeds/make.py
    mkdir -p fuzz/corpus/gguf && cd fuzz
    cargo fuzz run gguf corpus/gguf seeds/gguf -- -max_total_time=60
"""

import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def key(name, kind, value):
    return string(name) + struct.pack("<I", kind) + value


def array(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def gguf(version, keys, tensors):
    """`tensors`: name, dimensions innermost first, type number, bytes."""
    table, data = b"", b""
    for name, dims, kind, values in tensors:
        data += bytes(-len(data) % 32)
        table += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        table += struct.pack("<IQ", kind, len(data))
        data += values
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys) + table
    return head + bytes(-len(head) % 32) + data


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def main():
    keys = [
        key("general.architecture", 8, string("llama")),
        key("general.alignment", 4, struct.pack("<I", 32)),
        key("llama.block_count", 4, struct.pack("<I", 1)),
        key("llama.rope.freq_base", 6, struct.pack("<f", 1e4)),
        key("tokenizer.ggml.add_bos_token", 7, b"\1"),
        key("tokenizer.ggml.tokens", 9, array(8, [string("<unk>"), string("\u00e4")])),
        key("tokenizer.ggml.scores", 9, array(6, [struct.pack("<f", -1.0)] * 2)),
        key("nested", 9, array(9, [array(0, [b"\1", b"\2"]), array(11, [])])),
    ]
    # Type number, elements and bytes of a block.
    blocks = [(0, 1, 4), (1, 1, 2), (30, 1, 2), (2, 32, 18), (3, 32, 20), (6, 32, 22), (7, 32, 24),
              (8, 32, 34), (10, 256, 84), (11, 256, 110), (12, 256, 144), (13, 256, 176),
              (14, 256, 210), (20, 32, 18), (39, 32, 17)]
    tensors = [(f"w{kind}", [length, 2], kind, bytes(range(size)) * 2)
               for kind, length, size in blocks]
    row = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    seeds = {
        "gguf/keys": gguf(3, keys, []),
        "gguf/tensors": gguf(3, keys[:2], tensors),
        "gguf/version2": gguf(2, keys[:1], tensors[:1]),
        "gguf/empty": gguf(3, [], []),
        "safetensors/one": safetensors({"a": row}, bytes(16)),
        "safetensors/many": safetensors(
            {"__metadata__": {"format": "pt"}, "a": row,
             "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]},
             "c": {"dtype": "I64", "shape": [], "data_offsets": [22, 30]},
             "d": {"dtype": "F16", "shape": [0, 3], "data_offsets": [30, 30]}}, bytes(30)),
        "safetensors/empty": safetensors({}, b""),
    }
    for name, data in seeds.items():
        (HERE / name).write_bytes(data)


if __name__ == "__main__":
    main()
