"""Terang's server and llama.cpp's under the same load, in turns.

In each round both servers are loaded by one client, then both by eight, and so on, so that a machine
that slows down for a while does so for both. Figures are medians of the rounds. Python's standard
library only; the load itself comes from the small program beside this one.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(1, str(ROOT / "bench" / "peers"))

import install
import report

import measure
import prompts
import servers
import tables
from engines import Failed

PARTS = ["load", "cost", "turns", "drain"]
# More than this the peer is not asked for.
PEER_CLIENTS_MAX = 32
# A few clients send as many requests as this many would: enough for a median.
CLIENTS_COUNTED_MIN = 4


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clients", default="1,8,32,128", metavar="N,...",
                        help=f"at once; the peer is left out above {PEER_CLIENTS_MAX}")
    parser.add_argument("--requests-each", type=int, default=2, metavar="N",
                        help="requests of each client of a load, one after another")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...",
                        help="measure these only: " + ", ".join(PARTS))
    parser.add_argument("--soak", type=int, default=0, metavar="SECONDS",
                        help="a mixed load for so long, with memory watched")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of Terang's server instead of its default")
    parser.add_argument("--terang", type=Path, metavar="PROGRAM", help="built already")
    parser.add_argument("--client", type=Path, metavar="PROGRAM", help="terang-load, built already")
    parser.add_argument("--llama-bin", type=Path, metavar="DIR",
                        help="folder of llama-server, built already")
    parser.add_argument("--no-peer", action="store_true", help="Terang alone")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "peers",
                        help="folder for the peer's sources and build")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "LOAD.md",
                        help="Markdown; JSON goes beside it")
    return parser.parse_args()


def main():
    args = arguments()
    # Stopped from outside, it stops its servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    model = args.model.resolve()
    if not model.is_file():
        sys.exit(f"{args.model}: no such file")
    parts = list(filter(None, args.only.split(",")))
    unknown = set(parts) - set(PARTS)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}")
    clients = [int(number) for number in args.clients.split(",")]
    program = args.terang or install.terang(ROOT)
    client = measure.Client(args.client or install.built(ROOT, "terang-load", "-p", "terang-load"))
    terang = servers.Terang(program.resolve(), model, args.threads, args.set)
    racers = [terang, *peers(args, model)]
    circumstances = report.circumstances(model, args.threads, args.rounds)

    texts, chats, mixed = texts_for(terang, args, clients)
    race = Race(client, terang, racers, args.rounds)
    for index in range(args.rounds):
        if "load" in parts:
            for number in clients:
                race.load(index, number, texts[:requests_of(number, args)])
        if "cost" in parts:
            race.note(index, "cost", terang, lambda: measure.cost(client, terang))
        if "turns" in parts:
            text, short = chats[index % len(chats)], texts[index % len(texts)]
            race.note(index, "turns", terang,
                      lambda: measure.turns(client, terang, text, short, index))
        if "drain" in parts:
            race.note(index, "drain", terang, lambda: measure.drain(client, terang, texts))
    soak = race.soak(mixed, args.soak) if args.soak else None

    result = {
        **circumstances,
        "clients": clients,
        "engines": {racer.name: racer.version() for racer in racers},
        "rounds_of": race.figures,
        "soak": soak,
        "trouble": race.trouble,
    }
    result.update(tables.compare(race.figures, soak, measure.model_mib(model)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report.write(args.out, tables.markdown(result))
    report.write(args.out.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    print(tables.markdown(result))


def peers(args, model):
    """llama.cpp's server, if it can be had here."""
    if args.no_peer:
        return []
    if args.llama_bin:
        return [servers.LlamaServer(args.llama_bin, model, args.threads)]
    try:
        folder = install.Tools(args.work.resolve()).llama_cpp(["llama-server"])
    except install.Failed as problem:
        print(f"llama.cpp is left out: {problem}", file=sys.stderr)
        return []
    return [servers.LlamaServer(folder, model, args.threads, install.LLAMA_SDIST)]


def requests_of(clients, args):
    return max(clients, CLIENTS_COUNTED_MIN) * args.requests_each


def texts_for(terang, args, clients):
    """What is asked, cut by the model's own tokenizer."""
    most = max(measure.DRAIN_CLIENTS, *(requests_of(number, args) for number in clients))
    with terang.start() as server:
        book = prompts.Book(server)
        return (book.texts(most, prompts.PROMPT_TOKENS), book.texts(8, prompts.CHAT_TOKENS),
                prompts.mixed(book) if args.soak else [])


class Race:
    """The servers in turns: for each server and figure the value of each round, and what went wrong."""

    def __init__(self, client, terang, racers, rounds):
        self.client, self.terang, self.racers, self.rounds = client, terang, racers, rounds
        self.figures = {racer.name: {} for racer in racers}
        self.trouble = []

    def load(self, index, clients, texts):
        for racer in self.racers:
            if racer is not self.terang and clients > PEER_CLIENTS_MAX:
                continue
            what = tables.at_once(clients)

            def measured(racer=racer):
                figures, failures = measure.load(self.client, racer, texts, clients)
                for failure, count in failures.items():
                    self.went_wrong(index, what, racer, f"{count} times {failure}")
                return figures

            self.note(index, what, racer, measured)

    def note(self, index, what, racer, measured):
        print(f"round {index + 1}/{self.rounds}, {what}: {racer.name}", file=sys.stderr)
        try:
            found = measured()
        except Failed as problem:
            self.went_wrong(index, what, racer, problem)
            return
        for name, value in found.items():
            self.figures[racer.name].setdefault(name, [None] * self.rounds)[index] = value

    def soak(self, requests, seconds):
        print(f"mixed load for {seconds} s", file=sys.stderr)
        try:
            return measure.soak(self.client, self.terang, requests, seconds)
        except Failed as problem:
            self.trouble.append(f"mixed load: {problem}")
            return None

    def went_wrong(self, index, what, racer, problem):
        self.trouble.append(f"{racer.name}, {what}, round {index + 1}: {problem}")
        print(f"  {problem}", file=sys.stderr)


if __name__ == "__main__":
    main()
