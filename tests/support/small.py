"""The smallest configuration with which commands work, and a listener with TLS."""

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
LISTEN_TLS = """
[[listen]]
name = "submission"
address = "127.0.0.1:0"
tls = "implicit"
[tls]
certificate_file = "relay.crt"
private_key_file = "relay.key"
"""
