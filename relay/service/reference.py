"""What operators read about the metrics: the source of docs/metrics.md."""

from typing import get_args

from relay.telemetry import METRICS, Bound

LABELS = {
    "stream": "a stream of the policy",
    "result": "see the metric",
    "rule": 'a rule of the policy as "file/id", or one of the relay itself ("base/...")',
    "action": "what the rule asks for: warn, hold, defer, reject",
    "reason": "of suppressions: unsubscribe, complaint, ...; of store errors: unreachable, timeout, empty, foreign, keys, ...;"
    " of upstream failures: connect, tls, greeting, unavailable, refused (the login); of held mail: limit, upstream, unknown,"
    " lane, hours, rule, paused, authentication, report",
    "origin": "where a suppression came from: one_click, page, mailto, reply, feedback, bounce,"
    " `upstream:NAME` (what it replied)",
    "kind": "refusal_by_token, refusal_by_words, bounce, complaint; notice, auto_reply, innocent: nothing follows;"
    " unmatched: about no mail of ours; repeated; unreadable; of an upstream: rest, rate, recipients, pause",
    "mailbox": "the [[upstream]] of the watched account, numbered where it has several",
    "stage": "parse, gather, decide, record, render, deliver, report, finish",
    "upstream": "the name of an [[upstream]]",
    "class": "what a reply is about: accepted, throttle, content, reputation, outage, ...",
    "state": "idle, busy",
    "limit": f"the bound that was met: {', '.join(get_args(Bound))}",
    "unit": "second, minute, hour, day",
    "measure": "complaints, hard_bounces",
    "part": "store, records, workers",
    "store": "sqlite, redis",
    "hash": "of the policy set",
    "duty": 'a duty of the policy as "pack/id"',
    "pack": "a rule pack that some stream uses",
    "category": "ordinary, sensitive: what left the country of a person",
    "basis": "of a [[transfer]]: exempt, standard-contract, ...",
    "outcome": "what a turn of the courier made of a held copy",
}
"""What each label holds."""

_HEAD = """\
# Metrics

`GET /metrics` on `[http] address` is one page for all processes of the relay, in Prometheus's text format. Made from
`relay/telemetry.py` and `relay/service/reference.py` by `make docs`; a test keeps it true.

Counters are kept when a worker is replaced and begin anew when the service is restarted. Labels are names from your
configuration and policies or words from fixed lists, never an address or anything a client sent; a typical relay has a few
hundred series.
`/healthz` answers 200 while the process lives, `/readyz` 200 when mail can flow, else 503 and the reasons, one a line.

## Every metric

"""

_ALERTS = """\

## Alerts and a dashboard

[docs/monitoring](monitoring/README.md) has alert rules for Prometheus and a dashboard for Grafana that are made of these metrics.
"""


def reference() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels) or '-'} | {metric.text} |"
        for metric in METRICS
    ]
    metrics = "\n".join(["| metric | type | labels | meaning |", "|---|---|---|---|", *rows])
    used = {label for metric in METRICS for label in metric.labels}
    labels = "\n".join(
        ["| label | values |", "|---|---|", *(f"| `{name}` | {LABELS[name]} |" for name in LABELS if name in used)]
    )
    return f"{_HEAD}{metrics}\n\n## Labels\n\n{labels}\n{_ALERTS}"
