"""What a mail that came back is: refusals, bounces and complaints of real shapes; innocent mail stays innocent."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.answers import is_refusal
from relay.mail.letters import LetterKind, read_letter
from relay.mail.message import Message, MessageError
from relay.mail.text import lines_of_html, own_lines
from tests.support import letters
from tests.support.corpus import corpus

TOKEN = "AQ" + "x" * 70 + "-_9"
ID = "<01K8Z0V0000000000000000001@relay.example.com>"
COPY = (
    f"Received: from x\r\nFrom: News <news@example.com>\r\nTo: ada@example.org\r\nSubject: News\r\nMessage-ID: {ID}\r\n"
    f"List-Unsubscribe: <https://u.example.com/u/{TOKEN}>\r\n\r\nHello\r\n"
).encode()


def read(octets: bytes):
    return read_letter(Message.parse(octets))


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "退订",
        "请退订，谢谢！",
        "TD",
        "td",
        "T",
        "拒收",
        "取消订阅",
        "您好，\n\n请帮我取消订阅，谢谢。\n王芳",
        "不要再发了！！",
        "别再给我发邮件了",
        "我要退订",
        "請取消訂閱，謝謝",
        "请勿再发送",
        "不想再收到你们的邮件",
        "退订 谢谢\n\n发自我的iPhone",
        "退 订",
        "【退订】",
        "ＴＤ",
        "退订\n\n------------------ 原始邮件 ------------------\n发件人: News\n你好",
        "停止发送，谢谢",
        "unsubscribe",
        "Unsubscribe please.",
        "Please unsubscribe me from this mailing list. Thank you!",
        "STOP",
        "stop",
        "remove me",
        "Please stop sending me these emails",
        "Hi,\n\nplease remove me from your list.\n\nThanks",
        "Don't send me any more emails.",
        "UNSUBSCRIBE\n\nOn Tue, 3 Mar 2026 at 10:00, News <news@example.com> wrote:\n> Hello",
        "opt-out",
        "Opt me out please",
        "unsubscribe\n\nOn Tue, 3 Mar 2026 at 10:00, A very long name of a company\n<news@example.com> wrote:\n\nhello",
        "Bitte abmelden",
        "Bitte vom Newsletter abmelden, danke",
        "Me désabonner, s'il vous plaît",
        "darse de baja",
        "配信停止をお願いします",
        "수신거부",
    ],
)
def test_words_that_refuse(text):
    letter = read(letters.reply("Ada@Example.org", ID, text))
    assert (letter.kind, letter.sender, letter.message_ids) == (LetterKind.WORDS, "ada@example.org", (ID.strip("<>"),))


@pytest.mark.parametrize(
    "text",
    [
        "请问退订流程是怎样的？",
        "客户拒收这批货。",
        "我要退订两间房",
        "取消",
        "退订单请见附件",
        "T恤什么时候到货？",
        "TD-LTE 模块的报价请发我",
        "Please stop the line at 5.",
        "Stop by our booth!",
        "How do I unsubscribe?",
        "I do not want to unsubscribe.",
        "不要退订",
        "remove item 7",
        "We cannot remove me too easily from the rota",
        "thanks",
        "谢谢，已收到。",
        "",
        "你好",
        "很好的文章\n\n------------------ 原始邮件 ------------------\n退订",
        "Great!\n\n> unsubscribe",
        "On it.\n\nFrom: News\nunsubscribe",
        "Sent from my iPhone\nunsubscribe",
        "stop\nthe machine before Monday",
        "T\n请看附件",
        "unsubscribe rate of our campaign was 2 %",
        "> unsubscribe",
        "请不要再发错货",
    ],
)
def test_words_that_do_not(text):
    assert read(letters.reply("ada@example.org", ID, text)).kind is LetterKind.INNOCENT


def test_the_subject_counts_when_the_writer_typed_it():
    assert read(letters.reply("ada@example.org", ID, "", subject="退订")).kind is LetterKind.WORDS
    assert read(letters.reply("ada@example.org", ID, "王芳", subject="Unsubscribe")).kind is LetterKind.WORDS
    assert read(letters.reply("ada@example.org", ID, "", subject="TD")).kind is LetterKind.WORDS
    assert read(letters.reply("ada@example.org", ID, "see attachment", subject="TD")).kind is LetterKind.INNOCENT
    assert read(letters.reply("ada@example.org", ID, "thanks", subject="Re: unsubscribe")).kind is LetterKind.INNOCENT
    assert read(letters.reply("ada@example.org", ID, "", subject="回复: 退订")).kind is LetterKind.INNOCENT


def test_an_html_answer_is_read_without_what_it_quotes():
    quote = "<blockquote><p>Unsubscribe</p></blockquote>"
    html = f"<html><head><style>退订</style></head><body><div>请退订</div><div>谢谢</div>{quote}</body></html>"
    assert read(letters.reply("ada@example.org", ID, "", html=html)).kind is LetterKind.WORDS
    html = f"<div>好文章</div>{quote}<div>退订</div>"
    assert read(letters.reply("ada@example.org", ID, "", html=html)).kind is LetterKind.INNOCENT


def test_a_quoted_link_tells_which_mail_is_answered():
    text = f"退订\n\n> https://u.example.com/u/{TOKEN}\n"
    assert read(letters.reply("ada@example.org", ID, text)).tokens == (TOKEN,)


@pytest.mark.parametrize("subject", [TOKEN, f"  {TOKEN} ", f"Re: {TOKEN}", f"unsubscribe {TOKEN}", f"退订：{TOKEN}"])
def test_a_token_as_the_subject_refuses(subject):
    letter = read(letters.mail("ada@example.org", subject, ""))
    assert (letter.kind, letter.tokens) == (LetterKind.TOKEN, (TOKEN,))


@pytest.mark.parametrize("subject", [TOKEN + "x", f"{TOKEN} what is this?", TOKEN[:-1]])
def test_anything_else_with_a_token_does_not(subject):
    assert read(letters.mail("ada@example.org", subject, "what?")).kind is LetterKind.INNOCENT


# Bounces -------------------------------------------------------------------------------------------------------------


def test_a_delivery_status_notification():
    letter = read(letters.dsn("Ada@Example.org", COPY))
    assert (letter.kind, letter.tokens, letter.message_ids) == (LetterKind.BOUNCE, (TOKEN,), (ID.strip("<>"),))
    (failure,) = letter.failures
    assert (failure.addresses, failure.code, failure.enhanced) == (("ada@example.org",), 550, "5.1.1")
    assert failure.text == "550 5.1.1 User unknown"


def test_the_returned_mail_may_be_whole_and_its_recipient_forwarded():
    letter = read(letters.dsn("ada@elsewhere.example", COPY, whole=True, original="ada@example.org"))
    assert (letter.tokens, letter.failures[0].addresses) == ((TOKEN,), ("ada@example.org", "ada@elsewhere.example"))


def test_the_diagnostic_is_more_exact_than_the_status():
    (failure,) = read(letters.dsn("ada@example.org", COPY, status="5.0.0", diagnostic="550-5.2.2 Mailbox full")).failures
    assert (failure.enhanced, failure.code) == ("5.2.2", 550)
    (failure,) = read(letters.dsn("ada@example.org", COPY, status="4.4.7", diagnostic="delivery time expired")).failures
    assert (failure.enhanced, failure.code) == ("4.4.7", 450)


@pytest.mark.parametrize("action", ["delayed", "relayed", "delivered", "expanded"])
def test_a_notification_without_a_failure_changes_nothing(action):
    assert read(letters.dsn("ada@example.org", COPY, action=action)).kind is LetterKind.NOTICE


def test_our_own_report_changes_nothing():
    ours = letters.dsn("ada@example.org", COPY)
    start, end = ours.index(b"Message-ID: "), ours.index(b"\r\nAuto-Submitted")
    ours = ours[:start] + b"Message-ID: <01K8Z0V0000000000000000001.0a1b2c3d.report@relay.example.com>" + ours[end:]
    assert read(ours).kind is LetterKind.NOTICE


@pytest.mark.parametrize("shape", [letters.netease_bounce, letters.tencent_bounce, letters.alimail_bounce, letters.qmail_bounce])
def test_text_bounces_of_providers(shape):
    letter = read(shape("ada@example.org", COPY))
    assert (letter.kind, letter.tokens, letter.message_ids[0]) == (LetterKind.BOUNCE, (TOKEN,), ID.strip("<>"))
    assert [failure.addresses for failure in letter.failures] == [("ada@example.org",)]
    assert letter.failures[0].code == 550


def test_a_text_bounce_with_several_recipients_tells_their_reasons_apart():
    text = (
        "This message was created automatically.\n\n  ada@example.org\n    host mx said: 550 5.1.1 User unknown\n"
        "  bob@example.org\n    host mx said: 552 5.2.2 over quota\n\nMessage-ID: <x@client.example>\n"
    )
    letter = read(letters.mail("Mailer-Daemon@mx.example", "Mail delivery failed: returning message to sender", text))
    assert [(f.addresses[0], f.code, f.enhanced) for f in letter.failures] == [
        ("ada@example.org", 550, "5.1.1"),
        ("bob@example.org", 552, "5.2.2"),
    ]
    assert letter.message_ids == ("x@client.example",)


def test_a_customer_who_writes_about_a_bounce_sends_none():
    mail = letters.mail("ada@example.org", "退信怎么办 / Undelivered mail", "550 5.1.1 bob@example.org User unknown")
    assert read(mail).kind is LetterKind.INNOCENT


# Complaints ----------------------------------------------------------------------------------------------------------


def test_a_feedback_report():
    letter = read(letters.complaint(COPY, recipient="Ada@example.org"))
    assert (letter.kind, letter.tokens, letter.addresses) == (LetterKind.COMPLAINT, (TOKEN,), ("ada@example.org",))
    assert letter.message_ids == (ID.strip("<>"),)
    assert not letter.opts_out
    assert read(letters.complaint(COPY, kind="opt-out")).opts_out


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "dmarc", "other"])
def test_feedback_that_complains_of_nothing(kind):
    assert read(letters.complaint(COPY, kind=kind)).kind is LetterKind.NOTICE


def test_a_cfbl_report_may_return_headers_only():
    report = letters.complaint(letters.header_of(COPY)).replace(
        b"Content-Type: message/rfc822", b"Content-Type: text/rfc822-headers"
    )
    assert read(report).tokens == (TOKEN,)


# Innocent mail -------------------------------------------------------------------------------------------------------


def test_business_mail_refuses_nothing():
    made = [*letters.business_mails(400), *letters.business_mails(400, ID), *letters.newsletters(100)]
    kinds = [read(mail).kind for mail in made]
    # A newsletter of somebody else may begin with the word; it answers nothing, so nothing follows (see test_effects).
    assert {LetterKind.INNOCENT} == set(kinds[:800])
    assert all(not read(mail).message_ids and not read(mail).tokens for mail in made[800:])


def test_out_of_office_is_no_answer():
    assert {read(mail).kind for mail in letters.auto_replies(60, ID)} == {LetterKind.AUTO_REPLY}


@pytest.mark.parametrize(("name", "octets"), corpus(), ids=[name for name, _ in corpus()])
def test_the_corpus_refuses_nothing(name, octets):
    """What is a bounce or a complaint there says so in its name."""
    try:
        kind = read(octets).kind
    except MessageError:
        return
    if kind in (LetterKind.BOUNCE, LetterKind.COMPLAINT):
        assert re.search("bounce|report|complaint|dsn|delivery-status|content-length", name)
    else:
        assert kind in (LetterKind.INNOCENT, LetterKind.AUTO_REPLY, LetterKind.NOTICE)


@given(st.binary(max_size=2000))
def test_reading_never_raises(octets):
    for start in (b"From: a@example.org\r\n", letters.dsn("ada@example.org", COPY)[:900], letters.complaint(COPY)[:700]):
        try:
            message = Message.parse(start + octets)
        except MessageError:
            continue
        read_letter(message)


@given(st.text(max_size=300))
def test_no_text_breaks_the_readers(text):
    is_refusal(text, own_lines(lines_of_html(text)))
    is_refusal(text, own_lines(text))
