"""What the server costs, measured from outside: the same raw load for us and for Apache Kafka.

The room promises figures that can be believed: every message counted and checked, both sides at
the same durability, in interleaved pairs. It speaks Kafka's wire protocol by itself and must never
import the server, so that it measures any server, ours at any commit included.
"""
