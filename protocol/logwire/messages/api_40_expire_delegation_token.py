"""ExpireDelegationToken (key 40): a token ends, at once when the period is negative (KIP-48).

Version 2 is flexible.
"""

SCHEMA = """
request
  hmac                   bytes
  expiry_time_period_ms  int64
response
  error_code           int16
  expiry_timestamp_ms  int64
  throttle_time_ms     int32
"""
