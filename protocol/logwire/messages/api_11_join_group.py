"""JoinGroup (key 11): a classic member asks for its place in the next generation.

The answer comes when all members have joined; only the leader is told of the others. Without
`rebalance_timeout_ms` (version 0) the session timeout counts. From 4 on a new member is first given
its id and joins again (KIP-394), 5 brings static members, 6 is flexible, 7 tells the protocol type,
8 a reason (KIP-800), 9 may tell a static leader not to assign again (KIP-814).
"""

SCHEMA = """
request
  group_id              string
  session_timeout_ms    int32
  rebalance_timeout_ms  int32                       1+  = -1
  member_id             string
  group_instance_id     string?                     5+  = null
  protocol_type         string
  protocols             []JoinGroupRequestProtocol
    name                string
    metadata            bytes
  reason                string?                     8+  = null
response
  throttle_time_ms     int32                      2+
  error_code           int16
  generation_id        int32                          = -1
  protocol_type        string?                    7+  = null
  protocol_name        string                         null 7+
  leader               string
  skip_assignment      bool                       9+
  member_id            string
  members              []JoinGroupResponseMember
    member_id          string
    group_instance_id  string?                    5+  = null
    metadata           bytes
"""
