"""Stands in for `test/service.py`, which kafka-python's source distribution left out.

Its fixtures start brokers through `SpawnedService`; with a broker that already runs they only ask
an `ExternalService` to stop.
"""


class ExternalService:
    """A broker that somebody else started."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def stop(self) -> None:
        """It goes on."""


class SpawnedService:
    """A broker of the tests' own: there is none."""

    def __init__(self, *_arguments: object) -> None:
        raise AssertionError("these tests were given a broker")
