"""Groups: who consumes what, and how far they have come.

The room promises that every answer about a group is also in `__consumer_offsets`, durable before
it is told. It knows logs and partitions, never a socket, a loop or a clock.
"""
