"""Gradients of a small Llama by PyTorch, in double precision: writes train_gradients.json beside this script.

The model is Hugging Face's own. Its weights are a formula of their tensor and place, so that the fixture holds
results alone: for each tensor the norm of its gradient, and some of its elements.

    pip install torch transformers
    python3 tests/reference/train_gradients.py
"""

import json
from pathlib import Path

import torch
import transformers

CONFIG = {
    "vocab_size": 61, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 32,
    "rms_norm_eps": 1e-5, "rope_theta": 100.0,
}
TOKENS = [(7 * i + 3) % 61 for i in range(20)]
TARGETS = [(5 * t + 1) % 61 for t in TOKENS]
WEIGHTS = [0.0 if i % 6 == 5 else 0.05 for i in range(20)]
DOCUMENTS = [(0, 9), (9, 10), (10, 20)]
Z_LOSS = 1e-2
SAMPLES = 12


def weights(name, shape):
    """In single precision, as a checkpoint has them."""
    seed = sum(name.encode())
    n = torch.Size(shape).numel()
    unit = torch.tensor([((7919 * i + 104729 * seed) % 2001 - 1000) / 1000 for i in range(n)])
    return (1 + unit / 8 if "norm" in name else unit / 4).float().double().reshape(shape)


def gradients(tied):
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **CONFIG, tie_word_embeddings=tied, attn_implementation="eager")).double()
    named = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(weights(name, parameter.shape))
    loss = torch.zeros((), dtype=torch.float64)
    plain = torch.zeros((), dtype=torch.float64)
    for first, last in DOCUMENTS:
        logits = model(torch.tensor([TOKENS[first:last]])).logits[0]
        log_sum = logits.logsumexp(-1)
        targets = torch.tensor(TARGETS[first:last])
        weight = torch.tensor(WEIGHTS[first:last], dtype=torch.float32).double()
        nats = log_sum - logits.gather(1, targets[:, None])[:, 0]
        plain = plain + (weight * nats).sum()
        z = torch.tensor(Z_LOSS, dtype=torch.float32).double()
        loss = loss + (weight * (nats + z * log_sum**2)).sum()
    loss.backward()
    tensors = {}
    for name, parameter in sorted(named.items()):
        flat = parameter.grad.flatten()
        step = 1 + flat.numel() // SAMPLES
        tensors[name] = {"norm": flat.norm().item(), "step": step, "elements": flat[::step].tolist()}
    return {"tied": tied, "loss": plain.item(), "tensors": tensors}


def main():
    fixture = {
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "config": CONFIG,
        "models": [gradients(True), gradients(False)],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(fixture, indent=1) + "\n")


main()
