"""Terang and its peers, doing the same work on the same machine in turns.

In each round every engine does a kind of work, then every engine does the next kind, so that a
machine that slows down for a while does so for all of them. Figures are medians of the rounds.
Python's standard library only.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import engines
import install
import report

ROOT = Path(__file__).resolve().parents[2]
PARTS = ["prefill", "decode", "batched", "chats", "memory", "cold"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "peers",
                        help="folder for virtual environment, sources and builds")
    parser.add_argument("--llama-bin", type=Path, metavar="DIR",
                        help="llama-bench and llama-batched-bench, built already")
    parser.add_argument("--ik-bin", type=Path, metavar="DIR",
                        help="the same of ik_llama.cpp, built natively from its repository")
    parser.add_argument("--skip", default="", metavar="NAME,...",
                        help="leave out: " + ", ".join(engines.NAMES))
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...",
                        help="measure these only: " + ", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "RESULTS.md",
                        help="Markdown; JSON goes beside it")
    return parser.parse_args()


def main():
    args = arguments()
    model = args.model.resolve()
    if not model.is_file():
        sys.exit(f"{args.model}: no such file")
    skip = set(filter(None, args.skip.split(",")))
    parts = args.only.split(",")
    unknown = (skip - set(engines.NAMES)) | (set(parts) - set(PARTS))
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}")
    racers = make_engines(args, model, skip)
    circumstances = report.circumstances(model, args.threads, args.rounds)
    figures, trouble = race(racers, parts, args.rounds)
    result = {
        **circumstances,
        "engines": {racer.name: racer.version() for racer in racers},
        "rounds_of": figures,
        "trouble": trouble,
    }
    result.update(report.compare(figures))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report.write(args.out, report.markdown(result))
    report.write(args.out.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    print(report.markdown(result))


def make_engines(args, model, skip):
    """The engines that can be had here; Terang first."""
    tools = install.Tools(args.work.resolve())
    shared = (model, args.threads)
    racers = [engines.Terang(install.terang(ROOT), *shared)]
    makers = {
        "llama.cpp": lambda: engines.LlamaCpp(args.llama_bin, *shared)
        if args.llama_bin
        else engines.LlamaCpp(tools.llama_cpp(), *shared, install.LLAMA_SDIST),
        "ik native": lambda: engines.IkNative(args.ik_bin, *shared) if args.ik_bin else None,
        "ik wheel": lambda: engines.Helper("ik wheel", "ik_bench.py",
                                           tools.wheel(install.IK_WHEEL), *shared),
        "mistral.rs": lambda: engines.Helper("mistral.rs", "mistral_bench.py",
                                             tools.wheel(install.MISTRAL_WHEEL), *shared),
    }
    for name, make in makers.items():
        if name in skip:
            continue
        try:
            racer = make()
        except install.Failed as problem:
            print(f"{name} is left out: {problem}", file=sys.stderr)
            continue
        if racer:
            racers.append(racer)
    return racers


def race(racers, parts, rounds):
    """For each engine and figure the value of each round; and what went wrong."""
    figures = {racer.name: {} for racer in racers}
    trouble = []
    for index in range(rounds):
        for part in parts:
            for racer in racers:
                print(f"round {index + 1}/{rounds}, {part}: {racer.name}", file=sys.stderr)
                try:
                    found = racer.measure(part)
                except engines.Failed as problem:
                    trouble.append(f"{racer.name}, {part}, round {index + 1}: {problem}")
                    print(f"  {problem}", file=sys.stderr)
                    continue
                for name, value in found.items():
                    values = figures[racer.name].setdefault(name, [None] * rounds)
                    values[index] = value
    return figures, trouble


if __name__ == "__main__":
    main()
