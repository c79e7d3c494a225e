"""ApiVersions (key 18): which APIs a server speaks, in which versions; the first request of most.

Version 3 is flexible and names the client's software (KIP-511); the answer carries features. The
header of the answer stays classic in every version, and a version the server does not know is
answered with a version 0 body, error 35 and the whole list (KIP-511). Version 5 lets a client say
which cluster and node it means to reach (KIP-1242).
"""

SCHEMA = """
request
  client_software_name     string   3+
  client_software_version  string   3+
  cluster_id               string?  5+  = null
  node_id                  int32    5+  = -1
response
  error_code                int16
  api_keys                  []ApiVersion
    api_key                 int16
    min_version             int16
    max_version             int16
  throttle_time_ms          int32                  1+
  supported_features        []SupportedFeatureKey  3+  tag 0
    name                    string
    min_version             int16
    max_version             int16
  finalized_features_epoch  int64                  3+  = -1 tag 1
  finalized_features        []FinalizedFeatureKey  3+  tag 2
    name                    string
    max_version_level       int16
    min_version_level       int16
  zk_migration_ready        bool                   3+  tag 3
"""
