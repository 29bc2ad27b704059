"""Which ways a mail may take: accounts, providers that know their own login only, null reverse-paths."""

import pytest

from relay.mail import replies
from relay.mail.envelope import Credentials, Identity, IdentityKind
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.routing import Routing
from relay.upstream.delivery import Upstreams
from relay.upstream.profile import Capabilities, load_profiles
from tests.support.leaving import KEY, NEWS, SECRET, a_config
from tests.support.policies import PLAIN, newsletter

OWN = frozenset({"@example.com"})
USER = Identity("someone", IdentityKind.USER, OWN)
LAN = Identity("listener:lan", IdentityKind.TRUSTED, OWN)
PASSED = Identity(NEWS, IdentityKind.PASSTHROUGH, OWN, "strict", SECRET)
PATH, ALIAS = Mailbox.parse(NEWS), Mailbox.parse("alias@example.com")
MESSAGE = Message.parse(PLAIN)
NOBODYS = Message.parse(PLAIN.replace(b"From: ", b"X-From: "))
FROM_ALIAS = Message.parse(PLAIN.replace(b"news@", b"alias@"))


def table(name, provider="generic", auth="account"):
    return f'[[upstream]]\nname = "{name}"\nprovider = "{provider}"\naddresses = ["127.0.0.1:1"]\ntls = "none"\nauth = "{auth}"'


@pytest.fixture
def routing(tmp_path):
    """A routing over these upstreams, with an account of NEWS at each that `accounts` names; `plain` lack SMTPUTF8."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)

    def make(*tables, accounts=(), plain=()):
        held = [f'[[account]]\nidentity = "{NEWS}"\nupstream = "{name}"\npassword_file = "{password}"' for name in accounts]
        config = a_config(*tables, *held)
        upstreams = Upstreams(config, load_profiles(), KEY)
        for name in plain:
            upstreams._site(name).capabilities = Capabilities(seen=True)
        return Routing(config, upstreams)

    return make


def stream(*upstreams):
    return newsletter(upstream=str(list(upstreams)).replace("'", '"')).stream("newsletter")


BOTH = table("lax"), table("strict", "netease")


@pytest.mark.parametrize(
    ("identity", "path", "upstreams", "accounts", "expected"),
    [
        (USER, PATH, ["lax"], ["lax"], None),
        (USER, PATH, ["lax"], [], replies.NO_ACCOUNT),
        (USER, ALIAS, ["lax"], ["lax"], replies.NO_ACCOUNT),
        (USER, PATH, ["strict"], ["strict"], None),
        (PASSED, PATH, ["lax"], [], None),
        (PASSED, ALIAS, ["lax"], [], replies.SENDER_NOT_LOGIN),
        (PASSED, None, ["lax"], [], replies.NULL_REVERSE_PATH),
        (LAN, None, ["lax"], ["lax"], None),
        (LAN, None, ["lax"], ["strict"], replies.NO_ACCOUNT),
        (USER, None, ["strict"], ["strict"], replies.NULL_REVERSE_PATH),
        (USER, None, ["strict", "lax"], ["lax"], None),
    ],
)
def test_what_is_certain_is_said_at_mail(routing, identity, path, upstreams, accounts, expected):
    assert routing(*BOTH, accounts=accounts).refusal(identity, stream(*upstreams), path) is expected


@pytest.mark.parametrize(
    ("path", "message", "expected"),
    [
        (PATH, MESSAGE, ["lax", "strict"]),
        (PATH, FROM_ALIAS, ["lax", "strict"]),
        (None, MESSAGE, ["lax"]),
        (None, FROM_ALIAS, []),
        (None, NOBODYS, []),
        (ALIAS, MESSAGE, []),
    ],
)
def test_the_account_of_the_reverse_path_sends_and_without_one_the_authors(routing, path, message, expected):
    found = routing(*BOTH, accounts=["lax", "strict"]).routes(LAN, stream("lax", "strict"), path, message)
    assert [route.upstream for route in found] == expected
    assert all(route.credentials.login == NEWS for route in found)


@pytest.mark.parametrize(
    ("identity", "names", "accounts", "path", "message", "expected"),
    [
        (LAN, ["abroad"], ["abroad", "home"], PATH, MESSAGE, {"US"}),
        (LAN, ["abroad", "home"], ["abroad", "home"], PATH, MESSAGE, {"US", "CN"}),  # it may fail over
        (LAN, ["abroad", "home"], ["abroad"], PATH, MESSAGE, {"US"}),  # no account there: it never leaves there
        (LAN, ["unknown", "home"], ["unknown", "home"], PATH, None, {"ZZ", "CN"}),
        (LAN, ["unknown"], ["unknown"], PATH, MESSAGE, {"ZZ"}),
        (LAN, ["abroad"], [], PATH, MESSAGE, set()),
        (LAN, ["abroad", "home"], ["abroad", "home"], None, MESSAGE, {"US"}),  # netease takes no null reverse-path
        (LAN, ["abroad"], ["abroad"], None, None, set()),  # whose account is known with the message
        (PASSED, ["abroad"], [], PATH, None, {"SG"}),  # never leaves its own
    ],
)
def test_the_countries_are_those_of_every_way_the_mail_may_take(routing, identity, names, accounts, path, message, expected):
    home, abroad, own = table("home", "netease"), table("abroad"), table("strict", "tencent")
    ways = routing(home, abroad + '\ncountry = "US"', own + '\ncountry = "SG"', table("unknown"), accounts=accounts)
    assert ways.countries(ways.routes(identity, stream(*names), path, message)) == expected


def test_where_nobody_logs_in_anybody_may_be_the_sender(routing):
    bare = routing(table("bare", "netease", auth="none"))
    assert bare.refusal(LAN, stream("bare"), ALIAS) is None
    (route,) = bare.routes(LAN, stream("bare"), ALIAS, MESSAGE)
    assert bare.lets_write(route, FROM_ALIAS)


def test_an_author_must_be_the_login_where_the_provider_says_so(routing):
    strict = routing(*BOTH)
    (route,) = strict.routes(PASSED, stream("lax"), PATH, MESSAGE)
    assert [strict.lets_write(route, message) for message in (MESSAGE, FROM_ALIAS)] == [True, False]


@pytest.mark.parametrize("login", ["NEWS@Example.com", '"news"@example.com'])
def test_a_login_is_compared_as_a_mailbox(routing, login):
    identity = Identity(NEWS, IdentityKind.PASSTHROUGH, OWN, "strict", Credentials(login, "right"))
    assert routing(*BOTH).refusal(identity, stream("lax"), PATH) is None


@pytest.mark.parametrize(("plain", "is_taken"), [([], True), (["lax"], True), (["lax", "strict"], False)])
def test_a_mailbox_that_needs_smtputf8_is_taken_until_every_way_is_known_to_lack_it(routing, plain, is_taken):
    someone = Mailbox.parse("用户@example.com")
    asked = routing(*BOTH, accounts=["lax"], plain=plain)
    expected = None if is_taken else replies.UPSTREAM_LACKS_SMTPUTF8
    assert asked.refusal_of_recipient(USER, stream("lax", "strict"), someone) is expected
    assert asked.refusal_of_recipient(USER, stream("lax", "strict"), PATH) is None


def test_a_sender_that_needs_smtputf8_goes_where_it_may(routing):
    asked = routing(table("bare", auth="none"), plain=["bare"])
    assert asked.refusal(LAN, stream("bare"), Mailbox.parse("用户@example.com")) is replies.UPSTREAM_LACKS_SMTPUTF8
    assert asked.refusal(LAN, stream("bare"), PATH) is None
