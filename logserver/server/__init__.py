"""Sockets and the loop: frames in, answers out, time and signals.

The only room that owns a socket or knows an event loop. What a request means is the broker's.
"""
