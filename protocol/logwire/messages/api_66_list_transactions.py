"""ListTransactions (key 66): the transactions that this broker coordinates (KIP-664).

Version 1 filters by their age in milliseconds (KIP-994), 2 by a pattern (KIP-1152).
"""

SCHEMA = """
request
  state_filters             []string
  producer_id_filters       []int64
  duration_filter           int64     1+  = -1
  transactional_id_pattern  string?   2+  = null
response
  throttle_time_ms       int32
  error_code             int16
  unknown_state_filters  []string
  transaction_states     []TransactionState
    transactional_id     string
    producer_id          int64
    transaction_state    string
"""
