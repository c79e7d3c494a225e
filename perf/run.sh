#!/bin/sh
# perf/run.sh [--quick] [--against kafka|COMMIT] [--scenario NAME]...   (see perf/README.md)
# Finds the checkout's .venv, or makes it, and runs the measurements in it.
set -eu
cd "$(dirname "$0")/.."
if ! .venv/bin/python -c 'import fastcrc, uvloop' 2>/dev/null; then
    echo "perf: preparing .venv" >&2
    "${PYTHON:-python3}" tools/bootstrap.py >&2
fi
exec .venv/bin/python -m perf "$@"
