"""The wire: bytes to values and values to bytes, for Kafka's protocol and record format.

Knows no socket, file, clock or loop: everything here is a function of bytes.
"""
