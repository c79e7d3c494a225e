"""PushTelemetry (key 72): metrics of a client, OTLP in `metrics`, maybe compressed (KIP-714)."""

SCHEMA = """
request
  client_instance_id  uuid
  subscription_id     int32
  terminating         bool
  compression_type    int8
  metrics             bytes
response
  throttle_time_ms  int32
  error_code        int16
"""
