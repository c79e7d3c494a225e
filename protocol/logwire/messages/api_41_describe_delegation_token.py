"""DescribeDelegationToken (key 41): the tokens of some owners, or of all when null (KIP-48).

Version 2 is flexible, 3 tells who asked for the token (KIP-373).
"""

SCHEMA = """
request
  owners            []DescribeDelegationTokenOwner?
    principal_type  string
    principal_name  string
response
  error_code                        int16
  tokens                            []DescribedDelegationToken
    principal_type                  string
    principal_name                  string
    token_requester_principal_type  string                             3+
    token_requester_principal_name  string                             3+
    issue_timestamp                 int64
    expiry_timestamp                int64
    max_timestamp                   int64
    token_id                        string
    hmac                            bytes
    renewers                        []DescribedDelegationTokenRenewer
      principal_type                string
      principal_name                string
  throttle_time_ms                  int32
"""
