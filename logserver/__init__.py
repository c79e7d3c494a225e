"""Logserver: a Kafka-compatible log server. One log format, many doors.

The public face of the package. Importing one room never drags in the others.
"""

__version__ = "0.1.0"
