"""The smallest configuration with which commands work."""

SMALL_CONFIG = """hostname = "relay.example.com"
data_dir = "data"
policies = "policies"
[[listen]]
name = "submission"
address = "127.0.0.1:0"
tls = "none"
[[upstream]]
name = "only"
addresses = ["127.0.0.1:25"]
tls = "none"
auth = "none"
"""
