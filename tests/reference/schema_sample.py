"""Writes a sample of JSONSchemaBench, as a fixture of the Rust tests.

Usage: schema_sample.py CHECKOUT OUT.jsonl.gz [COUNT]
where CHECKOUT is a git repository of github.com/guidance-ai/jsonschemabench (bare or not).

Which schemas are taken is told by the SHA-256 of their paths alone, so that nobody has picked them by what comes of them.
One line a schema: {"name": "DATASET/FILE", "schema": ...}, in the order of the names.
"""
import gzip
import hashlib
import json
import subprocess
import sys


def git(checkout, *args):
    return subprocess.run(["git", "-C", checkout, *args], check=True, capture_output=True).stdout


def main():
    checkout, out = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    listed = git(checkout, "ls-tree", "-r", "-z", "--name-only", "HEAD", "data/").decode().split("\0")
    paths = [path for path in listed if path.endswith(".json")]
    paths.sort(key=lambda path: hashlib.sha256(path.encode()).hexdigest())
    lines = []
    for path in sorted(paths[:count]):
        schema = json.loads(git(checkout, "show", f"HEAD:{path}"))
        name = path.removeprefix("data/").removesuffix(".json")
        lines.append(json.dumps({"name": name, "schema": schema}, separators=(",", ":"), ensure_ascii=False))
    # Without a time of day in it, the same sample is the same file.
    with open(out, "wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
        packed.write(("\n".join(lines) + "\n").encode())
    commit = git(checkout, "rev-parse", "HEAD").decode().strip()
    print(f"{len(lines)} of {len(paths)} schemas of {commit}", file=sys.stderr)


main()
