"""A tiny real DNS server on 127.0.0.1: records from tables, NXDOMAIN for everything else.

with DnsServer({"example.com": ["v=spf1 -all"]}, mail={"example.org": ["MX 10 mx.example.org."]}) as dns:
    ...                                     # ask dns.address; dns.asked lists the names, in order
"""

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SERVFAIL, SILENCE = ["SERVFAIL"], ["SILENCE"]
"""In `mail`, of names of which the server knows nothing and says so, or says nothing."""


class DnsServer:
    """`records` are TXT, `mail` records of any type as "TYPE data"; a CNAME is followed. All may be changed while it runs.

    `silent` takes every question and answers none.  `ttl` is that of all records, and of what is not there.
    """

    def __init__(self, records, *, mail=None, silent=False, ttl=60):
        self.records = {name.lower().rstrip("."): texts for name, texts in records.items()}
        self.mail: dict[str, list[str]] = dict(mail or {})
        self.silent = silent
        self.ttl = ttl
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(10)
        self._socket.close()

    def _serve(self):
        while True:
            octets, client = self._socket.recvfrom(4096)
            if not octets:
                return
            question = dns.message.from_wire(octets)
            name = question.question[0].name
            self.asked.append(name.to_text(omit_final_dot=True).lower())
            if not self.silent and self.mail.get(self.asked[-1]) != SILENCE:
                self._socket.sendto(self._answer(question, name).to_wire(), client)

    def _answer(self, question, name):
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        kind = question.question[0].rdtype
        texts, other = self.records.get(self.asked[-1]), self.mail.get(self.asked[-1])
        if other == SERVFAIL:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif texts is None and other is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif kind == dns.rdatatype.TXT:
            for text in texts or ():
                strings = " ".join(f'"{text[i : i + 255]}"' for i in range(0, len(text), 255))
                answer.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "TXT", strings))
        else:
            self._add(answer, name.to_text(), dns.rdatatype.to_text(kind))
        if not answer.answer and answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            soa = f"ns.invalid. host.invalid. 1 3600 600 86400 {self.ttl}"  # RFC 2308: the last is of what is not there
            answer.authority.append(dns.rrset.from_text(name.parent(), self.ttl, "IN", "SOA", soa))
        return answer

    def _add(self, answer, name, kind):
        """Records of this kind, behind every CNAME on the way."""
        for record in self.mail.get(name.lower().rstrip("."), ()):
            type_, _, data = record.partition(" ")
            if type_ == "CNAME":
                answer.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "CNAME", data))
                if data.rstrip(".") in self.mail:
                    self._add(answer, data, kind)
                else:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
            elif type_ == kind:
                answer.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, data))
