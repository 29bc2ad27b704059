"""What operators see: Prometheus metrics, and events in the log (`relay.loglines`).

No address, secret or recipient domain is ever a label or (by default) a log
value; labels are closed sets or names from the configuration, so that the
number of series stays in the hundreds.  Every process counts for itself;
`relay.service.metrics` adds the processes up.
"""

import logging
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Self

from prometheus_client import Counter, Gauge, Histogram

from relay.loglines import EVENTS, Output, event_record


@dataclass(frozen=True, slots=True)
class Documented:
    """One metric as docs/metrics.md and Prometheus know it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


Bound = Literal[
    "connections", "connections_per_address", "handshakes", "proxy", "trust", "time", "commands", "errors", "recipients",
    "in_flight", "hold", "size", "line_length", "header_fields", "header_size", "received", "http_connections", "http_size",
    "http_time", "http_token",
]  # fmt: skip
"""Every bound of the doors: what may be refused of what comes in, whatever it says."""

METRICS: list[Documented] = []
"""Every metric, in the order of the documentation."""


class _Counter(Counter):
    """A counter that a message counts up many times: a series is looked up once, and only ever goes up by what we say."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._found: dict[tuple[object, ...], Self] = {}

    def labels(self, *values: object, **named: object) -> Self:
        """The series with these values."""
        if named:
            return super().labels(*values, **named)
        found = self._found.get(values)
        if found is None:
            found = self._found[values] = super().labels(*values)
        return found

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Count up."""
        self._value.inc(amount)


class _Gauge(Gauge):
    """A gauge that a message sets many times."""

    def set(self, value: float) -> None:
        """What it is now."""
        self._value.set(float(value))


class _Histogram(Histogram):
    """A histogram that finds the bucket by halving."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Take a value in."""
        self._sum.inc(amount)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)


def _counter(name: str, text: str, *labels: str) -> Counter:
    METRICS.append(Documented(name, "counter", labels, text))
    return _Counter(name, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    METRICS.append(Documented(name, "gauge", labels, text))
    return _Gauge(name, text, labels)


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
    METRICS.append(Documented(name, "histogram", labels, text))
    return _Histogram(name, text, labels, buckets=buckets)


submissions_total = _counter(
    "relay_submissions_total",
    "Messages that reached the end of DATA, or announced too large a SIZE, by final reply: accepted (2yz), deferred (4yz),"
    " refused (5yz)",
    "stream",
    "result",
)
recipients_total = _counter(
    "relay_recipients_total",
    "Recipients of those messages, by outcome: delivered, held, refused, transient, indeterminate",
    "stream",
    "result",
)
rule_objections_total = _counter(
    "relay_rule_objections_total",
    "Objections of rules, by action: warn, hold, defer, reject; all of a recipient's count",
    "rule",
    "action",
)
suppressions_total = _counter(
    "relay_suppressions_total", "Suppressions that recipients and bounces caused and the store took in", "reason", "origin"
)
consents_refused_total = _counter(
    "relay_consents_refused_total",
    "Requests of sign-up forms that were not recorded: id_taken (409), too_many of one mailbox (429)",
    "reason",
)
consent_requests_total = _counter(
    "relay_consent_requests_total",
    "Sign-ups by double opt-in: sent (a confirmation mail is on its way), failed (the line did not take it, or the store went"
    " away); nothing was sent to: asked (a moment ago), stands (confirmed already), too_many of one mailbox, refused (complained"
    " or objected), network, everybody and domain (too many from one network, at all, or to a domain where nobody confirms)",
    "result",
)
consent_confirmations_total = _counter(
    "relay_consent_confirmations_total",
    "Presses of the button on a confirmation page: confirmed, again, expired (too late, or the form says something else now)",
    "result",
)
auth_total = _counter("relay_auth_total", "AUTH attempts: accepted, wrong, unavailable, limited", "result")
stage_seconds = _histogram(
    "relay_stage_seconds",
    "Time a message spends in a stage of the line",
    "stage",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
upstream_replies_total = _counter(
    "relay_upstream_replies_total", "Replies of upstreams, by what they are about", "upstream", "class"
)
upstream_failures_total = _counter(
    "relay_upstream_failures_total", "Connections to upstreams that could not be had; refused: the login", "upstream", "reason"
)
upstream_connections = _gauge("relay_upstream_connections", "Connections to upstreams: idle, busy", "upstream", "state")
sessions = _gauge("relay_sessions", "Open SMTP sessions")
in_flight_octets = _gauge("relay_in_flight_octets", "Octets of messages held in memory")
refused_by_limit_total = _counter(
    "relay_refused_by_limit_total", "Refusals by a bound of SMTP or HTTP; the label says which", "limit"
)
store_errors_total = _counter("relay_store_errors_total", "Operations that the store could not answer", "store", "reason")
duties_skipped_total = _counter(
    "relay_duties_skipped_total", "Messages that left without a duty that could not be done and may be left out", "duty"
)
policy_apply_failures_total = _counter(
    "relay_policy_apply_failures_total",
    "Policy folders that a start or SIGHUP refused; the set before stayed in force",
)
shadow_streams = _gauge("relay_shadow_streams", "Streams in shadow mode: their rules only observe")
pack_expires_timestamp_seconds = _gauge(
    "relay_pack_expires_timestamp_seconds",
    "When a rule pack in use expires, in seconds since 1970; after it what the pack applies to is answered 451",
    "pack",
)
transfer_persons = _gauge(
    "relay_transfer_persons",
    "Persons whose data left the country this calendar year, where a rule counts them; those in [[transferred]] too",
    "category",
)
transfer_persons_below = _gauge(
    "relay_transfer_persons_below",
    "What a recorded ground allows: fewer persons than this a year",
    "category",
    "basis",
)
policy_info = _gauge("relay_policy_info", "1 for the policy set in force", "hash")
unsubscribe_to_effect_seconds = _histogram(
    "relay_unsubscribe_to_effect_seconds",
    "From a refusal's receipt to its effect in the store; on this node it binds at once",
    buckets=(0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 3600),
)
courier_copies_total = _counter(
    "relay_courier_copies_total",
    "What became of held copies, turn by turn: delivered, refused, expired, indeterminate, put off, reported, unreported",
    "outcome",
)
limit_reached_total = _counter(
    "relay_limit_reached_total",
    "Recipients held, or answered 450 for now, because a limit of the stream or the upstream is reached",
    "stream",
)
upstream_limit_used = _gauge(
    "relay_upstream_limit_used_ratio",
    "Share of an upstream's limit that is used or reserved now, as a share of 1",
    "upstream",
    "unit",
)
upstream_adapted = _gauge(
    "relay_upstream_adapted",
    "What is done at an upstream because of its replies, until it ends by itself or, a pause, a person ends it: scopes that"
    " rest, lowered rates, learnt caps of recipients, pauses",
    "upstream",
    "kind",
)
upstream_breakers_open = _gauge(
    "relay_upstream_breakers_open",
    "Breakers of worker processes that are open, of the upstream or of one identity there: nobody connects but a probe",
    "upstream",
)
upstream_kept_back_total = _counter(
    "relay_upstream_kept_back_total",
    "Recipients for whom an upstream was not asked because of an adaptation: rest, pause",
    "upstream",
    "kind",
)
stream_paused = _gauge("relay_stream_paused", "1 while the stream is paused: its mail is answered 451", "stream")
stream_sent = _gauge(
    "relay_stream_sent", "Recipients of the stream in the window of its thresholds, delivered or without a mailbox", "stream"
)
stream_ratio = _gauge("relay_stream_ratio", "Complaints or hard bounces in that window, as a share of 1", "stream", "measure")
stream_warning = _gauge(
    "relay_stream_warning",
    "1 while the share is over the stream's threshold for a warning, from its minimum on",
    "stream",
    "measure",
)
held_copies = _gauge(
    "relay_held_copies",
    "Recipients whose mail the relay holds, by reason: limit, upstream, unknown, lane, hours, rule, paused, authentication,"
    " report (it will never leave, and its sender must still be told)",
    "reason",
)
held_oldest_seconds = _gauge("relay_held_oldest_seconds", "Since when the oldest held recipient waits; 0 when none does")
held_octets = _gauge("relay_held_octets", "Octets of held messages, as they are stored; [hold] max_bytes bounds them")
ready = _gauge("relay_ready", "1 while this part lets mail flow, else 0 and /readyz says why", "part")
refusals_waiting_seconds = _gauge(
    "relay_refusals_waiting_seconds", "Age of the oldest refusal that the store does not have yet; 0 when it has all"
)
domain_lookups_total = _counter(
    "relay_domain_lookups_total",
    "Recipients' domains that DNS was asked about, by what it said: takes, none, null-mx, unknown; too many: not asked, because"
    " others filled the bound or were not answered in time",
    "result",
)
domain_lookup_seconds = _histogram(
    "relay_domain_lookup_seconds",
    "From the question about a recipient's domain to the answer, or to giving up; what is remembered is not asked",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
collected_total = _counter("relay_collected_total", "Mails read in watched mailboxes, by what they were", "kind")
collector_up = _gauge("relay_collector_up", "1 while a watched mailbox can be read, else 0", "mailbox")


class stage:  # noqa: N801 - reads as a word in a with statement
    """Observe how long a stage of the line takes."""

    __slots__ = ("_begun", "_name")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        _series_of(self._name).observe(time.perf_counter() - self._begun)


@cache
def _series_of(stage_name: str) -> Histogram:
    return stage_seconds.labels(stage_name)


_events = logging.getLogger(EVENTS)


def count_refusal(bound: Bound) -> None:
    """Count what a bound of the doors kept out."""
    refused_by_limit_total.labels(bound).inc()


def event(name: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Write one JSON line. `facts` hold ids, names of rules and streams, codes and counts; no addresses."""
    if not _events.isEnabledFor(level):
        return
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], Output):
        handlers[0].say(name, level, facts)
    else:  # somebody else listens
        _events.handle(event_record(name, level, facts))
