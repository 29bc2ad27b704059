"""Messages of many MIME shapes, the same at every run: charsets, transfer encodings, nesting, and HTML as people write it."""

import binascii
import random
from base64 import b64encode
from collections.abc import Iterator

_TEXTS = {
    "utf-8": "你好，世界。\nSecond line — naïve 봄\n",
    "gb18030": "您好，这是第一行。\n第二行，价格￥12\n",
    "gbk": "您好，镕基路 3 号\n",
    "gb2312": "您好，世界\n再见\n",
    "big5": "您好，世界\n繁體\n",
    "iso-2022-jp": "こんにちは、世界\n終わり\n",
    "shift_jis": "こんにちは、表示\n",
    "euc-kr": "안녕하세요\n봄\n",
    "iso-8859-1": "Grüße aus Köln\n",
    "windows-1252": "Grüße – “quoted”\n",
    "us-ascii": "Hello world\nSecond line\n",
    "": "Hello world\n",
}
_HTML = (
    "<html><head><title>t</title><style>div{{color:red}}</style></head><body><p>{0}</p></body></html>\n",
    "<!DOCTYPE html>\n<HTML><BODY bgcolor=white><table><tr><td>{0}</td></tr></table></BODY ></HTML>",
    "<p>{0}<br>no body at all",
    "<body><p>{0}</p><!-- </body> --></body><!-- end --></html>\n<!-- tail -->\n",
    "<html><body><!--[if mso]><style>a{{}}</style></body><![endif]--><div>{0}</div></body></html>",
    "<html><body><div style='background:#000;color:#fff'>{0}<p>open paragraph",
    "<html><body><p>{0} 5 < 6 & 7 &gt; 3</p>\n</body>\n</html>\n\n\n",
    "<html><body><p title='a > b </body>'>{0}</p>" + "<p>" + "long " * 400 + "</p></body></html>",
    "<html><body>{0}<script>var s = '</body>';</script></body></html>",
)
_ATTACHMENT = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
_TREES = (
    "text", "html", "alternative", "mixed-text", "mixed-html", "mixed-alternative", "related", "alternative-related",
    "mixed-deep", "forwarded", "two-texts", "unclosed", "preamble", "image-first",
)  # fmt: skip


def shapes(count: int, seed: int = 2026) -> Iterator[tuple[str, bytes]]:
    """So many messages, each with a name that says what it is."""
    for number in range(count):
        dice = random.Random(f"{seed}/{number}")
        yield _message(dice, _TREES[number % len(_TREES)])


class _Maker:
    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.said: list[str] = []

    def leaf(self, kind: str) -> bytes:
        charset = self.dice.choice(list(_TEXTS))
        words = _TEXTS[charset] * self.dice.randint(1, 6)
        words = words if self.dice.random() < 0.7 else words.rstrip("\n")
        text = self.dice.choice(_HTML).format(words) if kind == "html" else words
        octets = text.encode(charset or "ascii")
        encoding = self._encoding(octets)
        name = f"; charset={charset}" if charset else ""
        self.said.append(f"{kind} {charset or 'none'} {encoding}")
        fields = f"Content-Type: text/{'html' if kind == 'html' else 'plain'}{name}\r\n"
        fields += f"Content-Transfer-Encoding: {encoding}\r\n" if encoding != "7bit" or self.dice.random() < 0.5 else ""
        return fields.encode() + b"\r\n" + self._encoded(octets, encoding)

    def _encoding(self, octets: bytes) -> str:
        usual = ["8bit", "quoted-printable", "base64", "base64", "quoted-printable"]
        return self.dice.choice([*usual, "7bit", "7bit"] if octets.isascii() else usual)

    def _encoded(self, octets: bytes, encoding: str) -> bytes:
        canonical = octets.replace(b"\n", b"\r\n")
        if encoding == "quoted-printable":
            return binascii.b2a_qp(canonical)
        if encoding != "base64":
            return canonical
        width = self.dice.choice([76, 76, 76, 60, 64, 72])
        whole = b64encode(canonical if self.dice.random() < 0.7 else octets)
        lines = b"\r\n".join(whole[i : i + width] for i in range(0, len(whole), width))
        return lines + (b"\r\n" if self.dice.random() < 0.5 else b"")

    def many(self, kind: str, *parts: bytes, closed: bool = True, preamble: bytes = b"", more: str = "") -> bytes:
        boundary = f"=_b{self.dice.randrange(10**9)}"
        head = f'Content-Type: multipart/{kind}; boundary="{boundary}"{more}\r\n\r\n'.encode() + preamble
        delimiter = b"--" + boundary.encode()
        inner = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts)
        return head + inner + (delimiter + b"--\r\n" if closed else b"")

    def file(self) -> bytes:
        octets = b64encode(self.dice.randbytes(self.dice.randint(1, 300)))
        return _ATTACHMENT + b"Content-Transfer-Encoding: base64\r\n\r\n" + octets

    def image(self) -> bytes:
        return b"Content-Type: image/png\r\nContent-ID: <i@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo="


def _message(dice: random.Random, tree: str) -> tuple[str, bytes]:
    make = _Maker(dice)
    body = _TREE_MAKERS[tree](make)
    head = b"From: Ada <ada@example.com>\r\nTo: bob@example.net\r\nSubject: shape\r\nMIME-Version: 1.0\r\n"
    return f"{tree}: {', '.join(make.said)}", head + body


def _alternative(make: _Maker) -> bytes:
    return make.many("alternative", make.leaf("text"), make.leaf("html"))


def _related(make: _Maker) -> bytes:
    return make.many("related", make.leaf("html"), make.image(), more="; type=text/html")


_TREE_MAKERS = {
    "text": lambda make: make.leaf("text"),
    "html": lambda make: make.leaf("html"),
    "alternative": _alternative,
    "mixed-text": lambda make: make.many("mixed", make.leaf("text"), make.file()),
    "mixed-html": lambda make: make.many("mixed", make.leaf("html"), make.file(), make.file()),
    "mixed-alternative": lambda make: make.many("mixed", _alternative(make), make.file()),
    "related": _related,
    "alternative-related": lambda make: make.many("alternative", make.leaf("text"), _related(make)),
    "mixed-deep": lambda make: make.many("mixed", make.many("mixed", _alternative(make), make.file()), make.file()),
    "forwarded": lambda make: make.many(
        "mixed", make.leaf("text"), b"Content-Type: message/rfc822\r\n\r\nFrom: x@example.org\r\nSubject: old\r\n\r\nold text"
    ),
    "two-texts": lambda make: make.many("mixed", make.leaf("text"), make.leaf("html")),
    "unclosed": lambda make: make.many("alternative", make.leaf("text"), make.leaf("html"), closed=False),
    "preamble": lambda make: make.many("mixed", make.leaf("html"), preamble=b"This is MIME.\r\n") + b"epilogue\r\n",
    "image-first": lambda make: make.many("mixed", make.image(), make.leaf("text")),
}
