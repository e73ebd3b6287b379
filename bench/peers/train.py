"""Training beside PyTorch on this machine: bench/peers/train.py [--rounds N] [--precisions f32 bf16]
[--python PYTHON] [--out FILE].

Runs our benchmark and PyTorch's steps in alternation, each in a process of its own, and prints medians and
ratios as Markdown; `--out` writes the same and a JSON file beside it. PYTHON is one that has `torch`; without
it the package is installed into bench/peers/.work. On processors without instructions for bf16 its runs in it
may take many minutes: `--precisions f32` leaves them out, and PyTorch's best is then that in f32.
"""

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHAPES = ["6.45M", "31.6M"]
MODES = [("f32", False), ("f32", True), ("bf16", False), ("bf16", True)]
PRECISIONS = ["f32", "bf16"]


def lines_of_json(command):
    """What a process prints as JSON; None, said, where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not found:
        print(f"failed: {' '.join(map(str, command))}: {done.stderr[-300:]}", file=sys.stderr)
        return None
    return found[-1]


def python_with_torch():
    """A Python that has PyTorch, made when it is not there."""
    folder = HERE / ".work" / "torch"
    python = folder / "bin" / "python3"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "numpy"], check=True)
    return python


def cpu_name():
    """As the system calls it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, choices=SHAPES)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    python = options.python or python_with_torch()
    subprocess.run(["cargo", "bench", "-p", "terang-train", "--bench", "step", "--no-run"], check=True, cwd=ROOT)
    ours = ["cargo", "bench", "-q", "-p", "terang-train", "--bench", "step", "--"]
    found = {}
    for _ in range(options.rounds):
        for shape in options.shapes:
            runs = []
            for precision in options.precisions:
                flags = [] if precision == "f32" else [f"--{precision}"]
                runs.append((f"terang {precision}", [*ours, shape, *flags, "--json"]))
            for precision, is_compiled in MODES:
                if precision not in options.precisions:
                    continue
                command = [python, HERE / "train_torch.py", shape, precision]
                name = f"PyTorch {precision} {'compiled' if is_compiled else 'eager'}"
                runs.append((name, command + ["--compile"] * is_compiled))
            for name, command in runs:
                result = lines_of_json(command)
                if result:
                    found.setdefault((shape, name), []).append(result)
    report(options, found)


def report(options, found):
    """Medians; each of PyTorch's modes against ours in the same precision, and ours against PyTorch's best."""
    middle = lambda key, field: statistics.median(result[field] for result in found[key])
    torch = next((r["torch"] for runs in found.values() for r in runs if "torch" in r), "not run")
    lines = [f"{datetime.date.today()}, {cpu_name()}, PyTorch {torch}, {options.rounds} rounds, medians", ""]
    lines += ["| shape | | tokens/s | ours / theirs | peak MiB | ours / theirs |", "| --- | --- | --- | --- | --- | --- |"]
    for shape in options.shapes:
        for key in [key for key in found if key[0] == shape]:
            own = (shape, f"terang {'bf16' if 'bf16' in key[1] else 'f32'}")
            speed, memory = middle(key, "tokens_per_s"), middle(key, "peak_rss_bytes")
            ratios = ["", ""]
            if own in found and own != key:
                ratios = [f"{middle(own, 'tokens_per_s') / speed:.2f}", f"{middle(own, 'peak_rss_bytes') / memory:.2f}"]
            lines.append(f"| {shape} | {key[1]} | {speed:.0f} | {ratios[0]} | {memory / 2**20:.0f} | {ratios[1]} |")
        for precision in options.precisions:
            own = (shape, f"terang {precision}")
            theirs = [key for key in found if key[0] == shape and key[1].startswith(f"PyTorch {precision}")]
            if own in found and theirs:
                best = max(theirs, key=lambda key: middle(key, "tokens_per_s"))
                ratio = middle(own, "tokens_per_s") / middle(best, "tokens_per_s")
                lines.append(f"| {shape} | ours in {precision} / best of theirs ({best[1]}) | | {ratio:.2f} | | |")
        if (shape, "terang f32") in found:
            share = middle((shape, "terang f32"), "share_of_f32_limit")
            lines.append(f"| {shape} | share of our f32 limit | {share:.0%} | | | |")
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
        runs = [{"shape": shape, "name": name, "runs": results} for (shape, name), results in found.items()]
        options.out.with_suffix(".json").write_text(json.dumps(runs, indent=1) + "\n")


main()
