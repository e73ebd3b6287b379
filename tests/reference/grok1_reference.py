"""Grok-1's forward pass in plain PyTorch, after the published model code (xai-org/grok-1, Apache-2.0):
norms before and after both halves of a layer, attention scores capped by 30 tanh(x / 30), two of the
experts chosen by a softmax over all of them without renormalisation, gated GELU experts.

Names follow the public Hugging Face ports of the checkpoint.
"""

import torch
import torch.nn.functional as F


def grok1_weights(c):
    """Shapes of all weights, as zeros."""
    d, f, heads, kv = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"], c["num_key_value_heads"]
    dim = d // heads
    out = {"model.embed_tokens.weight": (c["vocab_size"], d), "model.norm.weight": (d,),
           "lm_head.weight": (c["vocab_size"], d)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        for n in ("pre_attn_norm", "post_attn_norm", "pre_moe_norm", "post_moe_norm"):
            out[f"{p}.{n}.weight"] = (d,)
        out[f"{p}.attn.q_proj.weight"] = (heads * dim, d)
        out[f"{p}.attn.k_proj.weight"] = (kv * dim, d)
        out[f"{p}.attn.v_proj.weight"] = (kv * dim, d)
        out[f"{p}.attn.o_proj.weight"] = (d, heads * dim)
        out[f"{p}.moe_block.gate.weight"] = (c["num_experts"], d)
        for e in range(c["num_experts"]):
            out[f"{p}.moe_block.experts.{e}.linear.weight"] = (f, d)
            out[f"{p}.moe_block.experts.{e}.linear_v.weight"] = (f, d)
            out[f"{p}.moe_block.experts.{e}.linear_1.weight"] = (d, f)
    return {name: torch.zeros(shape) for name, shape in out.items()}


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotate(x, theta):
    n, _, dim = x.shape
    inverse = 1.0 / theta ** (torch.arange(0, dim, 2).float() / dim)
    angle = torch.arange(n).float()[:, None] * inverse
    angle = torch.cat([angle, angle], -1)[:, None, :]
    half = torch.cat([-x[..., dim // 2:], x[..., : dim // 2]], -1)
    return x * angle.cos() + half * angle.sin()


def grok1_logits(c, w, tokens):
    n, heads, kv = len(tokens), c["num_attention_heads"], c["num_key_value_heads"]
    dim, eps = c["hidden_size"] // heads, c["rms_norm_eps"]
    x = w["model.embed_tokens.weight"][tokens] * c["embedding_multiplier_scale"]
    mask = torch.full((n, n), float("-inf")).triu(1)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        h = norm(x, w[f"{p}.pre_attn_norm.weight"], eps)
        q = rotate((h @ w[f"{p}.attn.q_proj.weight"].T).view(n, heads, dim), c["rope_theta"])
        k = rotate((h @ w[f"{p}.attn.k_proj.weight"].T).view(n, kv, dim), c["rope_theta"])
        v = (h @ w[f"{p}.attn.v_proj.weight"].T).view(n, kv, dim)
        k, v = (t.repeat_interleave(heads // kv, dim=1) for t in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) * c["attn_output_multiplier"]
        cap = c["max_attn_value"]
        scores = cap * torch.tanh(scores / cap) + mask
        h = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(n, heads * dim)
        x = x + norm(h @ w[f"{p}.attn.o_proj.weight"].T, w[f"{p}.post_attn_norm.weight"], eps)
        h = norm(x, w[f"{p}.pre_moe_norm.weight"], eps)
        probabilities = (h @ w[f"{p}.moe_block.gate.weight"].T).softmax(-1)
        chosen = probabilities.topk(c["num_selected_experts"], dim=-1)
        y = torch.zeros_like(h)
        for row in range(n):
            for weight, e in zip(chosen.values[row], chosen.indices[row].tolist()):
                q_ = f"{p}.moe_block.experts.{e}"
                gate = F.gelu(h[row] @ w[f"{q_}.linear.weight"].T, approximate="tanh")
                y[row] += weight * ((gate * (h[row] @ w[f"{q_}.linear_v.weight"].T)) @ w[f"{q_}.linear_1.weight"].T)
        x = x + norm(y, w[f"{p}.post_moe_norm.weight"], eps)
    return norm(x, w["model.norm.weight"], eps) @ w["lm_head.weight"].T * c["output_multiplier_scale"]
