"""Debian's Chromium without a window, driven by selenium; nothing but 127.0.0.1 is asked for anything."""

import json
import shutil
from contextlib import contextmanager

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.needs import needs

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}


@contextmanager
def chromium(folder, *, language="zh-CN", script=True, phone=False):
    """A browser with a fresh profile in `folder`; `script=False` has JavaScript switched off, `phone` a phone's window."""
    needs("chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for option in (*OPTIONS, f"--user-data-dir={folder}", "--window-size=1200,900"):
        options.add_argument(option)
    options.add_experimental_option(
        "prefs",
        {
            "intl.accept_languages": language,
            "profile.managed_default_content_settings.javascript": 1 if script else 2,
        },
    )
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Service(shutil.which("chromedriver"))
    try:
        browser = webdriver.Chrome(options, driver)
    except BaseException:
        driver.stop()
        raise
    try:
        browser.set_page_load_timeout(60)
        browser.get("about:blank")
        browser.get_log("performance")  # of the browser's own first page
        if phone:
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
        yield browser
    finally:
        browser.quit()


def follow(browser, by, what):
    """Click on what leads to another page, and wait until that is there."""
    leading = browser.find_element(by, what)
    leading.click()
    WebDriverWait(browser, 60).until(lambda _: _is_gone(leading))


def _is_gone(element) -> bool:
    """Whether its page was left; asked in the middle of that, chromedriver has words of its own for it."""
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    except WebDriverException as fault:
        if "does not belong to the document" in str(fault):
            return True
        raise
    return False


def asked(browser) -> list[tuple[str, str]]:
    """Everything that the browser has asked for since the last time, answered or not: ("Document", URL), ("Image", URL)..."""
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [
        (event["params"]["type"], event["params"]["request"]["url"])
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


def colours(browser, scheme):
    """Prefer "light" or "dark", as the reader's device does."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
