"""aiokafka's own code as an oracle for ours."""

from collections.abc import Callable

from aiokafka.partitioner import murmur2

aiokafka_murmur2: Callable[[bytes], int] = murmur2
