#!/usr/bin/env bash
# Official clients, unmodified, against the real server with the default model: starts `terang serve`
# on a free port, runs the scripts in python/ and node/, then ends the server by SIGTERM and looks at
# how it ended. Arguments choose parts (python, node, eval, openapi); none means all.
#
# TERANG_BIN names a binary that is built already, TERANG_TEST_MODELS a data folder with the model.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
here=$root/tests/clients
work=$root/target/clients
mkdir -p "$work"
parts=${*:-python node eval openapi}

if [ -z "${TERANG_BIN:-}" ]; then
  cargo build --package terang-cli
  TERANG_BIN=$root/target/debug/terang
fi

echo "-- installing the clients"
if [[ " $parts " != " node " ]]; then
  venv=$root/target/clients-venv
  [ -x "$venv/bin/python3" ] || python3 -m venv "$venv"
  "$venv/bin/python3" -m pip install --quiet --disable-pip-version-check \
    --requirement "$here/python/requirements.txt"
fi
if [[ " $parts " == *" node "* ]]; then
  # Beside the build's other output, so that the source tree stays as it is.
  mkdir -p "$work/node"
  cp "$here"/node/*.js* "$here/node/.npmrc" "$work/node/"
  if ! cmp -s "$work/node/package-lock.json" "$work/node/installed-lock.json"; then
    (cd "$work/node" && npm ci --ignore-scripts)
    cp "$work/node/package-lock.json" "$work/node/installed-lock.json"
  fi
fi

scratch=$(mktemp -d)
server=
clean_up() {
  if [ -n "$server" ]; then kill -KILL "$server" 2>/dev/null || true; fi
  rm -rf "$scratch"
}
trap clean_up EXIT

# Where the tests of the binary keep their model too.
export TERANG_DATA_DIR=${TERANG_TEST_MODELS:-$root/target/test-data/terang}
"$TERANG_BIN" pull smollm2:135m

# Settings and keys of the person who runs this are no part of it.
: >"$scratch/terang.toml"
"$TERANG_BIN" serve --config "$scratch/terang.toml" --model smollm2:135m --listen 127.0.0.1:0 \
  >"$scratch/out" 2>"$scratch/log" &
server=$!

fail() {
  echo "$1" >&2
  tail -n 40 "$scratch/out" "$scratch/log" >&2
  exit 1
}

for _ in $(seq 600); do
  kill -0 "$server" 2>/dev/null || fail "the server ended at its start"
  TERANG_URL=$(grep -om1 'http://127\.0\.0\.1:[0-9]*' "$scratch/out" || true)
  if [ -n "$TERANG_URL" ] && curl -fso "$scratch/ready" "$TERANG_URL/health/ready"; then
    break
  fi
  sleep 0.1
done
[ -s "$scratch/ready" ] || fail "the server was not ready within a minute"
export TERANG_URL TERANG_BIN TERANG_MODEL=smollm2:135m
echo "-- serving at $TERANG_URL"

part() {
  if [[ " $parts " != *" $1 "* ]]; then return; fi
  local began=$SECONDS
  echo "-- $1"
  shift
  "$@" || fail "failed: $*"
  kill -0 "$server" 2>/dev/null || fail "the server is gone"
  echo "-- passed in $((SECONDS - began)) s"
}

run_pytest() {
  "$venv/bin/python3" -m pytest -c "$here/python/pytest.ini" --rootdir "$here/python" \
    -p no:cacheprovider "$@"
}

clients=("$here"/python/test_{openai,openai_async,openai_responses,anthropic,langchain,litellm,pydantic_ai}.py)
part python run_pytest "${clients[@]}"
part node node --test "$work/node/"
part eval run_pytest "$here"/python/test_lm_eval{,_suites}.py
part openapi run_pytest "$here/python/test_openapi.py"

kill -TERM "$server"
code=0
wait "$server" || code=$?
pid=$server
server=
[ "$code" -eq 0 ] || fail "the server (process $pid) ended with $code after SIGTERM"
if grep -qi panicked "$scratch/log"; then fail "the server panicked"; fi
echo "-- the server ended cleanly"
