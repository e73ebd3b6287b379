#!/usr/bin/env python3
"""Writes the seeds of the file targets: small sound files (no packages needed).

    python fuzz/seeds/make.py
    mkdir -p fuzz/corpus/gguf && cd fuzz
    cargo fuzz run gguf corpus/gguf seeds/gguf -- -max_total_time=60
"""

import io
import json
import pathlib
import struct
import zipfile

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


def pdf(content):
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << "
        "/F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
    ]
    out, places = "%PDF-1.7\n", []
    for number, item in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{item}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return (out + f"xref\n0 5\n0000000000 65535 f \n{table}{end}").encode()


def docx(body):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("word/document.xml")
        archive.writestr(member, f"<w:document><w:body>{body}</w:body></w:document>")
    return out.getvalue()


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
        # The first byte is the format, by its place in `Format::ALL`.
        "document/text": b"\0One. Two!\n\nThree? \xe5\xad\x97\xe3\x80\x82",
        "document/markdown": b"\1# A\n\ntext\n```\n# no\n```\nB\n===\nmore",
        "document/csv": b'\2a,b\n1,"x\ny ""z"""\n',
        "document/html": b"\3<title>a &amp; b</title><p>x<script>y</script><table><tr><td>1<td>2</table>",
        "document/pdf": b"\4" + pdf("BT /F1 12 Tf 72 680 Td (One) Tj [(tw) -300 (o)] TJ ET"),
        "document/docx": b"\5" + docx("<w:p><w:pPr><w:pStyle w:val='Heading1'/></w:pPr><w:t>A</w:t></w:p>"),
    }
    for name, data in seeds.items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_bytes(data)


if __name__ == "__main__":
    main()
