"""An upstream that behaves like NetEase enterprise mail, as far as its help pages and replies tell."""

import re
from email import message_from_bytes
from email.utils import parseaddr

from tests.support.upstream import Fault, RecordingUpstream

TEXTS = {
    "CONNECT": "220 qiye.163.com Anti-spam GT for Coremail System (qiye163)",
    "AUTH": "235 Authentication successful",
    "MAIL": "250 Mail OK",
    "RCPT": "250 Mail OK",
    "DATA": "354 End data with <CR><LF>.<CR><LF>",
    "DOT": "250 Mail OK queued as smtp2,DNGowKB, 1795000000",
    "QUIT": "221 Bye",
}


class NetEase(RecordingUpstream):
    """MAIL FROM and From must be the login, a null reverse-path is refused, every text is its own. One session at a time."""

    def __init__(self, login: str, password: str):
        super().__init__(tls="implicit", accounts={login: password}, extensions=("PIPELINING", "ID", "8BITMIME"))
        self.login = login

    def take_fault(self, at: str, text: str, octets: int = 0) -> Fault | None:
        """What a test asked for, else what NetEase says."""
        if fault := super().take_fault(at, text, octets):
            return fault
        if at == "AUTH" and not self.auth_attempts[-1][1]:
            return Fault(at, "535 Error: authentication failed")
        if at == "MAIL" and (refusal := self._refused_sender(text)):
            return Fault(at, refusal)
        if at == "DOT" and parseaddr(message_from_bytes(text.encode("latin-1")).get("From", ""))[1] != self.login:
            return Fault(at, "554 DT:SUM qiye smtp2,DNGowKB, please see http://mail.163.com/help/help_spam_16.htm")
        return Fault(at, TEXTS[at]) if at in TEXTS else None

    def _refused_sender(self, line: str) -> str:
        reverse_path = re.match(r"MAIL FROM:<([^>]*)>", line, re.IGNORECASE)
        if reverse_path is None or not reverse_path[1]:
            return "550 NULL sender is not allowed"
        return "" if reverse_path[1] == self.login else "553 Mail from must equal authorized user"
