"""What the benchmark makes of its measurements: figures, promises, plots, the page."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bench import Section
from benchmarks.figures import Claim, growth, percentile, ratio_of, short, slope, table
from benchmarks.groups import fanout, growing, holding, latency, lists, memory, rules, signing, throughput
from benchmarks.groups.throughput import MAIN
from benchmarks.peers.line_up import RELAY, RELAY_REDIS
from benchmarks.peers.postfix import Postfix
from benchmarks.plot import bars, lines
from benchmarks.report import not_held, page
from relay.policy.sets.parse import parse_policies
from tests.support.service import ROOT

NUMBERS = st.lists(st.floats(0.001, 1e6), min_size=1)


@given(NUMBERS)
def test_a_percentile_is_one_of_the_values_and_enough_are_below(values):
    for share in (0.5, 0.99):
        found = percentile(values, share)
        assert found in values
        assert sum(value <= found for value in values) >= share * len(values)


def test_the_99th_percentile_of_a_hundred_is_the_last_but_one():
    assert percentile(list(range(100)), 0.99) == 98
    assert percentile([7.0], 0.99) == 7.0


def test_ratios_are_taken_within_a_round():
    """A round on a busy machine halves both figures and changes no ratio."""
    assert ratio_of([(500, 1000), (250, 500), (10, 1000)]) == 0.5


@pytest.mark.parametrize(("power", "word"), [(0, "flat"), (0.5, "less than linear"), (1, "linear"), (2, "more than linear")])
def test_growth_is_the_slope_of_the_logarithms(power, word):
    found = slope([(x, 3 * x**power) for x in (1, 10, 100, 1000)])
    assert found == pytest.approx(power)
    assert growth(found) == word


def test_a_promise_is_kept_at_its_target_and_not_when_nothing_was_measured():
    assert Claim("rate", 0.5, 0.5).holds
    assert not Claim("rate", 0.5, 0.49).holds
    assert Claim("memory", 60, 60, " MB", at_most=True).holds
    assert not Claim("memory", 60, 61, " MB", at_most=True).holds
    assert not Claim("rate", 0.5, None).holds
    assert Claim("rate", 0.5, None).row()[2:] == ["not measured", "not held"]


def test_figures_are_short():
    assert [short(number) for number in (0, 0.00012, 0.1234, 12.34, 1234.5)] == ["0", "1.2e-04", "0.123", "12.3", "1,234"]


def test_a_table_is_markdown():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_bars_are_as_long_as_what_they_show():
    svg = bars("Rates <all>", [("4 KB", {"relay": 10.0, "peer": 5.0}), ("1 MB", {"relay": 2.5})], {"target": 8.0})
    assert {"Rates <all>", "4 KB", "1 MB", "relay", "peer", "target 8"} <= set(texts(svg))
    rectangles = [element for element in ElementTree.fromstring(svg) if element.get("height") == "14"]
    longest, half, quarter = [float(element.get("width", "")) for element in rectangles]
    assert half / longest == pytest.approx(0.5, abs=0.01)
    assert quarter / longest == pytest.approx(0.25, abs=0.01)


def test_what_is_linear_is_a_straight_line():
    svg = lines("Cost", "recipients", "us", {"line": [(1, 10), (10, 100), (100, 1000)], "flat": [(1, 50), (100, 50)]})
    straight, flat = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}polyline")
    places = [tuple(map(float, point.split(","))) for point in straight.get("points", "").split()]
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert len({point.split(",")[1] for point in flat.get("points", "").split()}) == 1


FIGURES = {
    "cases": {
        str(MAIN): {"ceilings": [1000.0, 2000.0, 1000.0], "rates": {RELAY: [600.0, 1200.0, 500.0], Postfix.title: [100.0] * 3}}
    },
    "absent": {"Haraka": "npm could not fetch it"},
}


def test_the_page_says_what_holds_what_does_not_and_who_is_missing():
    section = replace(throughput.describe(FIGURES), measured=["2026-11-22 18:27 UTC", "0ce4336", "0.08"])
    text = page({"cores": "2"}, [section], {"memory": "it broke"}, quick=False)
    assert "| Throughput | 2026-11-22 18:27 UTC | 0ce4336 | 0.08 |" in text
    assert "2 of 5 lines hold" in text
    assert "| at least 0.5 | 0.6 | **held** |" in text
    assert "| at least 3.5 | 6 | **held** |" in text
    assert "| at least 3 | not measured | not held |" in text
    assert "Left out: Haraka - npm could not fetch it" in text
    assert "**Not measured: memory.** it broke" in text
    assert "![Throughput](results/throughput.svg)" in text
    assert "--quick" not in text
    assert len(not_held([section])) == 3


def test_a_system_that_failed_in_a_round_has_no_figure():
    case = {"ceilings": [1000.0, 1000.0], "rates": {RELAY: [500.0, None]}}
    section = throughput.describe({"cases": {str(MAIN): case}, "absent": {}})
    assert section.claims[0].measured is None
    assert isinstance(section, Section)


def test_beyond_leaves_out_the_upstream_one_signature_and_one_fdatasync():
    point = {"bare": {"p50": 1.0, "p99": 2.0}, "relay": {"p50": 6.0, "p99": 40.0}, "signature": 0.001, "fdatasync": 0.002}
    assert latency.beyond(point, "p50") == pytest.approx(2.0)
    far = [{"clients": 20, **{side: {"rate": 10.0, "p50": 60.0, "p99": 70.0} for side in ("bare", "relay")}}]
    near = [{"share": share, "rate": 1.0, "messages": 9, **point} for share in (0.1, 0.5)]
    section = latency.describe({"capacity": 1000.0, "near": near, "far": far})
    p50, p99 = section.claims
    assert (p50.holds, p99.holds) == (True, False)
    assert "| 50% of 1,000/s | 1 / 2 | 6 / 40 | 5 / 38 | 1 | 2 | 2 / 35 |" in section.text


def test_sessions_are_judged_as_a_thousand_and_messages_by_their_size():
    figures = {"sessions": 200, "messages": 5, "idle before plain": 70 * 2**20, "supervisor": 2**20, "plain": 2**20}
    section = memory.describe(figures | {"TLS": 8 * 2**20, "large": 10 * memory.LARGE, "taken": 5})
    assert [claim.measured for claim in section.claims] == [40.0, 70.0, 2.0]
    assert memory.describe(figures | {"TLS": 8 * 2**20}).claims[2].measured is None


def test_a_list_that_could_not_be_imported_is_no_figure():
    about = {"import": 2.0, "octets": 150_000, "p50": 1e-5, "p99": 2e-5, "cpu": 1000.0}
    only = lists.describe({"sizes": {"1000": about}, "merge": None})
    assert [claim.measured for claim in only.claims] == [None, 500.0, None, None]
    merge = {
        "rows": 90_000,
        "seconds": 3.0,
        "rate": 10.0,
        "p50": {"before": 1.0, "during": 1.0},
        "p99": {"before": 1.0, "during": 1.5},
    }
    both = lists.describe({"sizes": {"1000": about, "100000": about | {"p50": 3e-5}}, "merge": merge})
    assert [claim.measured for claim in both.claims] == pytest.approx([3.0, 50_000, 30_000, 1.5])
    assert [claim.holds for claim in both.claims] == [False, False, True, False]
    assert texts(both.plots["lists.svg"])


def test_the_rules_of_the_benchmark_are_policy():
    files = {path.relative_to(ROOT / "policies").as_posix(): path.read_bytes() for path in (ROOT / "policies").rglob("*.toml")}
    name = "streams/newsletter.toml"
    before = len(parse_policies(files).stream("newsletter").rules)
    policy = parse_policies(files | {name: files[name] + rules.the_rules(60).encode()})
    assert len(policy.stream("newsletter").rules) == before + 60


def test_growth_is_judged_by_its_power():
    recipients = {"1": [100.0], "10": [1000.0], "100": [10_000.0]}
    section = growing.describe({"recipients": recipients, "history": {"100": [50.0, 52.0, 90.0], "10000": [80.0]}})
    linear, flat = section.claims
    assert linear.holds
    assert not flat.holds
    assert "linear." in section.text


def test_what_holding_costs_is_measured_beside_a_relay_that_defers():
    one = {"hold": [95.0, 99.0, None], "defer": [100.0, 100.0, 100.0], "in": 400.0, "out": 194.0, "service": [0.01, 0.03, 0.02]}
    absent = one | {"hold": [None, None, None]}
    section = holding.describe({"copies": 100_000, "backlog": 50_000, RELAY: one, RELAY_REDIS: absent})
    assert [(claim.measured, claim.holds) for claim in section.claims] == [(0.97, True), (None, False)]
    assert "| 400/s | 194/s | 97/s, held copies leave at 2 times that | 20 / 30 ms |" in section.text


def test_fan_out_is_measured_by_the_cores_that_take_part():
    ways = {
        "one submission": {"ceilings": [500.0], "rates": {RELAY: [400.0]}},
        "4 submissions at once": {"ceilings": [1000.0], "rates": {RELAY: [None]}},
    }
    section = fanout.describe({"recipients": 1000, "workers": 2, "ways": ways})
    assert [claim.measured for claim in section.claims] == [0.8, None]


def test_mail_that_nobody_signs_is_measured_by_the_rate_of_signatures():
    section = signing.describe({"ceilings": [1000.0], "rates": {signing.RSA: [500.0], signing.NONE: [1500.0]}})
    assert [(claim.measured, claim.holds) for claim in section.claims] == [(1.5, True)]
