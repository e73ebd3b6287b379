#!/usr/bin/env bash
# Compares Terang with its peers on this machine: bench/peers/run.sh MODEL.gguf [options].
# Nothing is installed outside of the working folder. See README.md beside this file.
set -euo pipefail
exec python3 "$(dirname "$0")/run.py" "$@"
