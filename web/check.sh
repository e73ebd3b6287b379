#!/usr/bin/env bash
# Everything that a change of the web app must pass: types, unit tests, that the committed build is
# what the source gives, and the browser tests against the real server. TERANG names the binary; when
# it is not set, a debug build is made. Needs Node 20.19 or newer and Debian's Chromium.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== web: %s\n' "$1"; }

step "packages"
npm ci --no-fund --no-audit

step "types"
npm run check

step "unit tests"
npm test

step "the committed build is that of the source"
npm run build
if [ -n "$(git status --porcelain -- build)" ]; then
  git status --short -- build >&2
  echo "web/build differs from what the source gives: run 'npm run build' in web/ and commit it" >&2
  exit 1
fi

step "the types are those of the server"
if [ -z "${TERANG:-}" ]; then
  (cd .. && cargo build -p terang-cli --bins --examples)
  TERANG="$(cd .. && pwd)/target/debug/terang"
fi
export TERANG
npm run types -- --check

step "browser tests"
chromium="${CHROMIUM:-$(command -v chromium || true)}"
if [ -z "$chromium" ]; then
  echo "chromium is not there: install it with apt-get install chromium, or name it with CHROMIUM" >&2
  exit 1
fi
export CHROMIUM="$chromium"
npx playwright test "$@"

step "how quick it is"
npm run figures
