"""Record code of two other clients, written independently of ours: oracles for our tests.

kafka-python warns about its own use of importlib while it is imported; that is not our warning.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiokafka import codec as aiokafka_codec
    from aiokafka.record import default_records as aiokafka_records
    from kafka import codec as kafka_python_codec
    from kafka.record import default_records as kafka_python_records

__all__ = ["aiokafka_codec", "aiokafka_records", "kafka_python_codec", "kafka_python_records"]
