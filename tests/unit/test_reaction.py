"""What follows from replies: the table of the shipped profiles, and what a reaction asks for at a moment."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.stores.adaptations import NEVER, RECOVERY_SECONDS, Adaptation, Kind, Scope, rate_at
from relay.upstream.profile import ReplyClass, classify, load_profiles
from relay.upstream.reaction import NOTHING, Change, Moment, Reaction, react, tomorrow

PROFILES = load_profiles()
BEIJING = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 22, 13, 0, tzinfo=BEIJING).timestamp()
MINUTE, QUARTER, HOUR, DAY = 60.0, 900.0, 3600.0, 86400.0
MIDNIGHT = 11 * HOUR

C = ReplyClass
IDENTITY, UPSTREAM, DOMAIN = Scope.IDENTITY, Scope.UPSTREAM, Scope.DOMAIN


def rest(seconds, scope=IDENTITY):
    return (Kind.REST, scope, seconds)


def slower(scope=IDENTITY):
    return (Kind.RATE, scope, None)


def pause(scope=UPSTREAM):
    return (Kind.PAUSE, scope, NEVER)


ATTEMPTS = "the number of RCPT attempts is achieved the maximum threshold"
SPLIT = (Kind.RECIPIENTS, UPSTREAM, DAY)

REPLIES = [
    # auth/config: do not retry fast, say so; a refused login has a rest of its own
    ("netease", 535, "", "Error: authentication failed", C.AUTHENTICATION, True, [rest(QUARTER)]),
    ("netease", 460, "", "ERR.LOGIN.PASSERR", C.AUTHENTICATION, True, [rest(QUARTER)]),
    ("netease", 550, "", "Invalid User", C.AUTHENTICATION, True, [rest(QUARTER)]),
    ("netease", 553, "", "authentication is required,smtp", C.AUTHENTICATION, False, [rest(QUARTER)]),
    ("netease", 451, "", "too much fail authentication", C.AUTHENTICATION, False, [rest(HOUR, UPSTREAM)]),
    ("netease", 554, "", "IP is rejected, auth limit", C.AUTHENTICATION, False, [rest(HOUR, UPSTREAM)]),
    # sender policy: a fault of the configuration, the message fails
    ("netease", 553, "", "Mail from must equal authorized user", C.SENDER_POLICY, True, []),
    ("netease", 554, "", "DT:SUM 163", C.SENDER_POLICY, True, []),
    ("netease", 550, "", "MI:IMF 163", C.SENDER_POLICY, True, []),
    # rate: minutes
    *(
        ("netease", code, "", f"{text} 163 smtp9,DNGowKB", C.THROTTLE, False, [rest(QUARTER), slower()])
        for code, text in [
            (451, "MI:SFQ"), (450, "MI:DMC"), (450, "MI:CEL"), (450, "MI:CCL"), (450, "RP:DRC"), (450, "RP:CCL"), (451, "RP:QRC"),
        ]
    ),
    *(
        ("netease", code, "", text, C.THROTTLE, False, [rest(QUARTER, UPSTREAM), slower(UPSTREAM)])
        for code, text in [(421, "HL:ICC"), (421, "HL:IFC"), (450, "DT:RBL")]
    ),
    ("netease", 451, "", "DT:SPM ,please try again", C.THROTTLE, False, [rest(2 * MINUTE), slower()]),
    # rate: day
    ("netease", 550, "", "RP:TRC 163", C.THROTTLE, False, [rest(MIDNIGHT)]),
    ("netease", 554, "", "RP:TRC", C.THROTTLE, False, [rest(MIDNIGHT)]),
    ("netease", 554, "", "MI:STC", C.THROTTLE, False, [rest(MIDNIGHT)]),
    ("netease", 550, "", "MI:STC", C.THROTTLE, False, [rest(MIDNIGHT)]),
    ("netease", 554, "", "HL:ITC", C.THROTTLE, False, [rest(MIDNIGHT, UPSTREAM)]),
    # per mail
    ("netease", 550, "", "RP:RCL", C.THROTTLE, False, [SPLIT]),
    ("netease", 552, "", "Illegal Attachment", C.CONTENT, True, []),
    ("netease", 552, "", "Requested mail action aborted: exceeded mailsize limit", C.PERMANENT, True, []),
    # content
    ("netease", 550, "", "DT:SPM 163 smtp11", C.CONTENT, True, []),
    ("netease", 554, "", "DT:SPM", C.CONTENT, True, []),
    # reputation
    ("netease", 554, "", "HL:IPB", C.REPUTATION, True, [pause()]),
    ("netease", 554, "", "MI:SPB", C.REPUTATION, True, [pause()]),
    ("netease", 550, "", "RP:FRL", C.REPUTATION, True, [pause()]),
    ("netease", 550, "", "User in blacklist", C.REPUTATION, True, [pause(IDENTITY)]),
    *(
        ("netease", code, "", text, C.REPUTATION, False, [rest(HOUR, UPSTREAM), pause()])
        for code, text in [(554, "HL:IHU"), (421, "HL:REP"), (450, "WM:BLI"), (450, "WM:BLU")]
    ),
    # domain authentication, as the recipient's side sees it
    *(("netease", 550, "", text, C.SENDER_POLICY, True, []) for text in ("MI:SPF", "MI:DMA", "MI:NHD")),
    # recipient gone
    ("netease", 550, "", "User not found: ada@163.com", C.RECIPIENT_GONE, True, []),
    ("netease", 550, "", "User suspended: ada@163.com", C.RECIPIENT_GONE, True, []),
    ("qq", 550, "", "Mailbox not found. http://service.mail.qq.com", C.RECIPIENT_GONE, True, []),
    ("generic", 550, "", "deactivated mailbox", C.RECIPIENT_GONE, True, []),
    *(("generic", 550, status, "no", C.RECIPIENT_GONE, True, []) for status in ("5.1.1", "5.1.10", "5.2.1")),
    # QQ, transient
    ("generic", 550, "", "Mailbox unavailable or access denied", C.THROTTLE, False, [rest(HOUR, DOMAIN)]),
    ("generic", 550, "", "Sender frequency limited", C.THROTTLE, False, [rest(HOUR, DOMAIN), slower(DOMAIN)]),
    ("qq", 550, "", "Sender frequency limited.", C.THROTTLE, False, [rest(HOUR), slower()]),
    ("qq", 550, "", "Connection frequency limited", C.THROTTLE, False, [rest(HOUR, UPSTREAM), slower(UPSTREAM)]),
    # QQ, content
    ("generic", 550, "", "Mail content denied. http://service.mail.qq.com", C.CONTENT, True, [pause(DOMAIN)]),
    ("tencent", 550, "", "Suspected spam", C.CONTENT, True, [pause(DOMAIN)]),
    ("qq", 550, "", 'The "From" header is missing or invalid', C.SENDER_POLICY, True, []),
    # Alimail
    ("alimail", 526, "", "Authentication failure[1]", C.AUTHENTICATION, True, [rest(QUARTER)]),
    ("alimail", 524, "", "username or passwd is NULL", C.AUTHENTICATION, True, [rest(QUARTER)]),
    ("alimail", 523, "", "cipher text is invalid base64 format", C.AUTHENTICATION, True, [rest(QUARTER)]),
    ("alimail", 501, "", '"MAIL FROM" is non-local account', C.SENDER_POLICY, True, []),
    ("alimail", 440, "", "mail from account doesn't conform with authentication", C.SENDER_POLICY, False, []),
    ("alimail", 504, "", ATTEMPTS, C.THROTTLE, False, [rest(QUARTER), slower()]),
    ("alimail", 505, "", "the total of RCPTs is achieved the maximum threshold", C.THROTTLE, False, [SPLIT]),
    ("alimail", 510, "", "The length of DATA content is achieved the maximum threshold", C.CONTENT, True, []),
    ("alimail", 541, "", "This account isn't allowed to send email", C.SENDER_POLICY, True, []),
    ("alimail", 542, "", "This account isn't allowed to receive email", C.RECIPIENT_GONE, True, []),
    ("alimail", 551, "", "virus infected mail rejected", C.CONTENT, True, []),
    ("alimail", 554, "", "RCPT (ada@example.cn) dosn't exist", C.RECIPIENT_GONE, True, []),
    ("alimail", 554, "", "Reject by behaviour spam", C.REPUTATION, True, [pause(IDENTITY)]),
    ("alimail", 554, "", "Reject by content spam", C.CONTENT, True, [pause(IDENTITY)]),
    ("alimail", 454, "", "Transient reject by behaviour spam", C.THROTTLE, False, [rest(QUARTER), slower()]),
    # DirectMail
    ("directmail", 535, "", "Authentication failure", C.AUTHENTICATION, True, [rest(QUARTER)]),
    ("directmail", 556, "", "the total of RCPTs has exceeded", C.THROTTLE, False, [SPLIT]),
    ("directmail", 557, "", "the length of DATA has exceeded", C.CONTENT, True, []),
    ("directmail", 559, "", "invalid rcptto", C.RECIPIENT_GONE, True, []),
    ("directmail", 552, "", "quota exceeded", C.THROTTLE, False, [rest(MIDNIGHT, UPSTREAM)]),
    ("directmail", 554, "", "Reject by content spam", C.CONTENT, True, []),
    ("directmail", 551, "", "no", C.PERMANENT, True, []),
    # Google, Microsoft
    ("generic", 421, "4.7.28", "unusual rate of mail", C.THROTTLE, False, [rest(10 * MINUTE, DOMAIN), slower(DOMAIN)]),
    ("google", 421, "4.7.28", "unusual rate of mail", C.THROTTLE, False, [rest(10 * MINUTE, UPSTREAM), slower(UPSTREAM)]),
    *(("generic", 550, f"5.7.{n}", "no", C.SENDER_POLICY, True, [pause(DOMAIN)]) for n in (25, 26, 27, 30, 515)),
    ("google", 550, "5.4.5", "Daily user sending limit exceeded.", C.THROTTLE, False, [rest(HOUR)]),
    ("google", 452, "4.5.3", "Your message has too many recipients.", C.THROTTLE, False, [SPLIT]),
    ("google", 450, "4.2.1", "The user you are trying to contact is receiving mail too quickly.", C.TRANSIENT, False, []),
    ("microsoft", 432, "4.3.2", "Concurrent connections limit exceeded.", C.THROTTLE, False, [rest(MINUTE), slower()]),
    ("microsoft", 550, "5.7.60", "SMTP; Client does not have permissions to send as this sender", C.SENDER_POLICY, True, []),
    ("microsoft", 550, "5.1.8", "Access denied, bad outbound sender", C.REPUTATION, True, [pause(IDENTITY)]),
    # Yahoo, SES, SendGrid, Mailgun, Postmark
    ("yahoo", 421, "4.7.0", "[TSS04] Messages deferred", C.THROTTLE, False, [rest(4 * HOUR, UPSTREAM), slower(UPSTREAM)]),
    ("ses", 454, "", "Maximum sending rate exceeded.", C.THROTTLE, False, [rest(MINUTE, UPSTREAM), slower(UPSTREAM)]),
    ("ses", 454, "", "Throttling failure: Daily message quota exceeded.", C.THROTTLE, False, [rest(HOUR, UPSTREAM)]),
    ("ses", 554, "", "Message rejected: Email address is not verified.", C.SENDER_POLICY, True, []),
    ("ses", 554, "", "Message rejected: Sending paused for this account.", C.REPUTATION, True, [pause()]),
    ("sendgrid", 451, "", "Authentication failed: Maximum credits exceeded", C.THROTTLE, False, [rest(HOUR, UPSTREAM)]),
    ("sendgrid", 550, "", "The from address does not match a verified Sender Identity.", C.SENDER_POLICY, True, []),
    ("mailgun", 550, "", "Too many recipients; max is 1000", C.THROTTLE, False, [SPLIT]),
    ("postmark", 550, "", "The Sender Signature was not found", C.SENDER_POLICY, True, []),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "code", "enhanced", "text", "reply_class", "permanent", "done"), REPLIES)
def test_each_reply_has_its_reaction(profile, code, enhanced, text, reply_class, permanent, done):
    meaning = classify(PROFILES[profile], code, enhanced, f"{enhanced} {text}".strip())
    assert (meaning.reply_class, meaning.permanent) == (reply_class, permanent)
    zone = PROFILES[profile].zone or BEIJING
    changes = react(meaning.reaction, Moment(NOW, zone, recipients=10, sent=40))
    assert [
        (one.kind, one.scope, None if one.kind is Kind.RATE else one.until if one.until == NEVER else one.until - NOW)
        for one in changes
    ] == done
    assert meaning.reaction.adapts == bool(done)


@pytest.mark.parametrize(("profile", "text", "needed"), [("directmail", "invalid rcptto", 1), ("netease", "User not found", 0)])
def test_who_is_gone_is_believed_after_so_many_confirmations(profile, text, needed):
    code = 559 if needed else 550
    assert classify(PROFILES[profile], code, "", text).reaction.confirmations == needed


# The moment -----------------------------------------------------------------------------------------------------------

HALVE = Reaction(halve=True)


@pytest.mark.parametrize(
    ("sent", "limit", "rate", "start", "seconds"),
    [
        (40, None, None, 20, 13 * 600),  # until it is sixteen times its start
        (41, 60, None, 20, 5 * 600),  # until it passes the limit: 20 * 1.25 ** 5 = 61
        (0, 60, None, 30, 4 * 600),
        (200, 60, None, 30, 4 * 600),  # who sends more than the limit lets through was waiting
        (0, None, None, 1, 13 * 600),
        (1, None, None, 1, 13 * 600),
        (500, None, 30, 15, 13 * 600),  # a rate that is lowered already is halved again
        (1, 1, None, 1, 4 * 600),
    ],
)
def test_the_rate_is_halved_and_recovers(sent, limit, rate, start, seconds):
    (change,) = react(HALVE, Moment(NOW, UTC, sent=sent, limit=limit, rate=rate))
    assert change == Change(Kind.RATE, IDENTITY, NOW + seconds, start)


@given(st.integers(0, 10_000), st.one_of(st.none(), st.integers(1, 10_000)))
def test_a_rate_never_falls_below_one_never_shrinks_and_is_back_at_its_end(sent, limit):
    (change,) = react(HALVE, Moment(NOW, UTC, sent=sent, limit=limit))
    made = Adaptation(b"", Kind.RATE, "up", IDENTITY, b"", NOW, change.until, change.value)
    steps = int((change.until - NOW) / RECOVERY_SECONDS)
    rates = [rate_at(made, NOW + step * RECOVERY_SECONDS) for step in range(steps + 1)]
    assert rates == sorted(rates)
    assert rates[0] >= 1
    assert rates[-1] >= (limit or 16 * change.value) or rates[-1] >= change.value + 1


@pytest.mark.parametrize(
    ("recipients", "taken", "cap"), [(10, 4, 4), (10, 0, 5), (3, 0, 1), (2, 0, 1), (1, 0, None), (10, 10, 9)]
)
def test_the_cap_is_what_was_taken_else_half(recipients, taken, cap):
    changes = react(Reaction(split=True), Moment(NOW, UTC, recipients, taken))
    assert [change.value for change in changes] == ([] if cap is None else [cap])


@pytest.mark.parametrize(
    ("zone", "now", "day"),
    [
        ("Asia/Shanghai", "2026-11-22T13:00+08:00", "2026-11-23T00:00+08:00"),
        ("UTC", "2026-11-22T23:59:59+00:00", "2026-11-23T00:00+00:00"),
        ("Europe/Berlin", "2026-10-24T12:00+02:00", "2026-10-25T00:00+02:00"),  # the day that follows has 25 hours
        ("Europe/Berlin", "2026-10-25T01:00+02:00", "2026-10-26T00:00+01:00"),
    ],
)
def test_tomorrow_is_the_next_day_there(zone, now, day):
    assert tomorrow(datetime.fromisoformat(now).timestamp(), ZoneInfo(zone)) == datetime.fromisoformat(day).timestamp()


def test_nothing_is_done_about_what_asks_for_nothing():
    assert react(NOTHING, Moment(NOW, UTC)) == ()
