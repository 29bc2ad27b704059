"""Alert rules and dashboard: valid, each alert tried, and made of metrics and labels that exist."""

import json
import re
import shutil
import subprocess
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from relay.telemetry import METRICS
from tests.support.needs import needs

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
RULES = (FOLDER / "alerts.yml").read_text("utf-8")
TESTS = ("alerts_test.yml", "alerts_slow_test.yml")
TRIED = "".join((FOLDER / name).read_text("utf-8") for name in TESTS)
ALERTS = re.findall(r"^ +- alert: (\w+)", RULES, re.MULTILINE)
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OF_PROMETHEUS = {"instance", "job", "le"}
LABELS = {metric.name: set(metric.labels) for metric in METRICS}
LABELS |= {f"{m.name}_{part}": set(m.labels) for m in METRICS if m.kind == "histogram" for part in ("bucket", "sum", "count")}


def promtool(*arguments, folder=FOLDER):
    needs("promtool")
    return subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def expressions():
    """(where, expression, the labels that its texts use)."""
    found = []
    for block in RULES.split("- alert: ")[1:]:
        expression = re.search(r"expr: (.*)", block)[1]
        found.append((block.split()[0], expression, set(re.findall(r"\$labels\.(\w+)", block))))
    shown = [
        (panel["title"], target["expr"], set(re.findall(r"{{(\w+)}}", target["legendFormat"])))
        for panel in PANELS
        for target in panel["targets"]
    ]
    return found + shown


def test_the_rules_are_valid():
    checked = promtool("check", "rules", "alerts.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_silent_and_fires_when_it_should():
    tried = promtool("test", "rules", *TESTS)
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_every_alert_is_tried_both_ways():
    assert len(ALERTS) == len(set(ALERTS)) > 10
    silent = re.findall(r"alertname: (\w+), exp_alerts: \[\]", TRIED)
    fires = re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- exp_labels", TRIED)
    assert sorted(silent) == sorted(fires) == sorted(ALERTS)


@pytest.mark.parametrize("expression", ["vector(0) > 1", "vector(1) > 0"], ids=["none ever fires", "all always fire"])
def test_the_tests_of_the_alerts_can_fail(tmp_path, expression):
    for name in TESTS:
        shutil.copy(FOLDER / name, tmp_path)
    broken = re.sub(r"expr: .*", f"expr: {expression}", RULES)
    (tmp_path / "alerts.yml").write_text(re.sub(r"\n +for: .*", "", broken), "utf-8")
    tried = promtool("test", "rules", *TESTS, folder=tmp_path)
    assert tried.returncode != 0
    assert set(re.findall(r"alertname: ?(\w+)", tried.stdout + tried.stderr)) == set(ALERTS)


def test_every_alert_says_what_to_do_in_both_languages():
    for block in RULES.split("- alert: ")[1:]:
        said = dict(re.findall(r"^ +(summary|summary_zh|description|description_zh): '(.+)'$", block, re.MULTILINE))
        assert set(said) == {"summary", "summary_zh", "description", "description_zh"}, block
        for key, text in said.items():
            assert (len(re.findall("[\u4e00-\u9fff]", text)) > 4) == key.endswith("_zh"), text
        assert re.search(r"labels: { severity: (critical|warning) }", block), block


@pytest.mark.parametrize(("where", "expression", "shown"), expressions(), ids=[found[0] for found in expressions()])
def test_every_metric_and_label_exists(where, expression, shown):
    used = re.findall(r"\b(relay_\w+)(?:{([^}]*)})?", expression)
    assert used or expression.startswith("up{")
    known = {"job"} if not used else set()
    for name, matchers in used:
        assert name in LABELS, name
        assert set(re.findall(r"(\w+) ?(?:=~|!~|!=|=)", matchers)) <= LABELS[name] | OF_PROMETHEUS, name
        known |= LABELS[name]
    kept = re.findall(r"\bby \(([^)]*)\)", expression)
    grouped = {label for group in kept for label in group.split(", ")}
    assert grouped <= known | OF_PROMETHEUS
    left = grouped - {"le"} if kept else known | {"instance"}
    assert shown <= left, "a text names a label that the result does not have"


def test_every_expression_of_the_dashboard_is_one(tmp_path):
    rules = ["groups:", "  - name: dashboard", "    rules:"]
    for number, target in enumerate(target for panel in PANELS for target in panel["targets"]):
        expression = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
        assert "$" not in expression
        rules.append(f"      - {{ record: panel:{number}, expr: {json.dumps(expression)} }}")
    (tmp_path / "rules.yml").write_text("\n".join(rules) + "\n", "utf-8")
    checked = promtool("check", "rules", "rules.yml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dashboard_can_be_imported():
    assert DASHBOARD["id"] is None  # Grafana gives it one
    assert DASHBOARD["schemaVersion"] >= 36
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert re.fullmatch(r"label_values\((\w+), instance\)", variables["instance"]["query"]["query"])[1] in LABELS
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["type"] in ("timeseries", "stat")
        assert panel["title"]
        assert re.search("[\u4e00-\u9fff]", panel["description"])
        assert panel["targets"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"])


def test_the_panels_lie_side_by_side():
    rows = [panel["title"].split(" / ")[0] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Mail", "Refusals", "Limits", "Upstream", "Stores", "Reputation", "Held", "Adapted to upstreams"]
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert all(before["y"] <= after["y"] for before, after in pairwise(places))
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_every_metric_is_shown_or_watched():
    everything = " ".join(expression for _, expression, _ in expressions())
    assert [metric.name for metric in METRICS if metric.name not in everything] == []


def test_both_guides_give_the_same_commands():
    english, chinese = (FOLDER.joinpath(name).read_text("utf-8") for name in ("README.md", "README.zh.md"))

    def blocks(text):
        return re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)

    assert blocks(english) == blocks(chinese)
    assert len(re.findall("^#", english, re.MULTILINE)) == len(re.findall("^#", chinese, re.MULTILINE))
    for path in FOLDER.iterdir():
        assert path.name in english or path.name.startswith("README")


def test_the_job_that_prometheus_scrapes_has_the_name_that_the_alert_asks_for():
    scraped = re.search(r"job_name: (\w+)", (FOLDER / "README.md").read_text("utf-8"))[1]
    assert f'up{{job="{scraped}"}}' in RULES
