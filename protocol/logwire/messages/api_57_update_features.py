"""UpdateFeatures (key 57): finalizes the level of features such as `group.version` (KIP-584).

`upgrade_type`: 1 upgrade, 2 safe downgrade, 3 unsafe downgrade. Version 1 may only validate, 2
answers for all features together.
"""

SCHEMA = """
request
  timeout_ms           int32                   = 60000
  feature_updates      []FeatureUpdateKey
    feature            string
    max_version_level  int16
    allow_downgrade    bool                0
    upgrade_type       int8                1+  = 1
  validate_only        bool                1+
response
  throttle_time_ms  int32
  error_code        int16
  error_message     string?
  results           []UpdatableFeatureResult  0-1
    feature         string
    error_code      int16
    error_message   string?
"""
