"""The metrics page of a working relay: valid, complete, bounded, and without an address."""

import re
import smtplib
import subprocess

import pytest

from relay.cli.documents import DOCUMENTS, main
from relay.service.reference import LABELS
from relay.telemetry import METRICS
from tests.support.needs import needs
from tests.support.scrape import samples
from tests.support.service import ACCOUNTS, NEWS, OFFICE, ROOT, Relay, message
from tests.support.upstream import RecordingUpstream

PROMISED = {  # design 12
    "submissions_total": {"stream", "result"},
    "recipients_total": {"stream", "result"},
    "rule_objections_total": {"rule", "action"},
    "suppressions_total": {"reason", "origin"},
    "auth_total": {"result"},
    "stage_seconds": {"stage"},
    "upstream_replies_total": {"upstream", "class"},
    "upstream_connections": {"upstream", "state"},
    "sessions": set(),
    "held_copies": {"reason"},
    "held_oldest_seconds": set(),
    "store_errors_total": {"store", "reason"},
    "policy_info": {"hash"},
    "pack_expires_timestamp_seconds": {"pack"},
    "policy_apply_failures_total": set(),
    "shadow_streams": set(),
    "unsubscribe_to_effect_seconds": set(),
}
MAX_SERIES = 600


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """A relay that has seen a bit of everything."""
    policy = {"streams/newsletter.toml": [("\nidentity = .*", '\nidentity = ["4/minute"]')]}
    with (
        RecordingUpstream(accounts=ACCOUNTS) as upstream,
        Relay(tmp_path_factory.mktemp("relay"), upstream, policy=policy) as relay,
    ):
        assert relay.send(NEWS, ["ada@example.org"], message())[0] == 250
        assert relay.unsubscribe(upstream.accepted[0].data) == 200
        assert relay.send(NEWS, ["ada@example.org"], message())[0] == 550
        assert relay.send(NEWS, ["ada@example.org"], b"")[0] == 554
        upstream.fault("RCPT", "550 5.1.1 no such user", matching="nobody@")
        upstream.fault("DOT", "451 4.3.0 later", times=1)
        assert relay.send(OFFICE, ["bob@example.org"], message(sender=OFFICE))[0] == 451
        assert relay.send(OFFICE, ["bob@example.org", "nobody@example.org"], message(sender=OFFICE))[0] == 250
        for name in "abcde":
            relay.send(NEWS, [f"{name}@example.org"], message(to=f"{name}@example.org"))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            relay.connect(NEWS, "wrong")
        relay.send(OFFICE, [f"p{number}@example.org" for number in range(1100)], message(sender=OFFICE))
        yield relay


def labels_of(series):
    return dict(re.findall(r'([a-z]+)="([^"]*)"', series))


def metric_of(series):
    name = series.partition("{")[0]
    return next(metric.name for metric in METRICS if re.fullmatch(rf"{metric.name}(_bucket|_sum|_count)?", name))


def test_promtool_finds_nothing(relay):
    needs("promtool")
    page = relay.get("operators", "/metrics")[1]
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_every_promised_metric_is_there_with_its_labels(relay):
    assert {metric.name.removeprefix("relay_"): set(metric.labels) for metric in METRICS}.items() >= PROMISED.items()
    page = relay.get("operators", "/metrics")[1]
    assert set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE)) == {metric.name for metric in METRICS}
    seen = {metric_of(series) for series in samples(relay)}
    # no fault of the store, no pack with a last day, no duty left out, no watched mailbox, no limit of the upstream,
    # nothing held, no ground for sending abroad, no form for sign-ups, nobody to ask about domains
    assert {metric.name for metric in METRICS} - seen == {
            "relay_store_errors_total", "relay_collector_up", "relay_collected_total", "relay_upstream_limit_used_ratio",
            "relay_courier_copies_total", "relay_upstream_kept_back_total", "relay_pack_expires_timestamp_seconds",
            "relay_duties_skipped_total", "relay_consents_refused_total", "relay_transfer_persons",
            "relay_transfer_persons_below", "relay_consent_requests_total", "relay_consent_confirmations_total",
            "relay_domain_lookups_total",
        }  # fmt: skip
    for series in samples(relay):
        metric = next(metric for metric in METRICS if metric.name == metric_of(series))
        assert labels_of(series).keys() - {"le"} == set(metric.labels), series


def test_what_happened_is_counted(relay):
    found = samples(relay)
    assert found['relay_suppressions_total{origin="one_click",reason="unsubscribe"}'] == 1
    assert found['relay_auth_total{result="wrong"}'] == 2  # smtplib tries PLAIN, then LOGIN
    assert found['relay_submissions_total{result="deferred",stream="correspondence"}'] == 1
    assert found['relay_recipients_total{result="refused",stream="correspondence"}'] == 1
    assert found['relay_rule_objections_total{action="reject",rule="base/suppression"}'] == 1
    assert found['relay_upstream_replies_total{class="recipient_gone",upstream="up"}'] == 1
    assert found['relay_refused_by_limit_total{limit="recipients"}'] == 100
    assert found["relay_unsubscribe_to_effect_seconds_count"] == 1


def test_no_label_holds_an_address_and_the_series_are_few(relay):
    found = samples(relay)
    for series in found:
        for value in labels_of(series).values():
            assert "@" not in value
            assert "example" not in value
            assert "127.0.0.1" not in value
    assert len(found) < MAX_SERIES


def test_the_rest_of_the_page_is_not_of_the_python_process(relay):
    assert all(series.startswith("relay_") for series in samples(relay))


def test_the_generated_documents_are_as_they_would_be_written_now(tmp_path):
    main([str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == set(DOCUMENTS)
    for path in tmp_path.iterdir():
        assert (ROOT / "docs" / path.name).read_bytes() == path.read_bytes(), "run `make docs`"


def test_every_label_is_explained():
    assert set(LABELS) == {label for metric in METRICS for label in metric.labels}
