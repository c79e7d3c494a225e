"""Telemetry of this host, as if many devices measured it: the demo's data, and anybody's load.

`python -m tools.telemetry --bootstrap HOST:PORT` streams to any Kafka; `make demo` does so with a
server of its own and checks what comes back. Uses the public client only, as any user would.
"""
