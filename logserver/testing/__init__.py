"""A broker inside every test: the real server in a process of its own, its clock and its troubles.

Promises: real sockets and real files, ready in some hundredths of a second, gone with the test; a
clock that jumps, and faults that are switched on and off, so that no test sleeps or mocks.
Must never be imported by the server. `plugin` has the pytest fixtures and is the one module here
that knows pytest; `Broker` serves any other way of testing.
"""

from logserver.testing.broker import Broker, BrokerDied, Fault

__all__ = ["Broker", "BrokerDied", "Fault"]
