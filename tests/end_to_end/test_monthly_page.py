"""The monthly report in Chromium, without JavaScript: on a phone, on a desk, on paper, in both languages."""

import asyncio
import base64
from contextlib import chdir
from datetime import datetime

import pytest
from click.testing import CliRunner
from selenium.webdriver.common.by import By

from relay.cli.main import root
from tests.support import axe
from tests.support.browser import chromium, colours
from tests.support.months import ZONE, a_node

HEADS = {"zh": "按规则统计的拒绝", "en": "Refusals by rule"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    asyncio.run(a_node(folder, datetime(2026, 10, 1, tzinfo=ZONE), mails=4))
    with chdir(folder):
        for lang in HEADS:
            done = CliRunner().invoke(root, ["--lang", lang, "records", "report", "--month", "2026-10"], catch_exceptions=False)
            assert done.exit_code == 0
    return folder


@pytest.mark.parametrize("lang", HEADS)
def test_a_phone_a_desk_and_paper_show_the_whole_report(folder, tmp_path, lang):
    with chromium(tmp_path / "profile", script=False) as browser:
        browser.get((folder / f"relay-report-2026-10.{lang}.html").as_uri())
        assert HEADS[lang] in [heading.text for heading in browser.find_elements(By.TAG_NAME, "h2")]
        charts = browser.find_elements(By.TAG_NAME, "svg")
        assert len(charts) == 4
        assert all(chart.size["height"] > 30 and chart.accessible_name for chart in charts)
        for width in (360, 1200):
            shape = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
            page = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
            assert page["width"] <= width, "something is wider than the window"
            assert all(chart.size["width"] <= width for chart in charts)
        pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
        assert pdf.startswith(b"%PDF")
        assert pdf.count(b"/Type /Page\n") >= 2


@pytest.mark.parametrize("lang", HEADS)
def test_axe_finds_no_fault_on_a_phone_and_on_a_desk(folder, tmp_path, lang):
    with chromium(tmp_path / "profile") as browser:
        for scheme in ("light", "dark"):
            colours(browser, scheme)
            for width in (360, 1200):
                shape = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
                browser.get((folder / f"relay-report-2026-10.{lang}.html").as_uri())
                assert axe.faults(browser) == []
