"""Training beside PyTorch on this machine: bench/peers/train.py [--rounds N] [--python PYTHON] [--out FILE].

Runs our benchmark and PyTorch's steps in alternation, each in a process of its own, and prints medians and
ratios as Markdown; `--out` writes the same and a JSON file beside it. PYTHON is one that has `torch`; without
it the package is installed into bench/peers/.work.
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
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    python = options.python or python_with_torch()
    subprocess.run(["cargo", "bench", "-p", "terang-train", "--bench", "step", "--no-run"], check=True, cwd=ROOT)
    ours = ["cargo", "bench", "-q", "-p", "terang-train", "--bench", "step", "--"]
    found = {}
    for _ in range(options.rounds):
        for shape in options.shapes:
            runs = [("terang f32", [*ours, shape, "--json"])]
            for precision, is_compiled in MODES:
                command = [python, HERE / "train_torch.py", shape, precision]
                name = f"PyTorch {precision} {'compiled' if is_compiled else 'eager'}"
                runs.append((name, command + ["--compile"] * is_compiled))
            for name, command in runs:
                result = lines_of_json(command)
                if result:
                    found.setdefault((shape, name), []).append(result)
    report(options, found)


def report(options, found):
    """Medians, and ours against each of theirs."""
    middle = lambda key, field: statistics.median(result[field] for result in found[key])
    torch = next((r["torch"] for runs in found.values() for r in runs if "torch" in r), "not run")
    lines = [f"{datetime.date.today()}, {cpu_name()}, PyTorch {torch}, {options.rounds} rounds, medians", ""]
    lines += ["| shape | | tokens/s | ours / theirs | peak MiB | ours / theirs |", "| --- | --- | --- | --- | --- | --- |"]
    for shape in options.shapes:
        own = (shape, "terang f32")
        if own not in found:
            continue
        for key in [key for key in found if key[0] == shape]:
            speed, memory = middle(key, "tokens_per_s"), middle(key, "peak_rss_bytes")
            ratios = [middle(own, "tokens_per_s") / speed, middle(own, "peak_rss_bytes") / memory]
            lines.append(f"| {shape} | {key[1]} | {speed:.0f} | {ratios[0]:.2f} | {memory / 2**20:.0f} | {ratios[1]:.2f} |")
        lines.append(f"| {shape} | share of our f32 limit | {middle(own, 'share_of_f32_limit'):.0%} | | | |")
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
        runs = [{"shape": shape, "name": name, "runs": results} for (shape, name), results in found.items()]
        options.out.with_suffix(".json").write_text(json.dumps(runs, indent=1) + "\n")


main()
