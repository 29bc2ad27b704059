"""Clients that hand in mail as SMTP asks of them: what was not answered for good is sent again, the same bytes.

Some are less patient than SMTP asks: they leave before the reply to the dot, and hand in the same again at once.
"""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

MOST_TRIES = 300
LONGEST_PAUSE = 1.0
SECONDS = 15  # for one reply


@dataclass
class Mail:
    """One submission. `reply` is its final reply, 0 while there is none; who was refused at RCPT is no longer a recipient.

    `gives_up`: how many seconds after the dot its client leaves at the first try, at the second, and so on.
    """

    listener: str
    sender: str
    recipients: list[str]
    data: bytes
    gives_up: Sequence[float] = ()
    reply: int = 0
    tries: int = 0
    heard: list[str] = field(default_factory=list)


class Campaign:
    """So many clients at work on these mails; `ports` says where a listener is now."""

    def __init__(self, mails: Sequence[Mail], port: Callable[[str], int], clients: int) -> None:
        self._waiting = deque(mails)
        self._port = port
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(clients)]
        self._is_over = False
        self.faults: list[BaseException] = []

    def __enter__(self) -> "Campaign":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self.join(2 * SECONDS)

    @property
    def left(self) -> int:
        """Mails that nobody has begun with."""
        return len(self._waiting)

    @property
    def is_done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def join(self, seconds: float) -> None:
        """Wait until every client is done."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        sessions: dict[str, _Session] = {}
        try:
            while self._waiting and not self._is_over:
                with suppress(IndexError):
                    self._hand_in(self._waiting.popleft(), sessions)
            for session in sessions.values():
                session.close()
        except BaseException as fault:
            self.faults.append(fault)
            raise

    def _hand_in(self, mail: Mail, sessions: dict[str, "_Session"]) -> None:
        while not mail.reply and mail.tries < MOST_TRIES and not self._is_over:
            patience = mail.gives_up[mail.tries] if mail.tries < len(mail.gives_up) else SECONDS
            mail.tries += 1
            try:
                session = sessions.get(mail.listener)
                if session is None:
                    session = sessions[mail.listener] = _Session(self._port(mail.listener))
                code = session.send(mail, patience)
            except (OSError, _GoneError) as fault:
                if (gone := sessions.pop(mail.listener, None)) is not None:
                    gone.close()
                mail.heard.append(repr(fault))
                code = 0
            if code // 100 in (2, 5):
                mail.reply = code
            elif patience == SECONDS:
                time.sleep(min(LONGEST_PAUSE, 0.1 * mail.tries))


class _GoneError(Exception):
    pass


class _Session:
    """One connection, used for mail after mail."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._file = self._socket.makefile("rb")
        try:
            self._expect(self._reply(), 220)
            self._expect(self._say("EHLO client.example"), 250)
        except BaseException:
            self.close()
            raise

    def send(self, mail: Mail, patience: float) -> int:
        """The final reply, or any that keeps it from coming to that. Raises TimeoutError when patience is over."""
        code = self._say(f"MAIL FROM:<{mail.sender}>")
        if code != 250:
            return self._noted(mail, code)
        self._socket.sendall("".join(f"RCPT TO:<{recipient}>\r\n" for recipient in mail.recipients).encode())
        codes = [self._reply() for _ in mail.recipients]
        mail.recipients = [one for one, code in zip(mail.recipients, codes, strict=True) if code // 100 != 5]
        later = [code for code in codes if code // 100 == 4]
        if later or not mail.recipients:
            self._expect(self._say("RSET"), 250)
            return self._noted(mail, later[0] if later else 550)
        code = self._say("DATA")
        if code != 354:
            self._expect(self._say("RSET"), 250)
            return self._noted(mail, code)
        self._socket.sendall(mail.data + b".\r\n")
        self._socket.settimeout(patience)
        code = self._noted(mail, self._reply())
        self._socket.settimeout(SECONDS)
        return code

    def _noted(self, mail: Mail, code: int) -> int:
        mail.heard.append(self._last)
        if code == 421:
            raise _GoneError(self._last)
        return code

    def _say(self, line: str) -> int:
        self._socket.sendall(f"{line}\r\n".encode())
        return self._reply()

    def _reply(self) -> int:
        while True:
            line = self._file.readline().decode()
            if not line.endswith("\r\n"):
                raise _GoneError("the connection was closed")
            if line[3] == " ":
                self._last = line.rstrip()
                return int(line[:3])

    def _expect(self, code: int, wanted: int) -> None:
        if code != wanted:
            raise _GoneError(self._last)

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()
            self._socket.close()
