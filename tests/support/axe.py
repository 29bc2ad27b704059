"""axe-core, the accessibility checker that browsers' own tools are built on; `.ci/servers` fetches it with npm."""

import os

import pytest

from tests.support.service import ROOT

PROGRAM = ROOT / ".venv" / "node_modules" / "axe-core" / "axe.min.js"


def faults(browser) -> list[str]:
    """What axe-core finds wrong on the page that is open, whatever its weight; the browser must have JavaScript."""
    if not PROGRAM.exists():
        reason = "axe-core is not installed: .ci/servers does it where there is npm"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    browser.set_script_timeout(120)
    browser.execute_script(PROGRAM.read_text("utf-8"))
    found = browser.execute_async_script("const done = arguments[arguments.length - 1]; axe.run().then(done)")
    assert found["passes"] or found["violations"]  # it did look
    return [
        f"{fault['impact']}: {fault['id']}: {fault['help']}: {node['html']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]
