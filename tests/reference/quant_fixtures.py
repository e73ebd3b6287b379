#!/usr/bin/env python3
"""Writes crates/kernels/tests/fixtures/quant.bin: random blocks of every storage type with the
values that the reference package says they stand for, and rows with their quantized blocks.

    pip install gguf==0.19.0 numpy
    python tests/reference/quant_fixtures.py

Records: name (1 byte of length, bytes), element count u32, byte count u32, blocks, values f32.
A name that starts with "to:" holds values that were quantized rather than dequantized.
"""

import pathlib
import struct

import gguf
import numpy as np

TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K",
         "Q5_K", "Q6_K", "IQ4_NL", "MXFP4"]
QUANTIZE = ["Q8_0", "Q4_0", "Q4_1", "BF16", "F16"]
# Offsets of the f16 scales in a block.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
# Zeros, least and greatest subnormal, least normal, one, greatest, infinities, NaN, and negatives.
EXTREME = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00,
           0xFC00, 0x7E00]


def record(name, blocks, values):
    name = name.encode()
    return (struct.pack("<B", len(name)) + name + struct.pack("<II", values.size, blocks.size)
            + blocks.tobytes() + values.astype("<f4").tobytes())


def main():
    rng = np.random.default_rng(7)
    out = b""
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        length, size = gguf.GGML_QUANT_SIZES[kind]
        count = {1: 512, 32: 24, 256: 14}[length]
        if name == "MXFP4":
            count = 256
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for offset in SCALES.get(name, []):
            usual = rng.normal(0, 0.02, count).astype(np.float16).view(np.uint16)
            usual[: len(EXTREME)] = rng.permutation(EXTREME)
            blocks[:, offset : offset + 2] = usual.reshape(-1, 1).view(np.uint8)
        if name == "MXFP4":
            blocks[:, 0] = np.arange(256)
        with np.errstate(all="ignore"):
            values = gguf.dequantize(blocks.reshape(1, -1), kind)
        out += record(name, blocks, values)
    for name in QUANTIZE:
        values = rng.normal(0, 1, 32 * 24).astype(np.float32).reshape(24, 32)
        values *= np.exp2(rng.integers(-12, 6, (24, 1))).astype(np.float32)
        values[3] = 0
        values[4, :] = np.tile([0.5, -0.5], 16)
        blocks = gguf.quantize(values, gguf.GGMLQuantizationType[name]).view(np.uint8)
        out += record("to:" + name, blocks, values)
    path = pathlib.Path(__file__).parents[2] / "crates/kernels/tests/fixtures/quant.bin"
    path.write_bytes(out)
    print(path, len(out))


if __name__ == "__main__":
    main()
