"""Meaning: what topics, partitions and requests are. Synchronous and deterministic.

Time and randomness are passed in; no socket, no loop, no clock is ever known here.
"""
