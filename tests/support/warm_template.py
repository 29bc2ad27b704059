"""The process that tests/support/warm.py has its commands forked from: `python -m tests.support.warm_template DESCRIPTOR`.

A request is one packet: words, folder and environment as JSON, with four descriptors: where to tell the child's number and
then its exit status, and its three standard streams.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from importlib import import_module
from typing import Literal, NamedTuple, TextIO

from relay.cli.main import VERBS, main

_MOST = 1 << 18


class _Request(NamedTuple):
    words: list[str]
    cwd: str
    env: dict[str, str]
    answers: socket.socket
    streams: list[int]

    def become(self) -> None:
        """Be the process that was asked for."""
        self.answers.close()
        for number, stream in enumerate(self.streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = _opened(sys.stdin, "r"), _opened(sys.stdout, "w"), _opened(sys.stderr, "w")
        os.environ.clear()
        os.environ.update(self.env)
        time.tzset()
        os.chdir(self.cwd)
        sys.argv[1:] = self.words


def _opened(before: TextIO, mode: Literal["r", "w"]) -> TextIO:
    """Knows of its descriptor what it is now: a file, a pipe."""
    return open(before.fileno(), mode, encoding=before.encoding, errors=before.errors, closefd=False)


def serve(control: socket.socket) -> bool:
    """Fork a child for each request until nobody can ask any more; True in a child."""
    polled = select.poll()
    polled.register(control, select.POLLIN)
    asked_by: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for descriptor, _ in polled.poll():
            if descriptor != control.fileno():
                polled.unregister(descriptor)
                child, answers = asked_by.pop(descriptor)
                os.close(descriptor)
                _tell(answers, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                answers.close()
                continue
            request = _received(control)
            if request is None:  # and nobody is left to end what still runs
                for child, _ in asked_by.values():
                    os.kill(child, signal.SIGTERM)
                return False
            child = os.fork()
            if child == 0:
                control.close()
                for other, (_, answers) in asked_by.items():
                    os.close(other)
                    answers.close()
                request.become()
                return True
            _tell(request.answers, child)
            for stream in request.streams:
                os.close(stream)
            ended = os.pidfd_open(child)
            asked_by[ended] = child, request.answers
            polled.register(ended, select.POLLIN)


def _received(control: socket.socket) -> _Request | None:
    octets, descriptors, _, _ = socket.recv_fds(control, _MOST, 4)
    if not octets:
        return None
    answers, *streams = descriptors
    return _Request(**json.loads(octets), answers=socket.socket(fileno=answers), streams=streams)


def _tell(answers: socket.socket, number: int) -> None:
    try:
        answers.sendall(b"%d\n" % number)
    except OSError:  # who asked has gone
        return


if __name__ == "__main__":
    for verb in VERBS.values():
        import_module(f"relay.cli.{verb.module}")
    assert threading.active_count() == 1, "a thread would be missing in every child"
    gc.freeze()
    if serve(socket.socket(fileno=int(sys.argv[1]))):
        main()
