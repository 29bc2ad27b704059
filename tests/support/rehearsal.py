"""Upstreams that behave like the providers whose replies the profiles know.

    clock = Clock(time.time())
    with NetEase(clock, quarter_hour=3) as upstream:
        ...                                     # the fourth mail within 15 minutes of `clock` gets 451 MI:SFQ

Each has the limits of its provider's kind, with numbers of the test's own (the real ones are secret), and forgets what was
counted as the provider does.  What it would have refused in earnest it refuses here: `refusals` are its replies.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from tests.support.upstream import Fault, RecordingUpstream

LOGIN, PASSWORD = "news@example.com", "right"
BEIJING = timezone(timedelta(hours=8))
NO_LIMIT = 10**9


class Counted:
    """Things of the last so many seconds."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._times: deque[float] = deque()

    def is_over(self, limit: int) -> bool:
        """Count one more, unless it would be one too many."""
        now = self._clock()
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        if len(self._times) >= limit:
            return True
        self._times.append(now)
        return False


class Rehearsal(RecordingUpstream, ABC):
    """A provider; `judge` says what it replies instead of the usual, "" for the usual."""

    def __init__(self, clock: Callable[[], float], login: str = LOGIN) -> None:
        super().__init__(accounts={login: PASSWORD})
        self.clock, self.login = clock, login
        self.refusals: list[str] = []

    def take_fault(self, at: str, text: str, octets: int = 0) -> Fault | None:
        fault = super().take_fault(at, text, octets)
        reply = "" if fault else self.judge(at, text)
        if not reply:
            return fault
        self.refusals.append(reply)
        return Fault(at, reply, close=reply.startswith("421"))

    @abstractmethod
    def judge(self, at: str, text: str) -> str: ...

    def is_other(self, text: str) -> bool:
        """Whether MAIL names another sender than the login."""
        return self.login not in text


class NetEase(Rehearsal):
    """网易企业邮箱: by address and connection, by login in 15 minutes and in a day, by mail, by content."""

    def __init__(
        self, clock, login=LOGIN, *, quarter_hour=NO_LIMIT, day=NO_LIMIT, per_mail=NO_LIMIT, connections=NO_LIMIT
    ) -> None:
        super().__init__(clock, login)
        self.day, self.per_mail, self.connections, self.quarter_hour = day, per_mail, connections, quarter_hour
        self._mails = Counted(clock, 900.0)
        self._today = ("", 0)
        self._recipients = 0

    def judge(self, at: str, text: str) -> str:
        if at == "CONNECT" and self.connections < 1:
            return "421 HL:ICC 163 smtp8,DtGowAD 1 mail1"
        if at == "MAIL":
            return self._mail(text)
        if at == "RCPT":
            return self._recipient()
        return "554 DT:SPM 163 smtp11,EcCowAB 3" if at == "DOT" and "spam" in text else ""

    def _mail(self, text: str) -> str:
        self._recipients = 0
        if self.is_other(text):
            return "553 Mail from must equal authorized user"
        return "451 MI:SFQ 163 smtp9,DNGowKB 1234" if self._mails.is_over(self.quarter_hour) else ""

    def _recipient(self) -> str:
        today = datetime.fromtimestamp(self.clock(), UTC).astimezone(BEIJING).date().isoformat()
        sent = self._today[1] if self._today[0] == today else 0
        if sent >= self.day:
            return "550 RP:TRC 163 smtp12,D8CowAC 5"
        if self._recipients >= self.per_mail:
            return "550 RP:RCL 163 smtp13,E8CowAD 6"
        self._today, self._recipients = (today, sent + 1), self._recipients + 1
        return ""


class Tencent(Rehearsal):
    """腾讯企业邮箱: the login alone may send, and so many mails an hour, dressed as 550."""

    def __init__(self, clock, *, hour=NO_LIMIT) -> None:
        super().__init__(clock)
        self.hour = hour
        self._mails = Counted(clock, 3600.0)

    def judge(self, at: str, text: str) -> str:
        if at == "MAIL" and self.is_other(text):
            return "501 mail from address must be same as authorization user"
        if at == "MAIL" and self._mails.is_over(self.hour):
            return "550 Sender frequency limited. http://service.exmail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000723"
        return ""


class QQ(Rehearsal):
    """Recipients at qq.com: too much for one of them within the hour, dressed as 550; and content."""

    def __init__(self, clock, *, hour=NO_LIMIT) -> None:
        super().__init__(clock)
        self.hour = hour
        self._recipients = Counted(clock, 3600.0)

    def judge(self, at: str, text: str) -> str:
        if at == "RCPT" and "nobody" in text:
            return "550 Mailbox not found. http://service.exmail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000728"
        if at == "RCPT" and "@qq.com" in text and self._recipients.is_over(self.hour):
            return "550 Mailbox unavailable or access denied"
        return "550 Mail content denied. http://service.mail.qq.com/?no=1000726" if at == "DOT" and "spam" in text else ""


class SES(Rehearsal):
    """Amazon SES: recipients a second and a day of the whole account, senders that were not verified, a paused account."""

    def __init__(self, clock, *, second=NO_LIMIT, day=NO_LIMIT) -> None:
        super().__init__(clock)
        self.second, self.day, self.is_paused = second, day, False
        self._second, self._day = Counted(clock, 1.0), Counted(clock, 86400.0)

    def judge(self, at: str, text: str) -> str:
        if at != "DOT":
            return ""
        if self.is_paused:
            return "554 Message rejected: Sending paused for this account. For more information, please check the inbox"
        if "unverified@" in text:
            return "554 Message rejected: Email address is not verified. The following identities failed the check"
        if self._day.is_over(self.day):
            return "454 Throttling failure: Daily message quota exceeded."
        return "454 Throttling failure: Maximum sending rate exceeded." if self._second.is_over(self.second) else ""
