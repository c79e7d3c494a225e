"""RenewDelegationToken (key 39): a token lives longer (KIP-48). Version 2 is flexible."""

SCHEMA = """
request
  hmac             bytes
  renew_period_ms  int64
response
  error_code           int16
  expiry_timestamp_ms  int64
  throttle_time_ms     int32
"""
