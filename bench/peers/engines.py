"""How each engine is made to do the work, and where its figures are read.

`measure(part)` gives figures by name: `prefill_N`, `decode_N`, `batched_N` and `chats_N` in tokens a
second, `peak_rss_mib`, `cold_s`.
"""

import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ["llama.cpp", "ik native", "ik wheel", "mistral.rs"]

PREFILL = [128, 512, 2048]
DEPTHS = [0, 512, 2048]
BATCHES = [1, 8, 32]
# Tokens that are generated for a figure, and the same for batches.
DECODE_TOKENS = 48
BATCHED_TOKENS = 24
# What each sequence has in the cache before, by part. The first must be read to be in a batch at all.
BATCHED_PROMPTS = {"batched": 1, "chats": 128}
# About as many as a chat template makes of a greeting.
COLD_PROMPT = 32
# No single measurement takes so long unless something hangs.
TIMEOUT_S = 1800


class Failed(Exception):
    """A measurement gave no figures."""


def comma(numbers):
    return ",".join(str(number) for number in numbers)


def run(command, env=None):
    """Both outputs of a process, and the seconds from its start to its end."""
    command = [str(part) for part in command]
    # Some write log files to where they are.
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, text=True, env=env, cwd=folder)
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed(f"no end after {TIMEOUT_S} s") from None
        seconds = time.monotonic() - begun
    if process.returncode != 0:
        last = (err.strip() or out.strip()).splitlines()[-1:] or ["no output"]
        raise Failed(f"exit code {process.returncode}: {last[0]}")
    return out, err, seconds


def peak_rss_mib(command, env=None):
    """Peak resident memory, as the system counts it for a process that has ended."""
    with open(os.devnull, "r+b") as nothing:
        process = subprocess.Popen([str(part) for part in command], stdin=nothing,
                                   stdout=nothing, stderr=nothing, env=env)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"exit code {process.returncode}")
    return usage.ru_maxrss / 1024


class Terang:
    """The engine of this repository."""

    name = "terang"

    def __init__(self, program, model, threads):
        self.program, self.model, self.threads = program, model, threads

    def version(self):
        return run([self.program, "--version"])[0].split()[-1]

    def measure(self, part):
        threads = ["--threads", self.threads]
        if part == "cold":
            command = [self.program, *threads, "chat", "--json", "--max-tokens=1",
                       "--temperature=0", f"--model={self.model}", "Hello"]
            return {"cold_s": run(command)[2]}
        only = "batched" if part in BATCHED_PROMPTS else part
        bench = [self.program, *threads, "bench", "--json", "--rounds=1", "--only", only,
                 f"--prompt={BATCHED_PROMPTS.get(part, 0)}", "--", self.model]
        found = json.loads(run(bench)[0])
        if part == "memory":
            return {"peak_rss_mib": found["peak_rss_bytes"] / 2**20}
        wanted = {"prefill": PREFILL, "decode": DEPTHS}.get(part, BATCHES)
        speeds = found[f"{only}_tok_s"]
        figures = {f"{part}_{n}": speeds[str(n)] for n in wanted}
        figures |= {f"limit_{name}": value for name, value in found["limits"].items()}
        figures |= {f"share_{part}_{n}": found["share_of_limit"][f"{only}_{n}"] for n in wanted}
        return {name: value for name, value in figures.items() if value is not None}


class LlamaCpp:
    """llama.cpp's own measuring programs."""

    name = "llama.cpp"
    no_warmup = ["--no-warmup"]
    extra = []

    def __init__(self, folder, model, threads, origin="a build that was given"):
        self.origin = origin
        self.folder = Path(folder).resolve()
        self.common = ["-m", model, "-t", threads]
        self.env = {**os.environ, "LD_LIBRARY_PATH": str(self.folder)}
        self.build = ""

    def version(self):
        return f"{self.origin}{self.build}"

    def bench(self, *options):
        """The rows of llama-bench."""
        command = [self.folder / "llama-bench", *self.common, *self.extra, "-r", 1, "-o", "json"]
        rows = json.loads(run([*command, *options], self.env)[0])
        # Sources that come without their history are build 0.
        if rows[0]["build_number"]:
            self.build = f", {rows[0]['build_number']} ({rows[0]['build_commit']})"
        return rows

    def decode_rows(self):
        """Depth and speed."""
        rows = self.bench("-p", 0, "-n", DECODE_TOKENS, "-d", comma(DEPTHS))
        return [(row["n_depth"], row["avg_ts"]) for row in rows]

    def measure(self, part):
        if part == "prefill":
            rows = self.bench("-p", comma(PREFILL), "-n", 0)
            return {f"prefill_{row['n_prompt']}": row["avg_ts"] for row in rows}
        if part == "decode":
            return {f"decode_{depth}": speed for depth, speed in self.decode_rows()}
        if part in BATCHED_PROMPTS:
            return {f"{part}_{n}": speed for n, speed in self.batched(BATCHED_PROMPTS[part])}
        command = [self.folder / "llama-bench", *self.common, *self.extra, "-r", 1]
        if part == "memory":
            work = ["-p", 0, "-n", 0, "-pg", f"{PREFILL[-1]},{DECODE_TOKENS}"]
            return {"peak_rss_mib": peak_rss_mib([*command, *work], self.env)}
        once = ["-p", 0, "-n", 0, "-pg", f"{COLD_PROMPT},1", *self.no_warmup]
        return {"cold_s": run([*command, *once], self.env)[2]}

    def batched_bench(self, prompt, *options):
        """What llama-batched-bench says, on both outputs."""
        context = max(BATCHES) * (prompt + BATCHED_TOKENS + 8)
        command = [self.folder / "llama-batched-bench", *self.common, "-c", context, "-npp", prompt,
                   "-ntg", BATCHED_TOKENS, "-npl", comma(BATCHES), *options]
        out, err, _ = run(command, self.env)
        return (out + err).splitlines()

    def batched(self, prompt):
        """Sequences and speed."""
        lines = self.batched_bench(prompt, "--output-format", "jsonl")
        rows = [json.loads(line) for line in lines if line.startswith("{")]
        return [(row["pl"], row["speed_tg"]) for row in rows]


class IkNative(LlamaCpp):
    """ik_llama.cpp built for this machine, with weights repacked when they are loaded."""

    name = "ik native"
    no_warmup = ["-w", 0]
    extra = ["-rtr", 1]

    def decode_rows(self):
        # This older llama-bench knows depth as generation after a prompt.
        rows = []
        for depth in DEPTHS:
            work = ["-n", DECODE_TOKENS] if depth == 0 else ["-n", 0, "-gp", f"{depth},{DECODE_TOKENS}"]
            [row] = self.bench("-p", 0, *work)
            rows.append((depth, row["avg_ts"]))
        return rows

    def batched(self, prompt):
        try:
            lines = self.batched_bench(prompt, "-rtr")
        except Failed:
            # Its flash attention may stop at sequences that do not share a beginning.
            lines = self.batched_bench(prompt, "-rtr", "-fa", "off")
        # | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | T s | S t/s |
        rows = [[cell.strip() for cell in line.strip("|").split("|")]
                for line in lines if line.startswith("|")]
        return [(int(row[2]), float(row[7])) for row in rows if row[2].isdigit()]


class Helper:
    """A peer that is a Python package: a small program beside this one drives it."""

    def __init__(self, name, program, python, model, threads):
        self.name = name
        self.command = [python, HERE / program, model, threads]
        self.repacked = None

    def version(self):
        version = json.loads(run([*self.command, "version"])[0])["version"]
        return version if self.repacked is None else f"{version}, {self.repacked}"

    def measure(self, part):
        if part == "memory":
            return {"peak_rss_mib": peak_rss_mib([*self.command, part])}
        out, err, seconds = run([*self.command, part])
        if self.name.startswith("ik"):
            found = re.search(r"Repacked (\d+) tensors", err)
            self.repacked = f"{found[1] if found else 'no'} tensors repacked at run time"
        if part == "cold":
            return {"cold_s": seconds}
        # The library may print as well; the figures are the last line.
        return json.loads(out.strip().splitlines()[-1])
