"""The transaction: what is said, in which order, and what each answer makes of each recipient."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail.mailbox import Mailbox
from relay.upstream.outcome import OutcomeState
from relay.upstream.profile import Capabilities, ReplyClass, load_profiles
from relay.upstream.transaction import MAX_BATCH_COMMANDS, MAX_BATCH_OCTETS, SLICE, Mail, envelope_commands, stuffed, transact
from relay.upstream.wire import Wire
from tests.support.leaving import a_copy, a_recipient
from tests.support.scripted import LOST, ScriptedTransport, usual
from tests.support.waiting import until

PROFILE = load_profiles()["generic"]
EVERYTHING = Capabilities(True, True, 0, True, True, True, True)
NOTHING = Capabilities(seen=True)
PIPELINING = Capabilities(pipelining=True, seen=True)
SENDER = Mailbox.parse("news@example.com")
DELIVERED, TRANSIENT, PERMANENT, INDETERMINATE = OutcomeState


def answers(**given_replies):
    """Usual answers but for these: RCPT_ada="550 no", DOT=None for silence, DATA=LOST to close."""

    def answer(asked):
        key = asked.split("@")[0].replace(" ", "_")
        said = given_replies.get(key, given_replies.get(key.split("_")[0], usual(asked)))
        return f"{said}\r\n".encode() if isinstance(said, str) else said

    return answer


class Run:
    """One transaction with its transport, wire and result."""

    def __init__(
        self, copy=None, offered=PIPELINING, sender=SENDER, patience=2.0, past_dot=2.0, prepare=lambda _: None, **replies
    ):
        self.copy, self.offered, self.sender = copy or a_copy("ada@example.org", "bob@example.org"), offered, sender
        self.patience, self.past_dot, self.replies, self.prepare = patience, past_dot, replies, prepare

    async def __call__(self):
        self.transport = ScriptedTransport(answers(**self.replies))
        self.wire = Wire(self.transport)
        self.prepare(self)
        result = await transact(
            self.wire,
            PROFILE,
            self.offered,
            Mail(self.sender, self.copy),
            deadline=asyncio.get_running_loop().time() + self.patience,
            past_dot=self.past_dot,
        )
        self.outcomes, self.stale, self.late = result.outcomes, result.stale, result.late
        await self.wire.settled()
        return self

    @property
    def states(self):
        return [outcome.state for outcome in self.outcomes]

    @property
    def verbs(self):
        return [command.split(" ")[0] for command in self.transport.commands]


@pytest.mark.parametrize("offered", [PIPELINING, NOTHING])
async def test_everybody_gets_the_message_as_it_is(offered):
    run = await Run(a_copy("ada@example.org", "bob@example.org", body=b".one\r\n..\r\ntwo\r\n"), offered)()
    assert run.states == [DELIVERED, DELIVERED]
    assert run.transport.message == b"Subject: hello\r\n\r\n..one\r\n...\r\ntwo\r\n"
    assert run.verbs == ["MAIL", "RCPT", "RCPT", "DATA"]
    assert run.wire.is_quiet


async def test_a_pipelined_envelope_is_one_write_and_nothing_follows_the_dot():
    run = await Run()()
    assert [write.count(b"\r\n") for write in run.transport.writes[:1]] == [4]
    assert run.transport.writes[-1].endswith(b"\r\n.\r\n")
    assert len(run.transport.writes) == 2


async def test_without_pipelining_each_command_waits_for_its_reply():
    run = await Run(offered=NOTHING, RCPT_ada="550 5.1.1 no")()
    assert [write.count(b"\r\n") for write in run.transport.writes[:4]] == [1, 1, 1, 1]
    assert run.states == [PERMANENT, DELIVERED]


async def test_each_recipient_has_its_own_answer():
    run = await Run(
        a_copy("ada@example.org", "bob@example.org", "eve@example.org"), RCPT_ada="550 5.1.1 no", RCPT_eve="451 later"
    )()
    assert run.states == [PERMANENT, DELIVERED, TRANSIENT]
    assert [outcome.before_dot for outcome in run.outcomes] == [True, False, True]
    assert run.outcomes[0].reply_class is ReplyClass.RECIPIENT_GONE


async def test_354_to_nobody_gets_a_lone_dot_and_delivers_to_nobody():
    run = await Run(RCPT="550 5.1.1 no", DOT="250 taken")()
    assert run.states == [PERMANENT, PERMANENT]
    assert run.transport.message == b""
    assert run.transport.writes[-1] == b".\r\n"
    assert run.wire.is_quiet


async def test_when_all_are_refused_and_data_too_the_connection_is_reset_and_fit():
    run = await Run(RCPT="550 5.1.1 no", DATA="554 5.5.1 nobody")()
    assert run.states == [PERMANENT, PERMANENT]
    assert run.verbs[-1] == "RSET"
    assert run.wire.is_quiet


@pytest.mark.parametrize("data", ["503 5.5.1 MAIL first", "354 go on"])
async def test_when_mail_is_refused_the_rest_is_read_and_mail_decides(data):
    run = await Run(MAIL="553 5.7.1 not yours", RCPT="503 5.5.1 MAIL first", DATA=data)()
    assert run.states == [PERMANENT, PERMANENT]
    assert {outcome.upstream_text for outcome in run.outcomes} == {"553 5.7.1 not yours"}
    assert run.wire.is_quiet


async def test_without_pipelining_nothing_follows_a_refused_mail():
    run = await Run(offered=NOTHING, MAIL="451 4.3.0 later")()
    assert run.states == [TRANSIENT, TRANSIENT]
    assert run.verbs == ["MAIL"]


async def test_without_pipelining_data_is_not_said_to_nobody():
    run = await Run(offered=NOTHING, RCPT="550 5.1.1 no")()
    assert run.verbs == ["MAIL", "RCPT", "RCPT", "RSET"]


async def test_data_refused_refuses_all_who_were_accepted():
    run = await Run(RCPT_ada="550 5.1.1 no", DATA="451 4.3.0 not now")()
    assert run.states == [PERMANENT, TRANSIENT]
    assert all(outcome.before_dot for outcome in run.outcomes)


@pytest.mark.parametrize(
    ("dot", "state"), [("554 5.7.1 spam", PERMANENT), ("451 4.3.0 later", TRANSIENT), ("421 4.3.2 bye", TRANSIENT)]
)
async def test_the_answer_to_the_dot_is_definite(dot, state):
    run = await Run(DOT=dot)()
    assert run.states == [state, state]
    assert not any(outcome.before_dot for outcome in run.outcomes)


@pytest.mark.parametrize("dot", [LOST, "gibberish", "354 go on"])
async def test_no_definite_answer_to_the_dot_is_indeterminate(dot):
    run = await Run(DOT=dot, patience=0.1, past_dot=0.1)()
    assert run.states == [INDETERMINATE, INDETERMINATE]
    assert run.wire.fault
    assert run.late is None


@pytest.mark.parametrize(
    ("reply", "states", "fault"),
    [
        (b"250 2.0.0 ok\r\n", [PERMANENT, DELIVERED], ""),
        (b"451 4.3.0 later\r\n", [PERMANENT, TRANSIENT], ""),
        (b"550 5.7.1 spam\r\n", [PERMANENT, PERMANENT], ""),
        (b"nonsense\r\n", [PERMANENT, INDETERMINATE], "malformed"),
    ],
)
async def test_a_reply_after_the_time_for_it_is_still_heard(reply, states, fault):
    run = await Run(DOT=None, RCPT_ada="550 5.1.1 no", past_dot=0.05)()
    assert run.states == [PERMANENT, INDETERMINATE]
    assert not run.wire.is_quiet
    late = asyncio.ensure_future(run.late())
    await asyncio.sleep(0)
    run.transport.protocol.data_received(reply)
    assert [outcome.state for outcome in await late] == states
    assert run.wire.fault == fault


async def test_a_reply_that_never_comes_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("relay.upstream.transaction.LATE_PATIENCE", 0.05)
    run = await Run(DOT=None, past_dot=0.05)()
    assert [outcome.state for outcome in await run.late()] == [INDETERMINATE, INDETERMINATE]
    assert run.wire.fault == "timeout"


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "RCPT_bob", "DATA"])
@pytest.mark.parametrize("how", [LOST, None, "gibberish", "421 4.3.2 bye"])
@pytest.mark.parametrize("offered", [PIPELINING, NOTHING])
async def test_what_fails_before_the_dot_is_transient_and_closes(at, how, offered):
    run = await Run(offered=offered, patience=0.1, **{at: how})()
    assert run.states == [TRANSIENT, TRANSIENT]
    assert all(outcome.before_dot for outcome in run.outcomes)
    assert run.wire.fault
    assert run.stale == (how in (LOST, "421 4.3.2 bye"))


@pytest.mark.parametrize(("at", "reply"), [("MAIL", "354 go on"), ("RCPT", "334 x"), ("DATA", "250 ok")])
async def test_a_reply_that_cannot_belong_to_its_command_ends_the_connection(at, reply):
    run = await Run(**{at: reply})()
    assert run.states == [TRANSIENT, TRANSIENT]
    assert run.wire.fault == "malformed"


async def test_a_refusal_that_was_read_before_the_end_stays_a_refusal():
    run = await Run(RCPT_ada="550 5.1.1 no", RCPT_bob=LOST)()
    assert run.states == [PERMANENT, TRANSIENT]


async def test_many_recipients_go_in_bounded_batches():
    recipients = [f"someone.with.a.long.name.{number:04}@department.example.org" for number in range(950)]
    run = await Run(a_copy(*recipients))()
    assert run.states == [DELIVERED] * 950
    envelope = run.transport.writes[:-1]
    assert all(write.count(b"\r\n") <= MAX_BATCH_COMMANDS and len(write) <= MAX_BATCH_OCTETS for write in envelope)
    assert len(envelope) == 10


async def test_a_mail_refused_in_the_first_batch_stops_the_others():
    run = await Run(a_copy(*[f"a{number}@example.org" for number in range(250)]), MAIL="550 5.7.1 no")()
    assert len(run.transport.writes) == 1
    assert run.states == [PERMANENT] * 250


def paused_after(run, slices, then):
    """Make the transport full after so many slices of the message, and do something then."""
    write, seen = run.transport.write, []

    def counting(data):
        write(data)
        if run.transport._in_data:
            seen.append(data)
            if len(seen) == slices:
                run.wire.pause_writing()
                asyncio.get_running_loop().call_soon(then, run)

    run.transport.write = counting


BIG = a_copy("ada@example.org", body=(b"x" * 998 + b"\r\n") * 500)


async def test_a_big_message_is_written_in_slices_and_waits_for_the_transport():
    run = await Run(BIG, prepare=lambda run: paused_after(run, 2, lambda run: run.wire.resume_writing()))()
    assert run.states == [DELIVERED]
    assert max(map(len, run.transport.writes)) <= SLICE
    assert run.transport.message == BIG.header + BIG.body


async def test_an_upstream_that_stops_reading_before_the_dot_does_not_have_the_message():
    run = await Run(BIG, past_dot=0.1, prepare=lambda run: paused_after(run, 2, lambda _: None))()
    assert run.states == [TRANSIENT]
    assert run.outcomes[0].before_dot
    assert run.wire.fault == "timeout"


async def test_an_upstream_that_goes_away_before_the_dot_does_not_have_the_message():
    run = await Run(BIG, prepare=lambda run: paused_after(run, 2, lambda run: run.transport.lose()))()
    assert (run.states, run.outcomes[0].before_dot) == ([TRANSIENT], True)


@pytest.mark.parametrize(
    ("reply", "state"), [(b"552 5.3.4 too big\r\n", PERMANENT), (b"421 4.3.2 bye\r\n", TRANSIENT), (b"250 thanks\r\n", TRANSIENT)]
)
async def test_an_answer_before_the_end_of_the_message_stops_it(reply, state):
    def speak(run):
        run.transport.protocol.data_received(reply)
        run.wire.resume_writing()

    run = await Run(BIG, prepare=lambda run: paused_after(run, 2, speak))()
    assert (run.states, run.outcomes[0].before_dot) == ([state], True)
    assert run.wire.fault
    assert b".\r\n" not in run.transport.writes


async def test_a_cancelled_transaction_cuts_the_connection():
    run = Run(DOT=None)
    task = asyncio.ensure_future(run())
    await until(lambda: hasattr(run, "transport") and run.transport.message)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (run.wire.fault, run.transport.aborted) == ("cancelled", True)


def commands(copy, offered, **mail):
    return [command.decode().rstrip() for command in envelope_commands(Mail(SENDER, copy, **mail), offered)]


def test_parameters_are_said_only_where_they_are_offered():
    ada = a_recipient("ada@example.org", notify=frozenset({"SUCCESS", "FAILURE"}), orcpt="rfc822;Ada@example.org")
    copy = a_copy(ada, needs_8bit=True)
    assert commands(copy, NOTHING, ret="FULL", envid="id-1") == [
        "MAIL FROM:<news@example.com>",
        "RCPT TO:<ada@example.org>",
        "DATA",
    ]
    assert commands(copy, EVERYTHING, ret="FULL", envid="id-1") == [
        "MAIL FROM:<news@example.com> SIZE=24 BODY=8BITMIME RET=FULL ENVID=id-1",
        "RCPT TO:<ada@example.org> NOTIFY=FAILURE,SUCCESS ORCPT=rfc822;Ada@example.org",
        "DATA",
    ]


def test_smtputf8_is_said_only_where_it_is_needed():
    assert "SMTPUTF8" not in commands(a_copy(), EVERYTHING)[0]
    assert "SMTPUTF8" in commands(a_copy(needs_smtputf8=True), EVERYTHING)[0]
    assert "SMTPUTF8" in commands(a_copy("用户@example.org"), EVERYTHING)[0]


async def test_what_needs_smtputf8_is_not_offered_to_an_upstream_without_it():
    run = await Run(a_copy("用户@example.org"))()
    assert run.states == [PERMANENT]
    assert run.transport.writes == []


def test_the_null_reverse_path_is_empty():
    assert envelope_commands(Mail(None, a_copy()), NOTHING)[0] == b"MAIL FROM:<>\r\n"


@pytest.mark.parametrize("envid", ["x\r\nRSET", "x y", "x\0"])
def test_a_parameter_never_becomes_a_second_command(envid):
    with pytest.raises(ValueError, match="control characters or blanks"):
        commands(a_copy(), EVERYTHING, envid=envid)


@given(st.lists(st.sampled_from([b".", b"..", b"\r\n", b"a", b"\r\n.", b" "]), max_size=30).map(b"".join))
def test_stuffing_is_undone_by_taking_one_dot_from_each_line(octets):
    undone = (b"\r\n" + stuffed(octets)).replace(b"\r\n.", b"\r\n")[2:]
    assert undone == octets
    assert b"\r\n.\r\n" not in b"\r\n" + stuffed(octets) + b"\r\n"


def test_octets_without_such_a_dot_are_not_copied():
    octets = b"one\r\ntwo.\r\n" * 1000
    assert stuffed(octets) is octets


CODES = st.sampled_from(["250 ok", "354 go on", "451 later", "550 no", "421 bye", LOST, None, "what"])


@settings(max_examples=150)
@given(CODES, CODES, CODES, CODES, CODES, st.booleans())
def test_only_the_upstreams_own_250_delivers_and_only_silence_after_the_dot_is_unknown(mail, ada, bob, data, dot, pipelining):
    async def story():
        offered = PIPELINING if pipelining else NOTHING
        run = Run(offered=offered, patience=0.01, past_dot=0.01, MAIL=mail, RCPT_ada=ada, RCPT_bob=bob, DATA=data, DOT=dot)
        return await run()

    run = asyncio.run(story())
    reached = mail == "250 ok" and data == "354 go on" and {ada, bob} <= {"250 ok", "451 later", "550 no"}
    for own, outcome in zip((ada, bob), run.outcomes, strict=True):
        taken = reached and own == "250 ok"
        assert (outcome.state is DELIVERED) == (taken and dot == "250 ok")
        assert (outcome.state is INDETERMINATE) == (taken and dot in (LOST, None, "what", "354 go on"))
