#!/usr/bin/env python3
"""How long it takes to bring in a large export of ChatGPT's, to search it, and to open what is in it.

    python3 bench/app/run.py MODEL.gguf [--chats 1000] [--database postgres://...]

Builds Terang, starts its server over an empty data folder (or the empty database that is named), and
asks as a browser does. Prints a table, and the same as JSON with --json.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "bench" / "load"), str(ROOT / "bench" / "peers")]

import http.client  # noqa: E402
import os  # noqa: E402

import install  # noqa: E402
from servers import Server  # noqa: E402

# What is meant to be reached: an export that a person waits for, and a search that feels at once.
REACH = {"import_s": 20.0, "search_ms": 50.0}
MESSAGES = 10
SEARCHES = 60
LONG_CHAT = 2000


def conversation(number, words, messages, draw):
    """A conversation as ChatGPT exports it: messages in a line below a root."""
    mapping = {"root": {"id": "root", "message": None, "parent": None, "children": ["m0"]}}
    for turn in range(messages):
        text = " ".join(draw.choices(words, k=draw.randrange(20, 220)))
        node = {"id": f"m{turn}", "parent": f"m{turn - 1}" if turn else "root",
                "children": [f"m{turn + 1}"] if turn + 1 < messages else [],
                "message": {"id": f"m{turn}", "create_time": 1.7e9 + number * 1000 + turn,
                            "author": {"role": "assistant" if turn % 2 else "user"},
                            "content": {"content_type": "text", "parts": [text]}}}
        mapping[f"m{turn}"] = node
    return {"title": f"Conversation {number}", "create_time": 1.7e9 + number * 1000,
            "update_time": 1.7e9 + number * 1000 + messages, "mapping": mapping,
            "current_node": f"m{messages - 1}"}


def ask(address, method, path, body=None):
    """The answer and the milliseconds that it took, connection included."""
    begun = time.perf_counter()
    connection = http.client.HTTPConnection(address, timeout=600)
    connection.request(method, path, body, {"X-Terang": "1", "Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    took = (time.perf_counter() - begun) * 1e3
    connection.close()
    if response.status != 200:
        sys.exit(f"{method} {path}: status {response.status}: {answer[:300].decode()}")
    return json.loads(answer), took


def measure(address, chats, words, draw):
    """All figures of one server."""
    export = json.dumps([conversation(number, words, MESSAGES, draw) for number in range(chats)])
    found, took = ask(address, "POST", "/api/import", export.encode())
    assert (found["chats"], found["skipped"]) == (chats, []), found
    figures = {"chats": chats, "messages": found["messages"], "export_mib": len(export) / 2**20,
               "import_s": took / 1e3}
    # Rare words and common ones, whole and begun, alone and two together.
    queries = draw.sample(words, SEARCHES // 3)
    queries += [word[:4] for word in draw.sample(words, SEARCHES // 3)]
    queries += [" ".join(draw.sample(words, 2)) for _ in range(SEARCHES // 3)]
    times, hits = [], 0
    for query in queries:
        found, took = ask(address, "GET", f"/api/search?q={query.replace(' ', '%20')}")
        times.append(took)
        hits += len(found["hits"])
    assert hits > 0
    figures |= {"search_ms": statistics.median(times), "search_max_ms": max(times), "hits": hits}
    figures["list_ms"] = ask(address, "GET", "/api/chats?limit=200")[1]
    long = json.dumps([conversation(chats, words, LONG_CHAT, draw)])
    ask(address, "POST", "/api/import", long.encode())
    # It is the newest.
    long_id = ask(address, "GET", "/api/chats?limit=1")[0]["chats"][0]["id"]
    found, figures["open_long_ms"] = ask(address, "GET", f"/api/chats/{long_id}")
    assert len(found["messages"]) == LONG_CHAT
    return figures


def table(figures, database):
    """The figures as Markdown."""
    lines = ["| work | figure | reach |", "| --- | --- | --- |",
             f"| import of {figures['chats']} conversations, {figures['messages']} messages, "
             f"{figures['export_mib']:.1f} MiB | {figures['import_s']:.2f} s | {REACH['import_s']:.0f} s |",
             f"| search, median of {SEARCHES} | {figures['search_ms']:.1f} ms | {REACH['search_ms']:.0f} ms |",
             f"| search, slowest | {figures['search_max_ms']:.1f} ms | |",
             f"| list of 200 chats | {figures['list_ms']:.1f} ms | |",
             f"| a chat of {LONG_CHAT} messages, whole | {figures['open_long_ms']:.1f} ms | |"]
    return f"On {database}:\n\n" + "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--chats", type=int, default=1000)
    parser.add_argument("--database", help="an empty database; SQLite in a new folder without")
    parser.add_argument("--terang", type=Path, help="built already")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    terang = options.terang or install.terang(ROOT)
    draw = random.Random(7)
    book = (ROOT / "bench" / "data" / "rust-book.txt").read_text()
    words = sorted({word for word in book.split() if word.isalpha() and len(word) > 3})
    with tempfile.TemporaryDirectory() as data:
        command = [terang, "serve", "--model", f"m={options.model}", "--listen", "127.0.0.1:0"]
        if options.database:
            command += ["--database", options.database]
        env = {**os.environ, "TERANG_DATA_DIR": data}
        with Server(command, env, "/health/ready") as server:
            figures = measure(server.address, options.chats, words, draw)
    print(json.dumps(figures) if options.json
          else table(figures, "PostgreSQL" if options.database else "SQLite"))


if __name__ == "__main__":
    main()
