"""Every page as people meet it: on a phone, without JavaScript, in both languages; and as axe-core judges it."""

from contextlib import contextmanager
from zipfile import ZipFile

import pytest
from selenium.webdriver.common.by import By

from tests.support import axe
from tests.support.browser import asked, chromium, colours, follow
from tests.support.fixtures import a_relay, an_upstream
from tests.support.service import ACCOUNTS, NEWS, message, unsubscribe_url

ADDRESSES = {"zh": "zh-CN,zh", "en": "en-US,en"}
TITLES = {
    "preferences": ("退订邮件", "Unsubscribe"),
    "not understood": ("没有退订", "Nothing was changed"),
    "one stream": ("已退订“新闻邮件”", "You are unsubscribed from “Newsletter”"),
    "one stream later": ("已退订“新闻邮件”", "You are unsubscribed from “Newsletter”"),
    "all": ("已退订", "You are unsubscribed"),
    "all later": ("已退订", "You are unsubscribed"),
    "forged": ("链接无效", "This link does not work"),
    "help": ("您的邮件处理结果及原因", "What happened to your mail, and why"),
    "no help": ("没有这条说明", "No such explanation"),
    "not now": ("暂时无法退订", "Not possible right now"),
}

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module")


class Journey:
    """One recipient who meets every page; iterating goes on to the next one and says which it is."""

    def __init__(self, browser, relay, upstream, name):
        self.browser = browser
        self.relay = relay
        self.upstream = upstream
        self.recipient = f"{name}@example.org"
        self.url = self.link(self.recipient)

    def link(self, recipient):
        assert self.relay.send(NEWS, [recipient], message(to=recipient))[0] == 250
        return unsubscribe_url(self.upstream.accepted[-1].data)

    def press(self):
        follow(self.browser, By.ID, "unsubscribe")

    def choose(self, scope):
        self.browser.find_element(By.CSS_SELECTOR, f"label:has([value={scope}])").click()

    def __iter__(self):
        browser = self.browser
        browser.get(self.url)
        yield "preferences"
        browser.execute_script("document.querySelector('[value=stream]').value = 'everything'")
        browser.find_element(By.CSS_SELECTOR, "[value=everything]").click()
        self.press()
        yield "not understood"
        browser.get(self.url)
        self.choose("stream")
        self.press()
        yield "one stream"
        browser.get(self.url)
        yield "one stream later"
        self.press()
        yield "all"
        browser.get(self.url)
        yield "all later"
        browser.get(self.url[:-1] + ("A" if self.url[-1] != "A" else "B"))
        yield "forged"
        code, text = self.relay.send(NEWS, [self.recipient], message(to=self.recipient))
        assert code == 550
        browser.get(text.split()[-1])
        yield "help"
        browser.get(f"{text.split()[-1][:-1]}!")
        yield "no help"
        other = self.link(f"other-{self.recipient}")
        with self.without_records():
            browser.get(other)  # what cannot be looked up is left out; the button stays
            self.press()
            yield "not now"

    @contextmanager
    def without_records(self):
        records = self.relay.data / "records.db"
        away = records.rename(records.with_name("away.db"))
        try:
            yield
        finally:
            away.rename(records)


@pytest.mark.parametrize("language", ADDRESSES)
def test_axe_finds_nothing_wrong_on_any_page_light_or_dark(relay, upstream, tmp_path, language):
    with chromium(tmp_path / "profile", language=ADDRESSES[language]) as browser:
        found = {}
        for name in Journey(browser, relay, upstream, f"axe-{language}"):
            for scheme in ("light", "dark"):
                colours(browser, scheme)
                browser.save_screenshot(str(tmp_path / f"{name} {scheme}.png"))
                found[name, scheme] = axe.faults(browser)
            colours(browser, "light")
        assert {page for page, _ in found} == TITLES.keys()
        assert {page: faults for page, faults in found.items() if faults} == {}


@pytest.fixture(scope="module")
def evidence(relay, upstream, tmp_path_factory):
    """An archive on somebody who got a newsletter, unsubscribed, and was refused the next one; unpacked."""
    recipient, folder = "evidence@example.org", tmp_path_factory.mktemp("evidence")
    assert relay.send(NEWS, [recipient], message(to=recipient))[0] == 250
    assert relay.unsubscribe(upstream.accepted[-1].data) == 200
    assert relay.send(NEWS, [recipient], message(to=recipient, subject="More"))[0] == 550
    made = relay.command("evidence", recipient, "--out", folder / "evidence.zip")
    assert made.returncode == 0, made.stderr
    with ZipFile(folder / "evidence.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("language", ADDRESSES)
def test_axe_finds_nothing_wrong_on_the_pages_of_an_evidence_archive(evidence, tmp_path, language):
    index = evidence / f"index.{language}.html"
    with chromium(tmp_path / "profile", phone=True) as browser:
        browser.get(index.as_uri())
        assert [url for _, url in asked(browser)] == [index.as_uri()]
        assert axe.faults(browser) == []


@pytest.mark.parametrize("language", ADDRESSES)
def test_evidence_fits_a_phone_without_javascript_and_its_links_lead_somewhere(evidence, tmp_path, language):
    index = evidence / f"index.{language}.html"
    with chromium(tmp_path / "profile", script=False, phone=True) as browser:
        browser.get(index.as_uri())
        assert [url for _, url in asked(browser)] == [index.as_uri()]
        assert heading(browser) == {"zh": "发信记录证明", "en": "Evidence on sent mail"}[language]
        browser.save_screenshot(str(tmp_path / "evidence.png"))
        assert_it_fits_the_width(browser)
        said = browser.find_element(By.TAG_NAME, "body").text
        for words in {
            "zh": ("营销", "没有登记任何同意", "条规则", "base/suppression", "应用："),
            "en": ("marketing", "No consent is on record", "rules were asked", "base/suppression", "applied by"),
        }[language]:
            assert words in said
        follow(browser, By.CSS_SELECTOR, f"[href$='policy.{language}.txt']")
        assert {"zh": "强制执行", "en": "Enforced"}[language] in browser.find_element(By.TAG_NAME, "body").text


def test_axe_does_find_faults(tmp_path):
    with chromium(tmp_path) as browser:
        browser.get("data:text/html,<p style='color:silver'>faint</p><img src=x><button></button>")
        assert {"color-contrast", "image-alt", "button-name"} <= {fault.split(": ")[1] for fault in axe.faults(browser)}


def test_the_other_language_is_kept_through_the_button(relay, upstream, tmp_path):
    with chromium(tmp_path, language="zh-CN", script=False, phone=True) as browser:
        journey = Journey(browser, relay, upstream, "switch")
        browser.get(journey.url)
        for _ in range(3):
            follow(browser, By.CSS_SELECTOR, "header a")
        assert heading(browser) == "Unsubscribe"
        journey.press()
        assert heading(browser) == "You are unsubscribed"
        follow(browser, By.CSS_SELECTOR, "header a")
        assert heading(browser) == "已退订"  # asked for anew, it says what stands
        assert browser.get_cookies() == []


def heading(browser):
    return browser.find_element(By.TAG_NAME, "h1").text


@pytest.mark.parametrize("language", ADDRESSES)
def test_every_page_fits_a_phone_without_javascript_and_loads_nothing(relay, upstream, tmp_path, language):
    with chromium(tmp_path / "profile", language=ADDRESSES[language], script=False, phone=True) as browser:
        seen = []
        for name in Journey(browser, relay, upstream, f"phone-{language}"):
            seen.append(name)
            browser.save_screenshot(str(tmp_path / f"{name}.png"))  # for people; pytest keeps three runs
            assert heading(browser) == TITLES[name][language == "en"]
            assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == {"zh": "zh-CN", "en": "en"}[language]
            assert_it_fits(browser)
            assert_it_loads_nothing(browser)
            assert_the_other_language_is_a_link_away(browser, "en" if language == "zh" else "zh")
        assert seen == list(TITLES)
        assert browser.get_cookies() == []


def assert_it_fits_the_width(browser):
    width, window = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= window == 360
    assert browser.execute_script("return parseFloat(getComputedStyle(document.body).fontSize)") >= 16


def assert_it_fits(browser):
    assert_it_fits_the_width(browser)
    for target in browser.find_elements(By.CSS_SELECTOR, "button, label, a"):
        assert target.rect["height"] >= 44, target.text
        assert target.rect["width"] >= 44, target.text
    for button in browser.find_elements(By.CSS_SELECTOR, "button"):
        assert button.rect["y"] + button.rect["height"] < 740  # on the first screen


def assert_it_loads_nothing(browser):
    """Pages were asked for and nothing else; nor had the policy that guards them to block anything."""
    found = asked(browser)
    origin = browser.current_url.partition("/u/")[0].partition("/r/")[0]
    assert found
    assert [one for one in found if one[0] != "Document" or not one[1].startswith(("http://127.0.0.1:", origin))] == []
    assert [
        entry for entry in browser.get_log("browser") if "the server responded with a status of" not in entry["message"]
    ] == []


def test_what_a_page_would_load_is_seen(tmp_path):
    """The two tests above could not fail otherwise."""
    with chromium(tmp_path, script=False) as browser:
        browser.get("data:text/html,<img src=http://127.0.0.1:1/x.png>")
        assert ("Image", "http://127.0.0.1:1/x.png") in asked(browser)


def assert_the_other_language_is_a_link_away(browser, other):
    link = browser.find_element(By.CSS_SELECTOR, "header a")
    assert link.get_attribute("href") == f"{browser.current_url.partition('?')[0]}?lang={other}"
