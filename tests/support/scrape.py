"""Reading a relay's metrics page as Prometheus does."""

import re


def samples(relay):
    """Every series with its value: {'relay_sessions': 0.0, 'relay_policy_info{hash="..."}': 1.0, ...}."""
    status, page = relay.get("operators", "/metrics")
    assert status == 200
    return {series: float(value) for series, value in re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", page, re.MULTILINE)}


def counted(relay, series):
    """The value of one series; 0 when it is not there yet."""
    return samples(relay).get(series, 0.0)
