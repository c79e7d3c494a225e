"""The process that brokers are born from: it has imported everything once, and forks.

A server that is started the usual way spends nine tenths of its start in imports. The nursery is
started once a test session, does those, and then forks a server for each request: one is ready in
some 20 ms. It has no threads and no loop of its own, so a fork is all there is to it.

    {"do": "start", "settings": {...}, "jumped_ms": 0}  + [control, log]  ->  {"pid": 4711}
    {"do": "wait", "pid": 4711}                                           ->  {"code": -9}

It ends when the test process does, and the servers with it: each watches its own channel.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING

from logserver.testing import channel
from logserver.testing.controlled import serve
from logwire.messages import load_schemas

if TYPE_CHECKING:
    from logserver.testing.channel import Message


def main(words: list[str]) -> int:
    """Serve the requests that come on the descriptor named in the one argument."""
    end = socket.socket(fileno=int(words[0]))
    end.set_inheritable(False)
    prepared = False
    while True:
        try:
            order, descriptors = channel.receive(end)
        except EOFError:
            return 0
        if order["do"] == "start":
            channel.send(end, {"pid": _start(order, descriptors, end)})
        else:
            channel.send(end, {"code": _wait(order["pid"])})
        if not prepared:  # the first server was not to wait for it
            prepared = True
            load_schemas()
            gc.collect()
            gc.freeze()  # what is shared with the servers is not written to by their collector


def _start(order: Message, descriptors: list[int], end: socket.socket) -> int:
    """Fork a server; its process id."""
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    code = 70  # a bug: `logserver.cli.exits.Exit.INTERNAL`
    try:
        end.close()
        code = _be_server(order, descriptors)
    except Exception:  # noqa: BLE001 - told in the log, which the test shows
        traceback.print_exc()
    finally:
        os._exit(code)


def _be_server(order: Message, descriptors: list[int]) -> int:
    control, log = descriptors
    os.setsid()  # a kill of the group ends its helpers too, and Ctrl-C is the test's alone
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    os.close(log)
    with contextlib.suppress(KeyboardInterrupt):
        return serve(order, socket.socket(fileno=control))
    return 128 + signal.SIGINT


def _wait(pid: int) -> int:
    """Wait for the end of a server; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
