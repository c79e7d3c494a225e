# Everything needs only Python >= 3.11 and make: the first target that runs builds .venv.
#
#   make demo      the main job in some 25 seconds, on telemetry of this machine
#   make test      the gate: format, lint, types, import walls, tests
#   make crash     every kill loop, power cut, byte and bit (minutes)
#   make conformance  other people's tests, whole (an hour; needs Java, maven, cargo, go, npm)
#   make bench     micro-benchmarks
#   make perf      a short measurement; perf/README.md has the long ones
#
# PYTHON=/path/to/python chooses the interpreter. .venv is rebuilt when pyproject.toml changes.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
DEMO_SECONDS ?= 15
RUN = .venv/bin/python

.PHONY: demo test crash conformance bench perf check format clean

demo: .venv/ready
	$(RUN) -m tools.telemetry.demo --seconds $(DEMO_SECONDS)

test check: .venv/ready
	$(RUN) tools/check.py

crash: .venv/ready
	$(RUN) -m pytest -m "crash or simulation" --full -o faulthandler_timeout=0

conformance: .venv/ready
	$(RUN) -m tests.conformance
	$(RUN) tools/write_compatibility.py

bench: .venv/ready
	$(RUN) -m pytest --benchmark-only --benchmark-group-by=group -o addopts="--import-mode=importlib"

perf: .venv/ready
	perf/run.sh --quick

format: .venv/ready
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

.venv/ready: pyproject.toml tools/bootstrap.py
	@test -n "$(PYTHON)" || { echo "Python >= 3.11 is needed; say where with PYTHON=..."; exit 1; }
	$(PYTHON) tools/bootstrap.py

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
