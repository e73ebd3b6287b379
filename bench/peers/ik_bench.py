"""Times ik_llama.cpp through its Python package: ik_bench.py MODEL THREADS PART.

The package's wheel is built for AVX2, not for this machine. Run-time repacking is asked for, if the
package can do that; the library's log, on standard error, says how many tensors it took. Prints
figures as one line of JSON.
"""

import importlib.metadata
import json
import sys
import time

import ik_llama_cpp._ctypes_api as ik

from engines import BATCHED_PROMPTS, BATCHED_TOKENS, BATCHES, COLD_PROMPT, DECODE_TOKENS, DEPTHS, PREFILL


class Context:
    """A loaded model with a cache for `positions` of `sequences`."""

    def __init__(self, model, threads, positions, sequences=1):
        # Its flash attention stops at sequences that do not share a beginning.
        flash_attention = sequences == 1
        ik.llama_backend_init()
        params = ik.llama_model_default_params()
        params.use_mmap = False
        if can_repack():
            params.repack_tensors = True
        self.model = ik.llama_model_load_from_file(model.encode(), params)
        if not self.model:
            sys.exit("the model cannot be loaded")
        params = ik.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = positions, 2048, 512
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn = flash_attention
        self.context = ik.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit("no context")
        # ik_llama.cpp asks the model itself for its vocabulary.
        self.vocab_size = ik.llama_vocab_n_tokens(ik.llama_model_get_vocab(self.model))

    def clear(self):
        ik.llama_kv_cache_clear(self.context)

    def forward(self, entries):
        """Evaluates (sequence, position, wants logits) entries in one call; gives the seconds."""
        batch = ik.llama_batch_init(len(entries), 0, 1)
        batch.n_tokens = len(entries)
        for i, (sequence, position, logits) in enumerate(entries):
            batch.token[i] = (position * 7919 + sequence * 31 + 17) % self.vocab_size
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = logits
        begun = time.perf_counter()
        if ik.llama_decode(self.context, batch) != 0:
            sys.exit("llama_decode failed")
        # The logits are there when somebody asks for them.
        ik.llama_get_logits_ith(self.context, len(entries) - 1)
        seconds = time.perf_counter() - begun
        ik.llama_batch_free(batch)
        return seconds

    def prefill(self, tokens):
        return self.forward([(0, i, i + 1 == tokens) for i in range(tokens)])

    def decode(self, depth, tokens):
        return sum(self.forward([(0, depth + i, True)]) for i in range(tokens))

    def step(self, sequences, position):
        return self.forward([(i, position, True) for i in range(sequences)])


def can_repack():
    return any(name == "repack_tensors" for name, _ in ik.llama_model_params._fields_)


def prefill(model, threads):
    context = Context(model, threads, max(PREFILL) + 64)
    context.prefill(PREFILL[0])
    figures = {}
    for tokens in PREFILL:
        context.clear()
        figures[f"prefill_{tokens}"] = tokens / context.prefill(tokens)
    return figures


def decode(model, threads):
    context = Context(model, threads, max(DEPTHS) + DECODE_TOKENS + 8)
    figures = {}
    for depth in DEPTHS:
        context.clear()
        if depth > 0:
            context.prefill(depth)
        context.decode(depth, 1)
        figures[f"decode_{depth}"] = DECODE_TOKENS / context.decode(depth + 1, DECODE_TOKENS)
    return figures


def batched(model, threads):
    return together(model, threads, "batched")


def chats(model, threads):
    return together(model, threads, "chats")


def together(model, threads, part):
    figures = {}
    prompt, sequences_max = BATCHED_PROMPTS[part], max(BATCHES)
    context = Context(model, threads, sequences_max * (prompt + BATCHED_TOKENS + 8), sequences_max)
    for sequences in BATCHES:
        context.clear()
        for sequence in range(sequences):
            context.forward([(sequence, i, i + 1 == prompt) for i in range(prompt)])
        context.step(sequences, prompt)
        seconds = sum(context.step(sequences, prompt + 1 + i) for i in range(BATCHED_TOKENS))
        figures[f"{part}_{sequences}"] = sequences * BATCHED_TOKENS / seconds
    return figures


def memory(model, threads):
    context = Context(model, threads, max(PREFILL) + 64)
    context.prefill(max(PREFILL))
    context.decode(max(PREFILL), DECODE_TOKENS)
    return {}


def cold(model, threads):
    context = Context(model, threads, 512)
    context.prefill(COLD_PROMPT)
    return {}


def version(_model, _threads):
    number = importlib.metadata.version("ik-llama-cpp-python")
    lack = "" if can_repack() else ", which cannot repack at run time"
    return {"version": f"{number}, AVX2 wheel{lack}"}


if __name__ == "__main__":
    parts = {f.__name__: f for f in [prefill, decode, batched, chats, memory, cold, version]}
    print(json.dumps(parts[sys.argv[3]](sys.argv[1], int(sys.argv[2]))))
