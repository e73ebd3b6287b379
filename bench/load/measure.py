"""The measurements: each starts a server, lets the client load it, and gives figures by name."""

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time

import engines
from engines import Failed
from prompts import ANSWER_TOKENS, QUESTIONS, chat, completion, said

COST_ANSWER_TOKENS = 32
# Of so many streams each time: one alone is over in a third of a second.
COST_BURSTS = 9
DRAIN_CLIENTS = 32
# After a signal until a server may be expected to act on it; the streams go on for longer.
SIGNAL_SEEN_S = 0.2
SOAK_CLIENTS = 8
# Of the soak, before memory is watched.
WARM_UP_SHARE = 0.2
# No load here takes so long unless something hangs.
TIMEOUT_S = 1800


class Client:
    """The program that sends requests."""

    def __init__(self, program):
        self.program = program

    def start(self, server, requests, clients, *options):
        """The running program, and the file of requests that must live as long."""
        plan = tempfile.NamedTemporaryFile("w", suffix=".jsonl")
        plan.write("\n".join(json.dumps(request) for request in requests))
        plan.flush()
        command = [self.program, server.address, plan.name, "--clients", clients, *options]
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return process, plan

    def figures(self, process, plan):
        with plan:
            try:
                out, err = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise Failed(f"no end after {TIMEOUT_S} s") from None
            finally:
                if process.poll() is None:
                    process.kill()
                    process.communicate()
        if process.returncode != 0:
            raise Failed(f"the client: {err.strip() or process.returncode}")
        return json.loads(out)

    def load(self, server, requests, clients, *options):
        return self.figures(*self.start(server, requests, clients, *options))


def warm_up(client, server):
    """Touches weights, buffers and threads once."""
    client.load(server, [completion("Once upon a time", 4)], 1)


def load(client, engine, texts, clients):
    """Streams of all clients at once, one after another each."""
    with engine.start(clients) as server:
        warm_up(client, server)
        idle = server.rss_mib()
        found = client.load(server, [completion(text) for text in texts], clients)
        peak = server.rss_mib("VmHWM")
    figures = {
        f"tok_s_{clients}": found["tok_s"],
        f"failed_{clients}": found["failed"],
        f"prompt_tokens_{clients}": found["prompt_tokens"] / found["requests"],
        f"idle_rss_mib_{clients}": idle,
        f"peak_rss_mib_{clients}": peak,
    }
    if found["answer_tokens"]:
        figures[f"answer_tokens_{clients}"] = min(found["answer_tokens"])
    for name, told in [("ttft", found["ttft_s"]), ("inter_token", found["inter_token_s"])]:
        if told:
            figures |= {f"{name}_{part}_s_{clients}": told[part] for part in ("p50", "p99")}
    if found["failed"]:
        # The figures of a load that failed in part say nothing about speed.
        kept = {f"failed_{clients}", f"peak_rss_mib_{clients}"}
        figures = {name: value for name, value in figures.items() if name in kept}
    return figures, found["failures"]


def cost(client, engine):
    """Decode over HTTP from nearly empty caches beside the same work in `terang bench`."""
    figures = {}
    alone = engines.Terang(engine.program, engine.model, engine.threads)
    benches = [alone.measure("batched")]
    with engine.start() as server:
        warm_up(client, server)
        for sequences in engines.BATCHES:
            # Token ids that every vocabulary has; each stream begins with its own.
            requests = [completion([1000 + index], COST_ANSWER_TOKENS) for index in range(sequences)]
            bursts = []
            for _ in range(COST_BURSTS):
                found = client.load(server, requests, sequences)
                if found["failed"] or not found["together_tok_s"]:
                    raise Failed(f"{sequences} streams together: {found['failures']}")
                bursts.append(found["together_tok_s"])
            figures[f"http_{sequences}"] = statistics.median(bursts)
            # Between the streams, so that both know the machine's better and worse moments.
            benches.append(alone.measure("batched"))
    for sequences in engines.BATCHES:
        found = statistics.median(bench[f"batched_{sequences}"] for bench in benches)
        figures[f"bench_{sequences}"] = found
        figures[f"cost_{sequences}"] = figures[f"http_{sequences}"] / figures[f"bench_{sequences}"]
    return figures


def turns(client, engine, text, short_text, index):
    """The second turn of a long chat beside a fresh prompt of the length that the loads have, by the
    time to the first token; and beside a fresh question of a few words."""
    first, second, third = (QUESTIONS[(3 * index + i) % len(QUESTIONS)] for i in range(3))
    with engine.start() as server:
        client.load(server, [chat([said("user", "Hello")], 4)], 1)
        asked = [said("user", f"{text}\n\n{first}")]
        begun = client.load(server, [chat(asked)], 1, "--answers")
        [answer] = begun["answers"]
        asked += [said("assistant", answer), said("user", second)]
        then = client.load(server, [chat(asked, 8)], 1)
        fresh = client.load(server, [chat([said("user", short_text)], 8)], 1)
        question = client.load(server, [chat([said("user", third)], 8)], 1)
    for found in (begun, then, fresh, question):
        if found["failed"] or not found["ttft_s"]:
            raise Failed(f"a turn gave nothing: {found['failures']}")
    second_s, fresh_s = then["ttft_s"]["p50"], fresh["ttft_s"]["p50"]
    return {
        "first_turn_tokens": begun["prompt_tokens"],
        "first_turn_ttft_s": begun["ttft_s"]["p50"],
        "second_turn_ttft_s": second_s,
        "fresh_ttft_s": fresh_s,
        "question_ttft_s": question["ttft_s"]["p50"],
        "second_turn": second_s / fresh_s,
    }


def drain(client, engine, texts):
    """SIGTERM when all streams have begun: each must come to its end."""
    requests = [completion(text) for text in texts[:DRAIN_CLIENTS]]
    with engine.start() as server:
        warm_up(client, server)
        process, plan = client.start(server, requests, DRAIN_CLIENTS, "--tell-started")
        if process.stderr.readline().strip() != "started":
            found = client.figures(process, plan)
            raise Failed(f"not all streams began: {found['failures']}")
        begun = time.monotonic()
        server.ask_to_end()
        refused = is_refused(server)
        found = client.figures(process, plan)
        seconds = time.monotonic() - begun
        code = server.ended()
    complete = found["answer_tokens"] == [ANSWER_TOKENS, ANSWER_TOKENS]
    if code != 0:
        raise Failed(f"the server ended with {code}")
    return {
        "drain_lost": DRAIN_CLIENTS - found["completed"] if complete else DRAIN_CLIENTS,
        "drain_s": seconds,
        "drain_refused_new": int(refused),
    }


def is_refused(server):
    """Whether new work finds no place, once the signal has been seen."""
    time.sleep(SIGNAL_SEEN_S)
    try:
        server.post("/v1/completions", {"model": "model", "prompt": "Too late", "max_tokens": 1})
    except (Failed, OSError):
        return True
    return False


def soak(client, engine, requests, seconds):
    """A mixed load for so long; resident memory each second."""
    samples = []
    with engine.start() as server:
        over = threading.Event()
        begun = time.monotonic()

        def watch():
            while not over.wait(1):
                samples.append((time.monotonic() - begun, server.rss_mib()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            found = client.load(server, requests, SOAK_CLIENTS, "--seconds", seconds)
        finally:
            over.set()
            watcher.join()
    warm = [rss for at, rss in samples if WARM_UP_SHARE * seconds <= at <= seconds]
    if not warm:
        raise Failed("too short for a sample of memory")
    middle = statistics.median(warm)
    return {
        "seconds": seconds,
        "requests": found["requests"],
        "failed": found["failed"],
        "failures": found["failures"],
        "tok_s": found["tok_s"],
        "rss_mib": {"median": middle, "min": min(warm), "max": max(warm),
                    "first": warm[0], "last": warm[-1]},
        "drift": max(max(warm) - middle, middle - min(warm)) / middle,
        "samples": [[round(at, 1), round(rss, 1)] for at, rss in samples],
    }


def model_mib(model):
    return os.path.getsize(model) / 2**20
