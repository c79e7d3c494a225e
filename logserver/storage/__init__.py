"""Bytes at rest: segments of record batches, their indexes, and what makes them survive.

Promise: after any fault a log is a prefix of what was appended, with every durable batch in it.
Must never know a socket, an event loop, a clock or a Kafka request: times are arguments in ms.
"""
