"""From figures to medians, ratios, what is reached, Markdown."""

import statistics

from report import busy, median, number, row

NAMES = {
    "tok_s": "generated tokens/s",
    "ttft_p50_s": "time to first token, median, s",
    "ttft_p99_s": "time to first token, 99%, s",
    "inter_token_p50_s": "between tokens, median, s",
    "inter_token_p99_s": "between tokens, 99%, s",
    "peak_rss_mib": "peak memory, MiB",
    "failed": "failed requests",
    "prompt_tokens": "tokens of a prompt, mean",
    "answer_tokens": "tokens of an answer, least",
}

# What Terang means to reach beside llama.cpp's server: clients, least ratio of tokens/s, greatest of
# the time to the first token.
AGAINST_PEER = [(1, 3.0, 0.25), (8, 5.0, 0.2), (32, 6.0, 0.2)]
MANY, FEWER = 128, 32
MANY_LEAST = 0.9
STEADY = 4.0
COST_LEAST = 0.95
BEYOND_MODEL_MIB = 40 * 1e6 / 2**20
SECOND_TURN = 1.5
DRIFT = 0.05


def compare(figures, soak, model_mib):
    """Medians of each server, ratios to the peer, and what of the aims is met."""
    medians = {name: {key: median(values) for key, values in rounds.items()}
               for name, rounds in figures.items()}
    ratios = ratios_to(figures["terang"], figures.get("llama.cpp", {}))
    return {"medians": medians, "ratios": ratios,
            "reach": reach(figures["terang"], medians["terang"], ratios, soak, model_mib)}


def ratios_to(own, other):
    """The median of the rounds' ratios: of two figures of one round, taken soon after another."""
    ratios = {}
    for key in sorted(own.keys() & other.keys()):
        pairs = [a / b for a, b in zip(own[key], other[key]) if a is not None and b]
        if pairs:
            ratios[key] = statistics.median(pairs)
    return ratios


def reach(rounds, own, ratios, soak, model_mib):
    lines = []
    for clients, speed, first in AGAINST_PEER:
        who = at_once(clients)
        lines += [
            at_least(f"{who}: generated tokens/s against llama.cpp", speed,
                     ratios.get(f"tok_s_{clients}")),
            at_most(f"{who}: median time to first token against llama.cpp", first,
                    ratios.get(f"ttft_p50_s_{clients}")),
        ]
    steady = ratios_to({"": rounds.get(f"inter_token_p99_s_{MANY}", [])},
                       {"": rounds.get(f"inter_token_p50_s_{MANY}", [])}).get("")
    many = ratios_to({"": rounds.get(f"tok_s_{MANY}", [])},
                     {"": rounds.get(f"tok_s_{FEWER}", [])}).get("")
    lines += [
        at_least(f"{MANY} clients: tokens/s against those at {FEWER}", MANY_LEAST, many),
        at_most(f"{MANY} clients: between tokens, 99% against median", STEADY, steady),
        at_most("failed requests, all loads and rounds together", 0, total(rounds, "failed_")),
    ]
    costs = [value for key, value in own.items() if key.startswith("cost_") and value]
    idle = [value for key, value in own.items() if key.startswith("idle_rss_mib_") and value]
    lines += [
        at_least("decode over HTTP against `terang bench`, the worst of 1, 8 and 32 streams",
                 COST_LEAST, min(costs, default=None)),
        at_most("memory of the idle server beyond the model's file, MiB", BEYOND_MODEL_MIB,
                statistics.median(idle) - model_mib if idle else None),
        at_most("second turn of a 2,000-token chat: time to first token against a fresh prompt of 128",
                SECOND_TURN, own.get("second_turn")),
        at_most("started streams lost at SIGTERM, all rounds together", 0,
                total(rounds, "drain_lost")),
        at_most("mixed load: memory's greatest distance from its median after warm-up", DRIFT,
                soak and soak["drift"]),
        at_most("mixed load: failed requests", 0, soak and soak["failed"]),
    ]
    return lines


def at_once(clients):
    return "1 client" if clients == 1 else f"{clients} clients"


def total(rounds, prefix):
    values = [value for key, values in rounds.items() if key.startswith(prefix)
              for value in values if value is not None]
    return sum(values) if values else None


def at_least(what, bound, found):
    return {"what": what, "sense": "at least", "bound": bound, "found": found,
            "met": None if found is None else found >= bound}


def at_most(what, bound, found):
    return {"what": what, "sense": "at most", "bound": bound, "found": found,
            "met": None if found is None else found <= bound}


def markdown(result):
    lines = [
        "# Terang's server under load",
        "",
        f"{result['date']}, {result['cpu']}, {result['cores']} cores, {result['threads']} threads, "
        f"load average before {result['load_average']}. Model: `{result['model']}`. Prompts of 128 "
        f"tokens, answers of 64, streamed over HTTP. Medians of {result['rounds']} rounds in which "
        "the servers took turns; a ratio is the median of the rounds' ratios. Written by "
        "`bench/load/run.py`.",
        "",
        *busy(result),
        f"Terang at `{result['revision']}`. " + "; ".join(
            f"{name}: {version}" for name, version in result["engines"].items()) + ".",
        "",
        *figures_table(result),
        *own_table(result),
        *soak_table(result["soak"]),
        "## Reach",
        "",
        row(["", "reach", "found", ""]),
        row(["---"] * 4),
    ]
    for line in result["reach"]:
        met = {True: "met", False: "**not met**", None: "not measured"}[line["met"]]
        lines.append(row([line["what"], f"{line['sense']} {short(line['bound'])}",
                          short(line["found"]), met]))
    if result["trouble"]:
        lines += ["", "## What went wrong", ""]
        lines += [f"- {problem}" for problem in result["trouble"]]
    return "\n".join(lines) + "\n"


def figures_table(result):
    medians, ratios = result["medians"], result["ratios"]
    names = [name for name in result["engines"] if medians.get(name)]
    heads = [*names, "ratio"] if len(names) > 1 else names
    lines = []
    for clients in result["clients"]:
        rows = [(title, f"{key}_{clients}") for key, title in NAMES.items()]
        rows = [(title, key) for title, key in rows if any(key in medians[name] for name in names)]
        if not rows:
            continue
        lines += [f"## {at_once(clients)} at once", "",
                  row(["", *heads]), row(["---"] * (1 + len(heads)))]
        for title, key in rows:
            cells = [short(medians[name].get(key)) for name in names]
            if len(names) > 1:
                cells.append(number(ratios.get(key), 2))
            lines.append(row([title, *cells]))
        lines.append("")
    return lines


def own_table(result):
    """What Terang alone is asked for."""
    own = result["medians"]["terang"]
    rows = []
    for sequences in (1, 8, 32):
        if f"cost_{sequences}" in own:
            rows.append([f"decode of {sequences} together, tokens/s: over HTTP; `terang bench`; ratio",
                         "; ".join(short(own[f"{key}_{sequences}"])
                                   for key in ("http", "bench", "cost"))])
    if "second_turn" in own:
        rows.append(["long chat, time to first token, s: first turn; second; fresh prompt of 128 tokens; "
                     "fresh question of a few words",
                     "; ".join(short(own[key]) for key in
                               ("first_turn_ttft_s", "second_turn_ttft_s", "fresh_ttft_s",
                                "question_ttft_s"))])
    if "drain_s" in own:
        rows.append(["from SIGTERM amid 32 streams to the end of the last, s",
                     short(own["drain_s"])])
        rows.append(["new work refused meanwhile", "yes" if own["drain_refused_new"] else "**no**"])
    if not rows:
        return []
    return ["## Terang alone", "", row(["", ""]), row(["---"] * 2), *map(row, rows), ""]


def soak_table(soak):
    if not soak:
        return []
    rss = soak["rss_mib"]
    lines = ["## Mixed load", "",
             f"{soak['seconds']} seconds, {soak['requests']} requests, {soak['failed']} failed, "
             f"{short(soak['tok_s'])} tokens/s. Resident memory after warm-up, MiB: median "
             f"{short(rss['median'])}, least {short(rss['min'])}, most {short(rss['max'])}, first "
             f"{short(rss['first'])}, last {short(rss['last'])}."]
    if soak["failures"]:
        told = "; ".join(f"{count} times {what}" for what, count in soak["failures"].items())
        lines += ["", f"Failures: {told}."]
    return [*lines, ""]


def short(value):
    """Three digits or so; whole numbers whole."""
    if value is None:
        return number(value)
    if value == int(value):
        return str(int(value))
    return number(value, 3) if abs(value) < 0.1 else number(value)
