"""Training steps of PyTorch, for bench/peers/train.py: one shape in one mode, a line of JSON."""

import argparse
import json
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn

SHAPES = {
    "6.45M": dict(d=256, layers=6, ffn=688, vocab=8192, sequence=256, batch=8),
    "31.6M": dict(d=512, layers=8, ffn=1376, vocab=16384, sequence=512, batch=8),
}
HEADS, KV_HEADS = 8, 4


class Layer(nn.Module):
    """A Llama layer: grouped queries, rotary positions, SwiGLU."""

    def __init__(self, d, ffn):
        super().__init__()
        self.head_dim = d // HEADS
        self.norm1, self.norm2 = nn.RMSNorm(d, eps=1e-5), nn.RMSNorm(d, eps=1e-5)
        self.qkv = nn.Linear(d, (HEADS + 2 * KV_HEADS) * self.head_dim, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.gate_up = nn.Linear(d, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, d, bias=False)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        heads = self.qkv(self.norm1(x)).view(b, t, HEADS + 2 * KV_HEADS, self.head_dim).transpose(1, 2)
        q, k, v = heads.split([HEADS, KV_HEADS, KV_HEADS], dim=1)
        rotate = lambda x: torch.cat([-x[..., self.head_dim // 2 :], x[..., : self.head_dim // 2]], -1)
        q, k = q * cos + rotate(q) * sin, k * cos + rotate(k) * sin
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    """The decoder, its head tied to the embedding; gives the loss."""

    def __init__(self, d, layers, ffn, vocab, sequence, batch):
        super().__init__()
        self.embedding = nn.Embedding(vocab, d)
        self.layers = nn.ModuleList(Layer(d, ffn) for _ in range(layers))
        self.norm = nn.RMSNorm(d, eps=1e-5)
        half = d // HEADS // 2
        angles = torch.outer(torch.arange(sequence), 10000.0 ** (-torch.arange(half) / half)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        cos, sin = self.cos.to(x.dtype), self.sin.to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("precision", choices=["f32", "bf16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    shape = SHAPES[options.shape]
    model = Model(**shape)
    step_of = torch.compile(model) if options.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, betas=(0.9, 0.95), fused=True)
    tokens = torch.randint(shape["vocab"], (shape["batch"], shape["sequence"] + 1))
    seconds = []
    for _ in range(options.steps + 2):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = step_of(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - started)
    seconds = sorted(seconds[2:])
    count = shape["batch"] * shape["sequence"]
    print(json.dumps({
        "shape": options.shape,
        "mode": options.precision + (" compiled" if options.compile else " eager"),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_per_s": count / seconds[len(seconds) // 2],
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "torch": torch.__version__,
    }))


main()
