"""A stream that asks for consents: who agreed is written to, it is on record on what ground, and whoever withdraws is not."""

import json
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest

from relay.keys import load_keys
from relay.policy.consents.consent import ConsentEvent, Details
from relay.records.kinds import Kind
from relay.records.search import Query, search
from tests.support.fixtures import an_upstream
from tests.support.line import LineHouse
from tests.support.ports import free_address
from tests.support.redis_server import RedisServer
from tests.support.service import ACCOUNTS, NEWS, Relay, message

ADA, BOB = "ada@example.org", "bob@example.org"
RULES = (
    '\n[[rule]]\nid = "consent"\ncheck = "consent"\nbasis = ["explicit"]\naction = "reject"\n'
    '[[rule]]\nid = "consent-evidence"\ncheck = "consent-evidence"\nevidence = ["source_ref"]\naction = "warn"\n'
)
MODES = {"rcpt": 'refusals = "rcpt"', "report": 'refusals = "report"'}

upstream = an_upstream()
provider = an_upstream(accounts=ACCOUNTS)


@pytest.fixture(params=list(MODES))
def house(request, tmp_path, upstream):
    changes = [(r'refusals = "report"', MODES[request.param]), (r"\Z", RULES)]
    with LineHouse(tmp_path, upstream, policy={"streams/newsletter.toml": changes}) as house:
        yield house


def consent(house, *words):
    done = house.relay.command("consent", *words, "--evidence", "web form", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(house, kind):
    return [entry.record.facts for entry in search(house.line.records.reader, Query()) if entry.record.kind is kind]


def send(house, *people):
    return house.send(NEWS, people, message(sender=NEWS))


def explained(house, folder):
    file = folder / "mail.eml"
    file.write_bytes(message(sender=NEWS))
    done = house.relay.command("explain", file, "--from", NEWS, "--to", ADA, "--identity", NEWS, "--json")
    assert done.stdout, done.stderr
    (found,) = json.loads(done.stdout)
    rules = {rule["rule"]: rule for rule in found["rules"]}
    return found["action"], rules["newsletter/consent"]


def test_only_who_agreed_is_written_to_and_the_ground_is_on_record(house, upstream, tmp_path):
    refused = send(house, ADA)
    assert (refused.code, refused.rule) == (550, "newsletter/consent")
    assert "No recorded consent for this recipient and purpose" in str(refused)
    assert explained(house, tmp_path)[0] == "reject"
    assert upstream.deliveries == []
    given = consent(house, "add", ADA, "--to", "marketing:newsletter")[ADA]
    assert send(house, ADA, BOB).code == 250
    reached = [delivery.recipients for delivery in upstream.deliveries if delivery.recipients != [NEWS]]
    assert reached == [[ADA]]
    (ruling,) = [one for facts in told(house, Kind.RECEIVED) for one in facts["rulings"] if one["action"] != "reject"]
    assert [(one["rule"], one["consent"], one["purpose"], one["basis"]) for one in ruling["consents"]] == [
        ("newsletter/consent", given["id"], "marketing:newsletter", "explicit")
    ]
    assert [one["rule"] for one in ruling["objections"]] == ["newsletter/consent-evidence"]
    action, rule = explained(house, tmp_path)
    assert (action, [one["consent"] for one in rule["consents"]]) == ("warn", [given["id"]])
    shown = house.relay.command("records", "search", ADA, lang="zh")
    assert given["id"] in shown.stdout


def test_whoever_withdraws_is_not_written_to_any_more(house, upstream):
    consent(house, "add", ADA, "--to", "marketing")
    assert send(house, ADA).code == 250
    consent(house, "withdraw", ADA)
    again = send(house, ADA)
    assert (again.code, again.rule) == (550, "base/suppression")
    assert len([delivery for delivery in upstream.deliveries if delivery.recipients == [ADA]]) == 1


def withdrawal(house, at):
    keys = load_keys(house.relay.data / "keys.toml")
    event = "01K8Z0V0000000000000000000", keys.addresses.digest(ADA), b"", "withdrawn", at, at, "called us", "Wang"
    return ConsentEvent(*event, "marketing:newsletter", "explicit", Details().dump())


def test_a_withdrawal_between_the_ruling_and_the_leaving_keeps_the_copy_back(house, upstream, monkeypatch):
    """The consent is asked again in the step that clears the copy; it is a withdrawal alone, no suppression."""
    consent(house, "add", ADA, "--to", "marketing")
    store, renderer = house.line.store, house.line.dispatcher.renderer
    ready = renderer.ready

    async def withdrawn_meanwhile(*arguments, **options):
        await store.record_consents([withdrawal(house, 4e9)])
        return await ready(*arguments, **options)

    monkeypatch.setattr(renderer, "ready", withdrawn_meanwhile)
    reply = send(house, ADA)
    assert (reply.code, reply.rule) == (550, "newsletter/consent")
    assert [delivery for delivery in upstream.deliveries if delivery.recipients == [ADA]] == []
    assert [one["action"] for facts in told(house, Kind.RECEIVED) for one in facts["rulings"]] == ["warn"]
    assert [one["state"] for facts in told(house, Kind.FINISHED) for one in facts["outcomes"]] == ["refused"]


def test_a_consent_that_is_given_too_late_for_the_ruling_is_for_the_next_mail(house, upstream):
    """No rule can permit: what was refused stays refused, and nothing is looked for again in its favour."""
    assert send(house, ADA).code == 550
    consent(house, "add", ADA, "--to", "marketing")
    assert send(house, ADA).code == 250


# The API for sign-up forms ----------------------------------------------------------------------------------------------

TOKEN = "0123456789abcdef" * 2


def asked(url, body, token=TOKEN):
    """Status and answer of a POST."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_who_signs_up_by_a_form_gets_the_next_mail_and_who_withdraws_gets_none(tmp_path, provider, store):
    address = free_address()
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    extra = f'[consents]\naddress = "{address}"\ntoken_file = "{tmp_path / "token"}"\n'
    policy = {"streams/newsletter.toml": [(r'refusals = "report"', MODES["rcpt"]), (r"\Z", RULES)]}
    with ExitStack() as stack:
        url = stack.enter_context(RedisServer(tmp_path / "redis")).url if store == "redis" else "sqlite"
        relay = stack.enter_context(Relay(tmp_path / "relay", provider, store=url, policy=policy, extra=extra))
        form = {"address": ADA, "purpose": "marketing:newsletter", "evidence": "web form"}
        api = f"http://{address}/v1/consents"
        assert relay.send(NEWS, [ADA], message())[0] == 550
        assert asked(api, form, token="guessed")[0] == 401
        assert asked(api, form | {"addres": ADA})[0] == 422
        assert relay.send(NEWS, [ADA], message())[0] == 550
        assert asked(api, form)[0] == 201
        assert relay.send(NEWS, [ADA], message())[0] == 250
        assert asked(api, form | {"event": "withdrawn"})[0] == 201
        code, text = relay.send(NEWS, [ADA], message())
        assert (code, "base/suppression" in text) == (550, True)
