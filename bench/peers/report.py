"""From figures to medians, ratios, Markdown."""

import os
import platform
import statistics
import subprocess
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What Terang means to reach: the figure, the peer it is compared with, and the least ratio. A ratio
# above 1 is in Terang's favour.
REACH = [
    ("prefill_128", "llama.cpp", 5.0),
    ("prefill_512", "llama.cpp", 5.0),
    ("prefill_2048", "llama.cpp", 4.5),
    ("decode_0", "llama.cpp", 1.5),
    ("decode_2048", "llama.cpp", 2.0),
    ("chats_32", "llama.cpp", 5.0),
    ("peak_rss_mib", "llama.cpp", 1 / 0.9),
    ("cold_s", "llama.cpp", 2.0),
    ("prefill_128", "ik native", 1.25),
    ("prefill_512", "ik native", 1.25),
    ("prefill_2048", "ik native", 1.2),
    ("decode_0", "ik native", 1.15),
    ("decode_2048", "ik native", 1.3),
    ("chats_32", "ik native", 5.0),
    ("peak_rss_mib", "ik native", 1 / 0.9),
]

# The least share of the machine's own limit, measured beside the work.
SHARES = [
    ("prefill_128", 0.45),
    ("prefill_512", 0.45),
    ("prefill_2048", 0.35),
    ("decode_0", 0.75),
    ("decode_2048", 0.70),
    ("chats_32", 0.30),
]

# The order of figures in tables.
FIGURES = [
    "prefill_128", "prefill_512", "prefill_2048", "decode_0", "decode_512", "decode_2048",
    "batched_1", "batched_8", "batched_32", "chats_1", "chats_8", "chats_32", "peak_rss_mib", "cold_s",
]

NAMES = {
    "peak_rss_mib": "peak memory, MiB",
    "cold_s": "cold process, a token and out, s",
}


def less_is_better(figure):
    return figure in NAMES


def title(figure):
    if figure in NAMES:
        return NAMES[figure]
    kind, number = figure.rsplit("_", 1)
    return {
        "prefill": f"prefill {number}, tokens/s",
        "decode": f"decode at depth {number}, tokens/s",
        "batched": f"batched decode, {number} sequences, empty caches, tokens/s",
        "chats": f"batched decode, {number} sequences, prompts of 128, tokens/s",
    }[kind]


def circumstances(model, threads, rounds):
    """When, where and of what."""
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT,
                         capture_output=True, text=True)
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": round(os.getloadavg()[0], 2),
        "rounds": rounds,
        # The file alone: where it lies is nobody's business.
        "model": f"{model.parent.name}/{model.name}",
        "revision": git.stdout.strip() or "unknown",
    }


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def compare(figures):
    """Medians of each engine, ratios to each peer, and what of REACH is met."""
    medians = {name: {key: median(values) for key, values in rounds.items()}
               for name, rounds in figures.items()}
    ratios = {peer: ratios_to(figures["terang"], rounds)
              for peer, rounds in figures.items() if peer != "terang"}
    return {"medians": medians, "ratios": ratios, "reach": reach(medians["terang"], ratios)}


def median(values):
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def ratios_to(own, other):
    """The median of the rounds' ratios: of two figures of one round, taken soon after another."""
    ratios = {}
    for key in other.keys() & own.keys():
        pairs = [(a, b) for a, b in zip(own[key], other[key]) if a and b]
        if pairs:
            of_rounds = [b / a if less_is_better(key) else a / b for a, b in pairs]
            ratios[key] = statistics.median(of_rounds)
    return ratios


def reach(medians, ratios):
    lines = [line(figure, against, least, ratios.get(against, {}).get(figure))
             for figure, against, least in REACH]
    return lines + [line(figure, "the machine's limit", least, medians.get(f"share_{figure}"))
                    for figure, least in SHARES]


def line(figure, against, least, ratio):
    return {
        "figure": figure,
        "against": against,
        "least": least,
        "ratio": ratio,
        "met": None if ratio is None else ratio >= least,
    }


def markdown(result):
    names = list(result["engines"])
    medians = result["medians"]
    keys = [figure for figure in FIGURES if any(figure in medians[name] for name in names)]
    lines = [
        "# Terang beside its peers",
        "",
        f"{result['date']}, {result['cpu']}, {result['cores']} cores, {result['threads']} threads, "
        f"load average before {result['load_average']}. Model: `{result['model']}`. Medians of "
        f"{result['rounds']} rounds in which the engines took turns; a ratio is the median of the "
        "rounds' ratios and above 1 where Terang is ahead, for memory and time too. Written by "
        "`bench/peers/run.sh`.",
        "",
        *busy(result),
        f"Terang at `{result['revision']}`. " + "; ".join(
            f"{name}: {version}" for name, version in result["engines"].items()) + ".",
        "",
        "## Figures",
        "",
        row(["", *names]),
        row(["---"] * (1 + len(names))),
    ]
    for key in keys:
        cells = [number(medians[name].get(key)) for name in names]
        lines.append(row([title(key), *cells]))
    lines += ["", "## Terang's ratio to each", "", row(["", *names[1:]]),
              row(["---"] * len(names))]
    for key in keys:
        cells = [number(result["ratios"][name].get(key), 2) for name in names[1:]]
        lines.append(row([title(key), *cells]))
    lines += ["", "## Reach", "", row(["figure", "against", "at least", "ratio", ""]),
              row(["---"] * 5)]
    for line in result["reach"]:
        met = {True: "met", False: "**not met**", None: "not measured"}[line["met"]]
        lines.append(row([title(line["figure"]), line["against"], number(line["least"], 2),
                          number(line["ratio"], 2), met]))
    lines += limits(medians["terang"])
    if result["trouble"]:
        lines += ["", "## What went wrong", ""]
        lines += [f"- {problem}" for problem in result["trouble"]]
    return "\n".join(lines) + "\n"


def busy(result):
    if result["load_average"] < 0.5 * result["cores"]:
        return []
    return ["**The machine was busy with other work when this began: the figures say little.**", ""]


def limits(own):
    """Terang's figures beside the machine's limits, which `terang bench` measures."""
    shares = {key.removeprefix("share_"): value
              for key, value in own.items() if key.startswith("share_")}
    if not shares:
        return []
    lines = ["", "## Share of the machine's limit", "",
             f"Memory {own['limit_read_bytes_s'] / 1e9:.1f} GB/s, int8 "
             f"{own['limit_int8_ops_s'] / 1e9:.0f} GOP/s, f32 "
             f"{own['limit_f32_flops_s'] / 1e9:.0f} GFLOP/s, measured beside the work.", "",
             row(["", "share"]), row(["---"] * 2)]
    return lines + [row([title(key), f"{100 * value:.0f}%"]) for key, value in shares.items()]


def row(cells):
    return "| " + " | ".join(cells) + " |"


def number(value, digits=None):
    if value is None:
        return "–"
    if digits is None:
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


def write(path, text):
    """Beside its place, then into it."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
