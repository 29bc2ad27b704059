"""What a log line says of an exception: its kinds and places, never the text that may quote a mail or an address."""

import asyncio
import errno
import io
import json
import logging
import sys

import pytest

from relay.errors import RecordsUnavailable, RuleFailed
from relay.loglines import JSONFormatter, configure_logging, fault_text
from relay.tasks import spawn
from relay.telemetry import event

ADDRESS = "ada@example.org"


@pytest.fixture
def lines(caplog):
    """The log as an operator gets it."""
    caplog.set_level(logging.INFO)

    def written():
        octets = [JSONFormatter().format(record) for record in caplog.records]
        assert not any(ADDRESS in line for line in octets)
        return [json.loads(line) for line in octets]

    return written


def broken(fault: BaseException) -> None:
    raise fault


def log_of(name: str, fault: BaseException, text: str = "mail %s failed") -> None:
    try:
        broken(fault)
    except type(fault):
        logging.getLogger(name).exception(text, "01J")


def test_kind_and_places_are_told_and_the_text_is_not(lines):
    log_of("relay.pipeline", KeyError(ADDRESS))
    (line,) = lines()
    assert (line["event"], line["text"], line["error"]) == ("relay.pipeline", "mail 01J failed", "KeyError")
    place, function = line["places"][-1].split(" ")
    assert place.startswith("tests/unit/test_loglines.py:")
    assert function == "broken"


def test_the_chain_is_told_from_the_outermost_to_its_cause(lines):
    try:
        try:
            broken(ValueError(ADDRESS))
        except ValueError as error:
            raise RuleFailed("base/size") from error
    except RuleFailed:
        logging.getLogger("relay.pipeline").exception("failed")
    (line,) = lines()
    assert (line["error"], line["fault"]) == ("RuleFailed from ValueError", "the rule base/size could not be evaluated")
    assert [place.split(" ")[1] for place in line["places"]][-1] == "broken"


def test_a_chain_that_bites_its_tail_ends(lines):
    first, second = ValueError(ADDRESS), KeyError(ADDRESS)
    first.__cause__, second.__cause__ = second, first
    log_of("relay.x", first)
    assert lines()[0]["error"] == "ValueError from KeyError"


def test_what_a_group_holds_is_named(lines):
    log_of("relay.x", ExceptionGroup(ADDRESS, [KeyError(ADDRESS)]))
    assert lines()[0]["error"] == "ExceptionGroup from KeyError"


def test_places_are_bounded(lines):
    def deeper(depth: int) -> None:
        if depth == 0:
            raise ValueError(ADDRESS)
        deeper(depth - 1)

    try:
        deeper(100)
    except ValueError:
        logging.getLogger("relay.x").exception("failed")
    assert len(lines()[0]["places"]) == 12


def test_other_peoples_words_beside_an_exception_are_left_out(lines):
    """asyncio words what it says of a lost task with the exception and with what the callback was given."""
    loop = asyncio.new_event_loop()
    try:
        loop.call_exception_handler({"message": f"Exception in callback take({ADDRESS})", "exception": KeyError(ADDRESS)})
    finally:
        loop.close()
    (line,) = lines()
    assert (line["event"], line["error"]) == ("asyncio", "KeyError")


async def test_a_task_that_fails_names_itself_and_the_kind(lines):
    async def work() -> None:
        broken(LookupError(ADDRESS))

    with pytest.raises(LookupError):
        await spawn(work(), "record 01J")
    await asyncio.sleep(0)
    (line,) = lines()
    assert (line["text"], line["error"]) == ("task record 01J failed", "LookupError")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (RecordsUnavailable("the disk is full"), "the disk is full"),
        (ValueError(ADDRESS), "ValueError"),
        (OSError(errno.ENOSPC, ADDRESS), "OSError ENOSPC"),
        (FileNotFoundError(errno.ENOENT, ADDRESS), "FileNotFoundError"),
        (OSError(ADDRESS), "OSError"),
    ],
    ids=repr,
)
def test_a_fault_in_a_text_is_told_in_our_own_words_or_by_its_kind(fault, text):
    assert fault_text(fault) == text


@pytest.mark.parametrize(
    ("level", "heard"), [(logging.INFO, ["ready", "upstream unavailable"]), (logging.WARNING, ["upstream unavailable"])]
)
def test_what_stops_mail_is_heard_where_only_warnings_are_kept(caplog, lines, level, heard):
    caplog.set_level(level)
    event("ready", workers=2)
    event("upstream unavailable", level=logging.WARNING, upstream="netease", text="no answer")
    assert [line["event"] for line in lines()] == heard
    assert (lines()[-1]["level"], lines()[-1]["upstream"]) == ("warning", "netease")


@pytest.fixture
def output(monkeypatch):
    """What a process of the service writes, with its own output as the only one who listens."""
    stream, level = io.StringIO(), logging.root.level
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(sys, "stdout", stream)
    configure_logging("info")
    yield stream
    logging.root.setLevel(level)


def test_an_event_reads_the_same_whoever_listens(output):
    logging.root.addHandler(also := logging.StreamHandler(io.StringIO()))
    also.setFormatter(JSONFormatter())
    event("answered", id="01J", recipients=2)
    logging.root.removeHandler(also)
    event("answered", id="01J", recipients=2)
    event("answered", level=logging.DEBUG, id="01J")
    both, alone = ([*json.loads(line).items()] for line in output.getvalue().splitlines())
    assert both[1:] == alone[1:] == [("level", "info"), ("event", "answered"), ("id", "01J"), ("recipients", 2)]
    assert [len(value) for _, value in (both[0], alone[0])] == [len("2026-11-22T05:00:00.000+0000")] * 2
    assert also.stream.getvalue() == output.getvalue().splitlines()[0] + "\n"


def test_an_event_that_cannot_be_written_stops_no_mail(output, capsys):
    output.close()
    event("answered", id="01J")
    assert "Logging error" in capsys.readouterr().err
