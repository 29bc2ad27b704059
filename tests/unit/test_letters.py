"""What a mail that came back is: refusals, bounces and complaints of real shapes; innocent mail stays innocent."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.incoming.letters import LetterKind, read_letter
from relay.mail.incoming.markup import lines_of_html
from relay.mail.incoming.spoken_refusals import is_refusal
from relay.mail.incoming.text import own_lines
from relay.mail.message import Message, MessageError
from tests.support import letters
from tests.support.business import business_texts
from tests.support.corpus import SHIPPED, corpus, shipped

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
        "TD退订",
        "退订T",
        "T退订",
        "td退订",
        "回复TD",
        "请将我从邮件列表中删除",
        "请把我从名单中移除，谢谢",
        "请把我的邮箱从你们的邮件列表里删除",
        "请取消我的订阅。",
        "请取消订阅本邮件",
        "我不想再收到这些邮件，请退订",
        "不需要，谢谢，退订",
        "不用了，请退订",
        "退订，我从未订阅过",
        "退订！退订！退订！",
        "别发了",
        "不要发了",
        "勿扰",
        "unsub",
        "NO",
        "Unsubscribe me please, I don't want these emails.",
        "Unsubscribe. I never signed up for this!",
        "I no longer wish to receive your newsletter",
        "I would like to be removed from your mailing list.",
        "Please take me off your list",
        "Please unsubscribe\nthis address from\nyour mailing list",
        "Could you please unsubscribe me from this mailing list?",
        "王经理，您好！\n请退订。谢谢",
        "尊敬的客服：\n请退订",
        "Hi Bob,\nplease remove me from your mailing list",
        # Below the refusal stands only who refuses.
        "退订\n不感兴趣",
        "退订\n来自网易邮箱大师",
        "退订\n发自我的iPhone",
        "退订\n王芳 | 示例公司 | 13800000000",
        "退订\n\n王芳\n采购部 经理\n上海示例贸易有限公司\n电话：021-55551234\n13800000000",
        "退订\n\n祝好\n陈晓明\n深圳市示例科技有限公司\n深圳市南山区科技路10号",
        "请取消订阅。\n谢谢！\n李明\nli.ming@example.cn",
        "TD\n王芳",
        "Stop\nAda",
        "unsubscribe\nAda Lovelace\nPurchasing Manager\nExample Trading Ltd.\nTel: +44 20 7946 0000",
        "Hello,\nI would like to unsubscribe.\nKind regards\nAda Lovelace",
        "Dear Sir or Madam,\nplease unsubscribe us.\nBest regards,\nJ. Smith",
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
        "停止发送。\n第二批货等我通知。",
        "拒收\n客户说包装破损，请补发。",
        "退订\n两间会议室，改到下周。",
        "不要再发\n旧版报价，谢谢",
        "Unsubscribe\nbutton in your mail is broken, can you check?",
        "别再发了\n上次的合同版本不对，用V3",
        "停止推送\n到测试环境，等我通知",
        "请退订\n李明的会议室",
        "退订\n周五再定",
        "退订\n夏季款",
        "拒收\n毛巾",
        "停止发送\n王芳的",
        "停止发送\n等陈经理",
        "停止发送\n通知上海总公司",
        "退订\nA12",
        "退订\n展会材料部",
        "退订\n转告上海分公司",
        "退订\n送到采购部",
        "停止发送\n20260118001",
        "Stop\nFriday",
        "Unsubscribe\nMeeting Room B",
        "stop\nsending samples by air",
        "不需要退订",
        "退订？",
        "Unsubscribe?",
        "退订名单",
        "Unsubscribe list",
        "Stop sending the list to the team",
        "不要发票",
        "不要发名单",
        "不要发了，货已收到",
        "别发货",
        "勿扰模式怎么开",
        "回复TD 是什么意思",
        "请将我从参会名单中删除",
        "请不要取消订阅",
        "取消我的订单",
        # These decline an offer, not the mail that brought it.
        "不需要，谢谢",
        "不感兴趣",
        "No, thanks",
        # One letter must be all that was written.
        "T\n\n王芳 13800000000",
        "NO\n\nAda",
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
    assert read(letters.reply("ada@example.org", ID, "两间会议室，改到下周。", subject="退订")).kind is LetterKind.INNOCENT


def test_an_html_answer_is_read_without_what_it_quotes():
    quote = "<blockquote><p>Unsubscribe</p></blockquote>"
    html = f"<html><head><style>退订</style></head><body><div>请退订</div><div>谢谢</div>{quote}</body></html>"
    assert read(letters.reply("ada@example.org", ID, "", html=html)).kind is LetterKind.WORDS
    html = f"<div>好文章</div>{quote}<div>退订</div>"
    assert read(letters.reply("ada@example.org", ID, "", html=html)).kind is LetterKind.INNOCENT


def test_references_alone_tell_it_too():
    letter = read(letters.mail("ada@example.org", "Re: News", "退订", extra={"References": f"<first@thread.example> {ID}"}))
    assert (letter.kind, letter.message_ids) == (LetterKind.WORDS, ("first@thread.example", ID.strip("<>")))


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


@pytest.mark.parametrize("name", letters.SHIPPED_REPORTS)
def test_reports_in_the_shapes_of_real_servers(name):
    kind, enhanced, _ = letters.SHIPPED_REPORTS[name]
    letter = read(shipped(name))
    assert (letter.kind.value, letter.message_ids) == (kind, ("20260303100000.4711@client.example",))
    if kind == "complaint":
        assert (letter.addresses, letter.failures) == (("ada@example.org",), ())
    else:
        assert [(f.addresses, f.code, f.enhanced) for f in letter.failures] == [(("ada@example.org",), 550, enhanced)]


def test_every_report_of_the_shipped_corpus_is_expected():
    reports = {path.stem for path in SHIPPED.glob("*.eml") if re.search("bounce|complaint", path.stem)}
    assert reports == set(letters.SHIPPED_REPORTS)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("无法发送到ada@example.org，退信原因：550 User not found", ["ada@example.org"]),
        ("收件人： 用户@example.cn 不存在 550", ["用户@example.cn"]),
    ],
)
def test_an_address_in_chinese_running_text(text, addresses):
    letter = read(letters.mail("postmaster@example.cn", "系统退信", text))
    assert [failure.addresses[0] for failure in letter.failures] == addresses


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


def test_business_mails_are_as_many_as_they_seem():
    texts = business_texts(2000)
    assert len(set(texts)) == 2000
    assert len({re.sub(r"\d+", "", text) for text in texts}) > 1000  # not by their numbers alone


def test_business_mail_refuses_nothing():
    made = [*letters.business_mails(1000), *letters.business_mails(1000, ID), *letters.newsletters(100)]
    kinds = [read(mail).kind for mail in made]
    # A newsletter of somebody else may begin with the word; it answers nothing, so nothing follows (see test_effects).
    assert {LetterKind.INNOCENT} == set(kinds[:2000])
    assert all(not read(mail).message_ids and not read(mail).tokens for mail in made[2000:])


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


@pytest.mark.parametrize("html", letters.POISON)
def test_no_stranger_can_make_the_reading_fail_or_last(html):
    assert read(letters.mail("eve@example.org", "Hello", "", html=html)).kind is LetterKind.INNOCENT


def test_a_subject_that_almost_is_a_token_is_read_once():
    """Each of these words once doubled the work, and more: sixty would not end."""
    assert read(letters.mail("eve@example.org", "re  " * 60 + "!" * 75, "Hello")).kind is LetterKind.INNOCENT
    for words in ("Re:", "re : 回复：  ", "unsubscribe ", "Re"):
        assert read(letters.mail("ada@example.org", f"{words}{TOKEN}", "")).tokens == (TOKEN,)


def test_a_line_without_end_is_not_brought_to_one_form():
    """Unicode's normalisation sorts accents, in a time that grows with the square of their number."""
    assert own_lines("Ａ" * 2000) == ["A" * 2000]
    assert own_lines("Ａ" * 2001) == ["Ａ" * 2001]
    assert not is_refusal("", own_lines("退订" + "\u3000" * 2000 + "三箱货物"))
