"""The HTTP door: metrics and health, later REST and the console.

Promises a small strict HTTP/1.1 that refuses what it does not know and never grows with a peer.
Owns no state: it reads the statistics page and asks the server's health, nothing else.
"""

from logserver.http.listener import HttpListener
from logserver.http.routes import Health, operations_routes

__all__ = ["Health", "HttpListener", "operations_routes"]
