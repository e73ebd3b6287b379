"""Tiny random models of every family, with the reference implementation's logits.

Each folder under tests/fixtures/tiny holds a Hugging Face model (config.json, model.safetensors) and
expected.safetensors (`tokens`, `logits` for all positions, all float32). Folders of families that GGUF
files exist for also hold the same weights as model.gguf, laid out as llama.cpp's converter does.

Run: pip install torch transformers gguf safetensors numpy
     python tests/reference/make_tiny_models.py [family ...]
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
from grok1_reference import grok1_logits, grok1_weights  # noqa: E402

OUT = Path(__file__).parents[1] / "fixtures" / "tiny"
VOCAB, LENGTH = 64, 40

BASE = dict(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=4.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=16)
GEMMA = dict(head_dim=16, query_pre_attn_scalar=16, sliding_window=16)

# family: (model_type, overrides)
FAMILIES = {
    "llama": ("llama", dict(rms_norm_eps=1e-5)),
    "llama3": ("llama", dict(rope_parameters=LLAMA3, tie_word_embeddings=True)),
    "llama-linear": ("llama", dict(rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.0))),
    "llama-yarn": ("llama", dict(rope_parameters=dict(
        rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16))),
    "llama-bias": ("llama", dict(attention_bias=True, mlp_bias=True)),
    "mistral": ("mistral", dict(head_dim=16, sliding_window=16)),
    "qwen2": ("qwen2", dict(tie_word_embeddings=True)),
    "qwen2-window": ("qwen2", dict(use_sliding_window=True, sliding_window=16, max_window_layers=1)),
    "qwen3": ("qwen3", dict(head_dim=16)),
    "gemma2": ("gemma2", dict(GEMMA, num_hidden_layers=3, query_pre_attn_scalar=12)),
    "gemma3": ("gemma3_text", dict(GEMMA, num_hidden_layers=6, intermediate_size=32)),
    "smollm3": ("smollm3", dict(num_hidden_layers=4, intermediate_size=32)),
    "mixtral": ("mixtral", dict(num_local_experts=4, num_experts_per_tok=2, intermediate_size=24)),
    "qwen3-moe": ("qwen3_moe", dict(head_dim=16, num_experts=6, num_experts_per_tok=2,
                                    moe_intermediate_size=16, norm_topk_prob=True, num_hidden_layers=3,
                                    mlp_only_layers=[1])),
    "grok-1": ("grok-1", dict(num_experts=4, num_selected_experts=2, intermediate_size=24,
                              embedding_multiplier_scale=78.38367176906169,
                              output_multiplier_scale=0.5773502691896257, max_attn_value=30.0,
                              attn_output_multiplier=0.08838834764831845, rms_norm_eps=1e-5)),
}
# Families with a GGUF twin, and llama.cpp's name of the architecture.
GGUF = {
    "llama": "llama", "llama3": "llama", "qwen2": "qwen2", "qwen3": "qwen3",
    "gemma3": "gemma3", "smollm3": "smollm3", "mixtral": "llama", "grok-1": "grok",
}


def randomize(name, tensor, generator):
    """Values large enough that a mistake anywhere shows in the logits, and exact in bfloat16, so
    that the files are small."""
    noise = torch.randn(tensor.shape, generator=generator)
    if "norm" in name and tensor.dim() == 1:
        value = noise * 0.3 + (0.0 if "gemma" in name else 1.0)
    elif tensor.dim() == 1:
        value = noise * 0.5
    else:
        value = noise * (1.5 / tensor.shape[-1] ** 0.5)
    return value.bfloat16().float()


def split_experts(weights):
    """Newer versions of transformers fuse experts; published checkpoints have one tensor each."""
    out = {}
    for name, tensor in weights.items():
        if tensor.dim() == 3:
            base, kind = name.rsplit(".", 1)
            kind = kind.removesuffix(".weight")
            mixtral = "block_sparse_moe" in base or MODEL_TYPE == "mixtral"
            base = base.replace(".mlp.", ".block_sparse_moe.") if mixtral else base
            names = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
            for e, expert in enumerate(tensor):
                if "gate_up" in kind:
                    gate, up = expert.chunk(2, dim=0)
                    out[f"{base}.{e}.{names[0]}.weight"] = gate.contiguous()
                    out[f"{base}.{e}.{names[1]}.weight"] = up.contiguous()
                else:
                    out[f"{base}.{e}.{names[2]}.weight"] = expert.contiguous()
        else:
            if MODEL_TYPE == "mixtral":
                name = name.replace(".mlp.gate.", ".block_sparse_moe.gate.")
            out[name] = tensor.contiguous()
    return out


def make(family):
    global MODEL_TYPE
    MODEL_TYPE, overrides = FAMILIES[family]
    generator = torch.Generator().manual_seed(sum(family.encode()))
    tokens = torch.randint(3, VOCAB, (LENGTH,), generator=generator)
    folder = OUT / family
    folder.mkdir(parents=True, exist_ok=True)
    if MODEL_TYPE == "grok-1":
        config = dict(BASE, **overrides, model_type="grok-1", rope_theta=10000.0)
        weights = {n: randomize(n, t, generator) for n, t in grok1_weights(config).items()}
        logits = grok1_logits(config, weights, tokens)
    else:
        hf = AutoConfig.for_model(MODEL_TYPE, **dict(BASE, **overrides))
        hf._attn_implementation = "eager"
        model = AutoModelForCausalLM.from_config(hf, dtype=torch.float32).eval()
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                key = f"gemma {name}" if "gemma" in MODEL_TYPE else name
                tensor.copy_(randomize(key, tensor, generator))
            logits = model(tokens[None], use_cache=False).logits[0]
        config = json.loads(hf.to_json_string())
        weights = dict(model.state_dict())
        if config.get("tie_word_embeddings"):
            weights.pop("lm_head.weight", None)
        weights = split_experts(weights)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    stored = {n: t if family == "llama" else t.bfloat16() for n, t in weights.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    save_file({"tokens": tokens.float(), "logits": logits.float().contiguous()},
              folder / "expected.safetensors")
    if family in GGUF:
        write_gguf(folder / "model.gguf", GGUF[family], family, config, weights)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{family}: logits std {logits.std():.2f}, {size} bytes, transformers {transformers.__version__}")


def permute(weight, heads):
    """Pairs of halves become neighbours, as llama.cpp's converter does for its llama architecture."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def add(writer, name, tensor):
    """Matrices in bfloat16, vectors in float32, as converters do."""
    tensor = np.ascontiguousarray(tensor, dtype=np.float32)
    if tensor.ndim == 1:
        writer.add_tensor(name, tensor)
    else:
        kind = gguf.GGMLQuantizationType.BF16
        writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)


def write_gguf(path, arch, family, config, weights):
    w = gguf.GGUFWriter(path, arch)
    c = config
    heads, kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
    head_dim = c.get("head_dim") or c["hidden_size"] // heads
    w.add_block_count(c["num_hidden_layers"])
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    rope = c.get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    w.add_rope_freq_base(rope.get("rope_theta", c.get("rope_theta", 10000.0)))
    w.add_rope_dimension_count(head_dim)
    if "num_local_experts" in c or family == "grok-1":
        w.add_expert_count(c.get("num_local_experts") or c["num_experts"])
        w.add_expert_used_count(c.get("num_experts_per_tok") or c["num_selected_experts"])
    if "gemma" in family:
        w.add_sliding_window(c["sliding_window"])
    if family == "gemma2":
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    w.add_tokenizer_model("gpt2")
    w.add_token_list([f"t{i}" for i in range(VOCAB)])
    if family == "llama3":
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
        hf = AutoConfig.for_model("llama", **{k: v for k, v in c.items() if k != "model_type"})
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](hf, "cpu")
        plain = 1.0 / (rope["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim))
        w.add_tensor("rope_freqs.weight", (plain / scaled).numpy().astype(np.float32))
    sandwich = "gemma" in family or family == "grok-1"
    renames = [
        ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
        ("model.layers.", "blk."), ("self_attn.", "attn."), ("attn.q_proj", "attn_q"),
        ("attn.k_proj", "attn_k"), ("attn.v_proj", "attn_v"), ("attn.o_proj", "attn_output"),
        ("attn.q_norm", "attn_q_norm"), ("attn.k_norm", "attn_k_norm"), ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "post_attention_norm" if sandwich else "ffn_norm"),
        ("pre_feedforward_layernorm", "ffn_norm"), ("post_feedforward_layernorm", "post_ffw_norm"),
        ("pre_attn_norm", "attn_norm"), ("post_attn_norm", "attn_output_norm"),
        ("pre_moe_norm", "ffn_norm"), ("post_moe_norm", "layer_output_norm"),
        ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
        ("block_sparse_moe.gate", "ffn_gate_inp"), ("moe_block.gate", "ffn_gate_inp"),
    ]
    experts = {"w1": "gate", "w3": "up", "w2": "down", "linear": "gate", "linear_v": "up", "linear_1": "down"}
    stacked = {}
    for name, tensor in weights.items():
        tensor = tensor.float().numpy()
        if ".experts." in name:
            prefix, rest = name.split(".experts.")
            expert, kind, _ = rest.split(".")
            layer = prefix.split(".")[2]
            stacked.setdefault(f"blk.{layer}.ffn_{experts[kind]}_exps.weight", {})[int(expert)] = tensor
            continue
        if arch in ("llama", "smollm3") and name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = permute(tensor, heads if "q_proj" in name else kv_heads)
        if "gemma" in family and "norm" in name:
            tensor = tensor + 1.0
        for old, new in renames:
            name = name.replace(old, new)
        add(w, name, tensor)
    for name, parts in stacked.items():
        add(w, name, np.stack([parts[e] for e in sorted(parts)]))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for family in sys.argv[1:] or FAMILIES:
        make(family)
