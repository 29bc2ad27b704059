"""A tiny real DNS server on 127.0.0.1: TXT records from a table, NXDOMAIN for everything else.

with DnsServer({"example.com": ["v=spf1 -all"]}) as dns:
    ...                                     # ask dns.address; dns.asked lists the names, in order
"""

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer:
    """`silent` takes every question and answers none; `records` may be changed while it runs."""

    def __init__(self, records, *, silent=False):
        self.records = {name.lower().rstrip("."): texts for name, texts in records.items()}
        self.silent = silent
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
            if not self.silent:
                self._socket.sendto(self._answer(question, name).to_wire(), client)

    def _answer(self, question, name):
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        texts = self.records.get(self.asked[-1])
        if texts is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.question[0].rdtype == dns.rdatatype.TXT:
            for text in texts:
                strings = " ".join(f'"{text[i : i + 255]}"' for i in range(0, len(text), 255))
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", strings))
        return answer
