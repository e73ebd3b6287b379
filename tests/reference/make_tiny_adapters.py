"""Tiny random LoRA adapters over the tiny models of make_tiny_models.py, with reference logits.

Each folder under tests/fixtures/adapters belongs to the model of the same family under
tests/fixtures/tiny and holds the adapter as PEFT saves it (adapter_config.json and
adapter_model.safetensors), as llama.cpp's converter writes it (adapter.gguf), and
expected.safetensors (`tokens` and `logits`, the model's with `W + scale B A` in the place of each
weight, computed here in float64). The same code without an adapter is first held to the logits that
transformers gave for the model.

Run: pip install gguf safetensors numpy
     python tests/reference/make_tiny_adapters.py
"""

import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

FIXTURES = Path(__file__).parents[1] / "fixtures"

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
# family: rank, alpha, rslora, storage type, projections
ADAPTERS = {
    "llama": (4, 8, False, "F32", ATTENTION + MLP),
    "qwen2": (3, 6, True, "F16", ["q_proj", "v_proj"]),
    "qwen3": (17, 20, False, "BF16", ["k_proj", "o_proj", "up_proj", "down_proj"]),
}
GGUF_NAMES = {
    "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
    "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down",
}


def read_safetensors(path):
    """All tensors as float64; numpy knows no bfloat16."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    out = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = data[8 + size + begin:8 + size + end]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(raw, {"F32": np.float32, "F16": np.float16}[entry["dtype"]])
        out[name] = values.astype(np.float64).reshape(entry["shape"])
    return out


def norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rope(x, theta):
    """`x` is [tokens, heads, head_dim]; halves are pairs."""
    dim = x.shape[-1]
    angles = np.arange(len(x))[:, None] / theta ** (np.arange(0, dim, 2) / dim)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    a, b = x[..., :dim // 2], x[..., dim // 2:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def logits(config, weights, tokens):
    """Llama, Qwen2 and Qwen3 without windows or scaled positions."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // heads
    eps, theta = config["rms_norm_eps"], config["rope_parameters"]["rope_theta"]
    n = len(tokens)
    x = weights["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        def get(name):
            return weights.get(f"model.layers.{layer}.{name}")

        def project(name, y):
            bias = get(f"{name}.bias")
            return y @ get(f"{name}.weight").T + (0 if bias is None else bias)

        y = norm(x, get("input_layernorm.weight"), eps)
        q = project("self_attn.q_proj", y).reshape(n, heads, dim)
        k = project("self_attn.k_proj", y).reshape(n, kv_heads, dim)
        v = project("self_attn.v_proj", y).reshape(n, kv_heads, dim)
        if get("self_attn.q_norm.weight") is not None:
            q = norm(q, get("self_attn.q_norm.weight"), eps)
            k = norm(k, get("self_attn.k_norm.weight"), eps)
        q, k = rope(q, theta), rope(k, theta)
        k, v = (np.repeat(t, heads // kv_heads, axis=1) for t in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim)
        scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        attended = np.einsum("hqk,khd->qhd", scores, v).reshape(n, -1)
        x = x + project("self_attn.o_proj", attended)
        y = norm(x, get("post_attention_layernorm.weight"), eps)
        gate = project("mlp.gate_proj", y)
        y = gate / (1 + np.exp(-gate)) * project("mlp.up_proj", y)
        x = x + project("mlp.down_proj", y)
    x = norm(x, weights["model.norm.weight"], eps)
    return x @ weights.get("lm_head.weight", weights["model.embed_tokens.weight"]).T


def permute(weight, heads):
    """As llama.cpp's converter reorders rows of its llama architecture."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def to_bfloat16(x):
    """Nearest, ties to even."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def write_safetensors(path, tensors, dtype):
    """By hand for bfloat16, which numpy does not know."""
    header, data = {}, b""
    for name, tensor in sorted(tensors.items()):
        raw = {
            "F32": lambda t: t.astype(np.float32),
            "F16": lambda t: t.astype(np.float16),
            "BF16": to_bfloat16,
        }[dtype](tensor).tobytes()
        header[name] = dict(dtype=dtype, shape=tensor.shape, data_offsets=[len(data), len(data) + len(raw)])
        data += raw
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


def write_gguf(path, family, config, alpha, pairs, dtype):
    writer = gguf.GGUFWriter(path, family)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    kind = gguf.GGMLQuantizationType[dtype]
    for (layer, name), (a, b) in pairs.items():
        if family == "llama" and name in ("q_proj", "k_proj"):
            heads = "num_attention_heads" if name == "q_proj" else "num_key_value_heads"
            b = permute(b, config[heads])
        for suffix, tensor in (("lora_a", a), ("lora_b", b)):
            tensor = gguf.quants.quantize(np.ascontiguousarray(tensor, dtype=np.float32), kind)
            writer.add_tensor(f"blk.{layer}.{GGUF_NAMES[name]}.weight.{suffix}", tensor, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(family):
    rank, alpha, rslora, dtype, names = ADAPTERS[family]
    random = np.random.default_rng(sum(family.encode()))
    base = FIXTURES / "tiny" / family
    config = json.loads((base / "config.json").read_text())
    weights = read_safetensors(base / "model.safetensors")
    known = read_safetensors(base / "expected.safetensors")
    tokens = known["tokens"].astype(int)
    plain = logits(config, weights, tokens)
    off = np.abs(plain - known["logits"]).max() / np.abs(known["logits"]).max()
    assert off < 1e-5, f"{family}: {off} off transformers without an adapter"
    scale = alpha / (np.sqrt(rank) if rslora else rank)
    pairs, merged = {}, dict(weights)
    for layer in range(config["num_hidden_layers"]):
        for name in names:
            module = f"model.layers.{layer}.{'mlp' if name in MLP else 'self_attn'}.{name}"
            out, width = weights[f"{module}.weight"].shape
            # Exact in every storage type, so that all hold the same adapter.
            def exact(shape, size):
                noise = random.standard_normal(shape) * size
                return (to_bfloat16(noise).astype(np.uint32) << 16).view(np.float32).astype(np.float64)

            a = exact((rank, width), 1 / np.sqrt(width))
            b = exact((out, rank), 0.5 / scale / np.sqrt(rank))
            pairs[layer, name] = (a, b)
            merged[f"{module}.weight"] = weights[f"{module}.weight"] + scale * b @ a
    adapted = logits(config, merged, tokens)
    folder = FIXTURES / "adapters" / family
    folder.mkdir(parents=True, exist_ok=True)
    settings = dict(
        alpha_pattern={}, auto_mapping=None, base_model_name_or_path="tiny", bias="none",
        corda_config=None, eva_config=None, exclude_modules=None, fan_in_fan_out=False,
        inference_mode=True, init_lora_weights=True, layer_replication=None,
        layers_pattern=None, layers_to_transform=None, loftq_config={}, lora_alpha=alpha,
        lora_bias=False, lora_dropout=0.05, megatron_config=None, megatron_core="megatron.core",
        modules_to_save=None, peft_type="LORA", r=rank, rank_pattern={}, revision=None,
        target_modules=names, task_type="CAUSAL_LM", trainable_token_indices=None, use_dora=False,
        use_rslora=rslora,
    )
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    tensors = {}
    for (layer, name), (a, b) in pairs.items():
        part = "mlp" if name in MLP else "self_attn"
        module = f"base_model.model.model.layers.{layer}.{part}.{name}"
        tensors[f"{module}.lora_A.weight"] = a
        tensors[f"{module}.lora_B.weight"] = b
    write_safetensors(folder / "adapter_model.safetensors", tensors, dtype)
    # GGUF knows one way to the factor; its alpha gives the same one.
    write_gguf(folder / "adapter.gguf", family, config, scale * rank, pairs, dtype)
    save_file({"tokens": tokens.astype(np.float32), "logits": adapted.astype(np.float32)},
              folder / "expected.safetensors")
    change = np.abs(adapted - plain).max() / np.abs(plain).max()
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{family}: {off:.1e} off transformers without it, changes logits by {change:.2f}, {size} bytes")


if __name__ == "__main__":
    for family in ADAPTERS:
        make(family)
