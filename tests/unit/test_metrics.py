"""Adding the processes up: counters never fall, gauges go with their process, series do not multiply."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from relay.service.metrics import Totals, snapshot


class Process:
    """The metrics of one pretended process."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.mails = Counter("relay_mails_total", "Mails", ["stream"], registry=self.registry)
        self.sessions = Gauge("relay_sessions", "Sessions", registry=self.registry)
        self.seconds = Histogram("relay_seconds", "Seconds", buckets=(1, 2), registry=self.registry)
        Counter("other_total", "Not the relay's", registry=self.registry).inc()

    def taken(self):
        return snapshot(self.registry)


def values(totals):
    page = totals.page().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_processes_are_added_up():
    one, two, totals = Process(), Process(), Totals()
    one.mails.labels("news").inc(3)
    two.mails.labels("news").inc(4)
    two.mails.labels("office").inc()
    one.sessions.set(5)
    two.sessions.set(6)
    one.seconds.observe(0.5)
    two.seconds.observe(1.5)
    totals.update("one", one.taken())
    totals.update("two", two.taken())
    assert values(totals) == {
        ("relay_mails_total", "news"): 7,
        ("relay_mails_total", "office"): 1,
        ("relay_sessions",): 11,
        ("relay_seconds_bucket", "1.0"): 1,
        ("relay_seconds_bucket", "2.0"): 2,
        ("relay_seconds_bucket", "+Inf"): 2,
        ("relay_seconds_count",): 2,
        ("relay_seconds_sum",): 2,
    }


def test_the_counters_of_a_dead_process_stay_and_its_gauges_go():
    process, totals = Process(), Totals()
    totals.update("supervisor", Process().taken())
    for life in range(1, 4):
        process = Process()
        process.mails.labels("news").inc()
        process.sessions.inc()
        totals.update("worker-1", process.taken())
        assert (values(totals)["relay_mails_total", "news"], values(totals)["relay_sessions",]) == (life, 1)
        totals.bury("worker-1")
        assert (values(totals)["relay_mails_total", "news"], values(totals)["relay_sessions",]) == (life, 0)


def test_burying_twice_counts_once():
    process, totals = Process(), Totals()
    totals.update("supervisor", Process().taken())
    process.mails.labels("news").inc()
    totals.update("worker-1", process.taken())
    totals.bury("worker-1")
    totals.bury("worker-1")
    assert values(totals)["relay_mails_total", "news"] == 1


def test_a_later_snapshot_replaces_the_earlier():
    process, totals = Process(), Totals()
    for _ in range(3):
        process.mails.labels("news").inc()
        totals.update("worker-1", process.taken())
    assert values(totals)["relay_mails_total", "news"] == 3


def test_the_page_has_help_and_type_for_every_metric_and_no_time_of_creation():
    process, totals = Process(), Totals()
    process.mails.labels("news").inc()
    totals.update("one", process.taken())
    page = totals.page().decode()
    assert "# HELP relay_mails_total Mails\n# TYPE relay_mails_total counter\n" in page
    assert "# TYPE relay_seconds histogram\n" in page
    assert "_created" not in page
    assert "other" not in page
