"""Listener addresses: `NAME://host:port,NAME://[v6]:port`, as in Kafka's `listeners`.

An empty host listens on every interface. Port 0 picks a free one (listeners only). A name is
letters, digits and underscores; each name and each host and port pair occurs once.
"""

import ipaddress
import re
from typing import NamedTuple

from logserver.config.key import ConfigError

_ENTRY = re.compile(r"([A-Za-z0-9_.-]+)://(\[([0-9A-Fa-f:.%]+)\]|([^\[\]:/]*)):(-?[0-9]+)")


class Listener(NamedTuple):
    """One address: listener name, host ("" is every interface), port (0 picks one)."""

    name: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.name}://{host}:{self.port}"


def parse_listeners(key: str, entries: tuple[str, ...]) -> tuple[Listener, ...]:
    """The listeners of a key's value; raises ConfigError (`key` names the setting in it)."""
    listeners = tuple(_parse(key, entry) for entry in entries)
    names = [listener.name for listener in listeners]
    if len(set(names)) < len(names):
        raise ConfigError(f"Each listener must have a different name, {key}: {','.join(entries)}")
    addresses = [(item.host, item.port) for item in listeners if item.port != 0]
    if key == "listeners" and len(set(addresses)) < len(addresses):
        raise ConfigError(f"Each listener must have a different port, {key}: {','.join(entries)}")
    return listeners


def _parse(key: str, entry: str) -> Listener:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ConfigError(
            f"Unable to parse {entry!r} of {key}: write NAME://host:port, "
            "for example PLAINTEXT://127.0.0.1:9092"
        )
    port = int(match.group(5)) if len(match.group(5)) <= 6 else -1
    if not 0 <= port <= 65535:
        raise ConfigError(f"Unable to parse {entry!r} of {key}: a port is between 0 and 65535")
    return Listener(match.group(1).upper(), match.group(3) or match.group(4) or "", port)
