"""What people see in a browser: why a mail was refused, and the way out of a newsletter."""

import re
import urllib.error
import urllib.request

import pytest
from selenium.webdriver.common.by import By

from relay.doors.pages import HEADERS
from tests.support.browser import chromium, follow
from tests.support.fixtures import a_relay, an_upstream
from tests.support.service import ACCOUNTS, NEWS, OFFICE, SHOP, Relay, message, unsubscribe_url

upstream = an_upstream(scope="module", accounts=ACCOUNTS)
relay = a_relay(scope="module")


@pytest.fixture
def newsletter(relay, upstream, request):
    """A newsletter to a recipient of this test's own, as it was delivered."""
    name = re.sub("[^a-z]", "-", request.node.name)[:60].strip("-")
    recipient = f"{name}@example.org"
    assert relay.send(NEWS, [recipient], message(to=recipient))[0] == 250
    return recipient, upstream.accepted[-1].data


def refused(relay, recipient):
    """The URL in the 550 that the next newsletter gets; None when it is accepted."""
    code, text = relay.send(NEWS, [recipient], message(to=recipient))
    assert code in (250, 550)
    return None if code == 250 else re.findall(r"http://\S+/r/\w+", text)[0]


def words(browser):
    return browser.find_element(By.TAG_NAME, "body").text


def test_the_url_of_a_550_says_rule_and_remedy_in_the_readers_language(relay, newsletter, tmp_path):
    recipient, data = newsletter
    assert relay.unsubscribe(data) == 200
    url = refused(relay, recipient)
    with chromium(tmp_path / "zh", language="zh-CN,zh") as browser:
        browser.get(url)
        found = words(browser)
        follow(browser, By.LINK_TEXT, "English")
        assert "What to do" in words(browser)
        assert "Remove the address from your list; only a new consent of the recipient lifts a refusal" in words(browser)
    assert "base/suppression" in found
    assert "退订" in found
    assert "该怎么做" in found
    assert "请将该地址从名单中删除；只有收件人重新同意后才能解除" in found
    assert recipient not in found
    assert f"{recipient[0]}***@example.org" in found
    with chromium(tmp_path / "en", language="en-US,en") as browser:
        browser.get(url)
        assert browser.find_element(By.TAG_NAME, "h1").text.startswith("What happened to your mail")


def test_the_button_unsubscribes_without_javascript(relay, newsletter, tmp_path):
    recipient, data = newsletter
    with chromium(tmp_path, script=False) as browser:
        browser.get("data:text/html,<body>no<script>document.body.textContent='yes'</script></body>")
        assert words(browser) == "no"
        browser.get(unsubscribe_url(data))
        assert "确认退订" in words(browser)
        assert refused(relay, recipient) is None  # opening the page changed nothing
        follow(browser, By.ID, "unsubscribe")
        assert "已退订" in words(browser)
        assert browser.get_cookies() == []
        browser.refresh()  # posts again
        assert "已退订" in words(browser)
    assert refused(relay, recipient)
    shown = relay.command("suppress", "check", recipient, "--json").stdout
    assert '"origin": "page"' in shown


def test_one_stream_can_be_left_without_the_others(tmp_path, upstream):
    """The page's choice is what takes effect: "only this" leaves the other marketing stream, "all" does not."""
    offers = [("purpose = .service.", 'purpose = "marketing"'), ("match = .*", f'match = {{ identities = ["{SHOP}"] }}')]
    with Relay(tmp_path / "relay", upstream, policy={"streams/receipts.toml": offers}) as relay:
        recipient = "choosy@example.org"
        assert relay.send(NEWS, [recipient], message(to=recipient))[0] == 250
        url = unsubscribe_url(upstream.accepted[-1].data)
        with chromium(tmp_path / "profile", script=False) as browser:
            browser.get(url)
            browser.find_element(By.CSS_SELECTOR, "[value=stream]").click()
            follow(browser, By.ID, "unsubscribe")
            assert "其他营销邮件：“receipts”" in words(browser)
            assert refused(relay, recipient)
            assert relay.send(SHOP, [recipient], message(to=recipient, sender=SHOP))[0] == 250
            follow(browser, By.ID, "unsubscribe")  # the rest too
            assert relay.send(SHOP, [recipient], message(to=recipient, sender=SHOP))[0] == 550
            browser.get(url)
            assert browser.find_elements(By.TAG_NAME, "button") == []


def test_the_page_tells_which_mail_and_on_what_consent(relay, newsletter):
    recipient, data = newsletter
    url = unsubscribe_url(data)
    page = fetch("GET", f"{url}?lang=en")[2]
    assert "This system has no record of a consent of yours" in page
    assert f"{recipient[0]}***@example.org" in page
    assert recipient not in page
    assert NEWS in page
    assert relay.unsubscribe(data) == 200
    assert re.search(r"Since \d+ \w+ 20\d\d, Example Company Ltd. sends", fetch("GET", f"{url}?lang=en")[2])
    lifted = relay.command("suppress", "lift", recipient, "--consent", "web form, double opt-in")
    assert lifted.returncode == 0, lifted.stderr
    page = fetch("GET", f"{url}?lang=en")[2]
    assert "web form, double opt-in" in page
    assert "Since" not in page


def test_a_scanner_that_follows_every_link_unsubscribes_nobody(relay, upstream, newsletter):
    recipient, data = newsletter
    urls = re.findall(rb"https?://[^\s<>\"]+", data)
    assert unsubscribe_url(data).encode() in urls
    for url in urls:
        for method in ("GET", "HEAD", "OPTIONS"):
            for agent in ("Mozilla/5.0", "GoogleImageProxy", "BingPreview/1.0b", ""):
                fetched = fetch(method, url.decode(), User_Agent=agent)
                assert fetched[0] in (200, 405)
    assert refused(relay, recipient) is None


def fetch(method, url, body=None, **fields):
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in fields.items()}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_one_click_as_mail_providers_post_it(relay, newsletter, kind):
    recipient, data = newsletter
    url = unsubscribe_url(data)
    body = b"List-Unsubscribe=One-Click"
    if kind.startswith("multipart"):
        body = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    for _ in range(3):
        status, head, _ = fetch("POST", url, body, Content_Type=kind)
        assert status == 200
        assert {name: head[name] for name in HEADERS} == HEADERS
        assert head["Set-Cookie"] is head["Location"] is None
    assert refused(relay, recipient)
    assert relay.send(OFFICE, [recipient], message(to=recipient, sender=OFFICE))[0] == 250  # people may still write


def test_a_post_without_the_pair_or_with_a_forged_token_changes_nothing(relay, newsletter):
    recipient, data = newsletter
    url = unsubscribe_url(data)
    assert fetch("POST", url, b"")[0] == 400
    assert fetch("POST", url, b"List-Unsubscribe=Two-Click")[0] == 400
    forged = [url[:-1] + ("A" if url[-1] != "A" else "B"), url[:-10], url + "A", url.swapcase().replace("HTTP", "http")]
    asked = [(one.replace("/U/", "/u/"), method, body) for one in forged for method, body in (("GET", None), ("POST", b"x"))]
    pages = {fetch(method, one, body)[2] for one, method, body in asked}
    assert len(pages) == 1
    assert refused(relay, recipient) is None


def test_nothing_of_a_token_or_an_address_is_logged(relay, newsletter):
    recipient, data = newsletter
    url = unsubscribe_url(data)
    fetch("GET", url)
    relay.unsubscribe(data)
    fetch("GET", url[:-5])
    fetch("POST", f"{url}{'x' * 9000}", b"a")
    log = "".join(relay.lines)
    assert url.rpartition("/")[2][:20] not in log
    assert recipient not in log
    assert "Traceback" not in log


def test_the_list_of_people_shows_who_unsubscribed(relay, newsletter):
    """The link holds no address; the records of the submission do, sealed."""
    recipient, data = newsletter
    assert relay.unsubscribe(data) == 200

    def is_listed():
        listed = relay.command("suppress", "list", "--json")
        assert listed.returncode == 0, listed.stderr
        return recipient in listed.stdout

    relay.wait(is_listed)  # the list is the store's, and the 200 says that the journal has it
