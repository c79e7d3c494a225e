"""DeleteTopics (key 20): deletes topics, by name or, from version 6 on, by name or id.

Version 4 is flexible, 5 adds an error message (KIP-599), 6 brings topic ids (KIP-516).
"""

SCHEMA = """
request
  topics       []DeleteTopicState  6+
    name       string?                  = null
    topic_id   uuid
  topic_names  []string            1-5
  timeout_ms   int32
response
  throttle_time_ms  int32
  responses         []DeletableTopicResult
    name            string                      null 6+
    topic_id        uuid                    6+
    error_code      int16
    error_message   string?                 5+  = null
"""
