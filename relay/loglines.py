"""How a line of the log is written: one JSON object on stdout, and nothing in it that quotes a mail or an address."""

import errno
import logging
import sys
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from traceback import walk_tb
from typing import Any, TextIO

import orjson

from relay.errors import RelayError

EVENTS = "relay.event"
"""Who logs events: their text is the name of what happened."""

_ROOT = f"{Path(__file__).parents[1]}/"
_MOST_PLACES = 12


def event_record(name: str, level: int, facts: Mapping[str, Any]) -> logging.LogRecord:
    """An event as the logging of Python hands it on."""
    record = logging.LogRecord(EVENTS, level, "", 0, name, None, None)  # nobody asks who wrote it
    record.facts = facts
    return record


def fault_facts(fault: BaseException) -> dict[str, Any]:
    """What a log line says of an exception: the kinds in its chain, outermost first, and the places they came through.

    Its text is told only where the relay words it: any other text may quote a mail or an address.
    """
    chain: list[BaseException] = []
    link: BaseException | None = fault
    while link is not None and link not in chain:
        chain.append(link)
        link = _cause(link)
    places = [place for one in chain for place in _places(one)]
    said = {"fault": str(fault)} if isinstance(fault, RelayError) else {}
    return {"error": " from ".join(_kind(one) for one in chain), **said, "places": places[-_MOST_PLACES:]}


def fault_text(fault: BaseException) -> str:
    """An exception in a log line's text: the relay's own words, else the kind alone."""
    return str(fault) if isinstance(fault, RelayError) else _kind(fault)


def _kind(fault: BaseException) -> str:
    name = type(fault).__name__
    number = fault.errno if type(fault) is OSError else None  # its subclasses say by their name what happened
    return f"{name} {errno.errorcode.get(number, number)}" if number is not None else name


def _cause(fault: BaseException) -> BaseException | None:
    if isinstance(fault, BaseExceptionGroup):
        return fault.exceptions[0]
    return fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)


def _places(fault: BaseException) -> list[str]:
    frames = ((frame.f_code, line) for frame, line in walk_tb(fault.__traceback__))
    return [f"{code.co_filename.removeprefix(_ROOT)}:{line} {code.co_qualname}" for code, line in frames]


class JSONFormatter(logging.Formatter):
    """One JSON object per record: time with offset, level, event, facts.

    Other people's libraries put what they choose into the text that comes with an exception; that text is left out.
    """

    def format(self, record: logging.LogRecord) -> str:
        is_event = record.name == EVENTS
        line = _line(record.created, record.levelname, record.getMessage() if is_event else record.name)
        fault = record.exc_info[1] if record.exc_info else None
        if not is_event and (fault is None or record.name.startswith("relay.")):
            line["text"] = record.getMessage()
        line.update(getattr(record, "facts", {}))
        if fault is not None:
            line.update(fault_facts(fault))
        return orjson.dumps(line, default=str).decode()


class Output(logging.StreamHandler[TextIO]):
    """Standard output, which takes an event without the way of a log record: it is written at once, in one piece."""

    def say(self, name: str, level: int, facts: Mapping[str, Any]) -> None:
        """Write the line of an event."""
        line = _line(time.time(), logging.getLevelName(level), name)
        line.update(facts)
        self.acquire()
        try:
            self.stream.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE).decode())
            self.stream.flush()
        except Exception:  # noqa: BLE001 - as with any line that cannot be written
            self.handleError(event_record(name, level, facts))
        finally:
            self.release()


def _line(at: float, level: str, event: str) -> dict[str, Any]:
    second, offset = _second(int(at))
    return {"time": f"{second}.{int(at % 1 * 1000):03d}{offset}", "level": level.lower(), "event": event}


@lru_cache(maxsize=1)
def _second(at: int) -> tuple[str, str]:
    """A second of local time as text, and its offset from UTC."""
    local = time.localtime(at)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local), time.strftime("%z", local)


def configure_logging(level: str) -> None:
    """Send every log record of this process to stdout as JSON."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line says them
    handler = Output(sys.stdout)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd logs addresses and passwords at INFO
