"""The ten questions of `relay init`: asked of a person one by one, or read from a file.

Each answer is validated at once, by the code that will read it later, and a
wrong one is answered with what to write instead.
"""

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from relay.config import Unsubscribe
from relay.errors import ConfigurationError
from relay.hosts import split_host_port
from relay.mail.mailbox import Mailbox, MailboxError, a_label
from relay.toml import parse_toml
from relay.upstream.profile import GENERIC, Profile, load_profiles

NONE = "none"
_NONE = (NONE, "无", "没有")
NO = "no"
_YES_OR_NO = {"yes": True, "y": True, "是": True, NO: False, "n": False, "否": False}
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})")
_LOCAL = re.compile(r"(127\.\d+\.\d+\.\d+|localhost|\[::1\])")


class AnswerError(ValueError):
    """The answer cannot be used; both texts say what to write instead."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{en} / {zh}")
        self.zh, self.en = zh, en


class Both(NamedTuple):
    """The same in Chinese and English."""

    zh: str
    en: str


@dataclass(frozen=True)
class Answers:
    """Everything that the files are made from."""

    profile: Profile
    upstream: tuple[str, ...]
    domain: str
    account: str
    login: str
    legal_name: Both
    postal_address: Both
    privacy_url: str
    refusal_mailbox: str
    listener: str
    public_url: str
    seals_passwords: bool = False  # while mail of a client waits
    password: str | None = None  # None: nobody was asked yet; "": the relay gets none
    ca_file: str = ""
    imap_server: str = ""  # where the provider's profile names none, or another one

    @property
    def host(self) -> str:
        """What mail clients type as the outgoing server."""
        return split_host_port(self.listener)[0]

    @property
    def port(self) -> int:
        return split_host_port(self.listener)[1]

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can reach the listener."""
        return _LOCAL.match(self.listener) is not None

    @property
    def imap(self) -> str:
        """Where the account's mailbox is read, "" when it is not known, or the login is no mailbox."""
        return (self.imap_server or self.profile.imap) if self.login == self.account else ""

    @property
    def wants_mailbox(self) -> bool:
        """Whether people can unsubscribe by mail only, so that the relay should read the account's mailbox."""
        return not self.public_url and bool(self.imap)

    @property
    def reads_mailbox(self) -> bool:
        return self.wants_mailbox and bool(self.password)


@dataclass(frozen=True)
class Question:
    """One question; `read` returns the fields of `Answers` that the answer gives, or raises AnswerError."""

    key: str
    zh: str
    en: str
    read: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    default: Callable[[Mapping[str, Any]], str] = lambda _: ""


# How each answer is read ---------------------------------------------------------------------------------------------


def _provider(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    profiles = load_profiles()
    name, _, address = text.partition(" ")
    if _HOST_PORT.fullmatch(name):
        name, address = GENERIC, text
    profile, address = profiles.get(name.lower()), address.strip()
    if profile is None:
        raise AnswerError(
            f"没有名为“{name}”的服务商；请填写 {'、'.join(profiles)} 之一，或“主机:端口”",
            f'there is no provider "{name}": write one of {", ".join(profiles)}, or HOST:PORT',
        )
    if address:
        return {"profile": profile, "upstream": (_address(address),)}
    if not profile.addresses:
        raise AnswerError(
            f"{profile.name} 没有固定的服务器，请连同地址填写，如：{profile.name} smtp.example.com:465",
            f'{profile.name} has no one server: write its address too, as in "{profile.name} smtp.example.com:465"',
        )
    return {"profile": profile, "upstream": profile.addresses}


def _domain(text: str, _: Mapping[str, Any]) -> dict[str, Any]:
    try:
        domain = a_label(text.removeprefix("@"))
    except MailboxError:
        domain = ""
    if "." not in domain:
        raise AnswerError(
            f"“{text}”不是域名；请填写发件地址 @ 后面的部分，如 example.cn",
            f'"{text}" is not a domain: write what stands after the @ of your addresses, as in example.com',
        )
    return {"domain": domain}


def _account(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    address, _, login = text.partition(" ")
    mailbox = _mailbox(address)
    if mailbox.domain != known["domain"]:
        raise AnswerError(
            f"{address} 不在域名 {known['domain']} 下；发件地址必须属于用于签名的域名",
            f"{address} is not in {known['domain']}: the sender's address must be in the domain that is signed for",
        )
    return {"account": mailbox.key, "login": login.strip() or mailbox.key}


def _refusal_mailbox(text: str, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"refusal_mailbox": _mailbox(text).key}


def _both(key: str) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    def read(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
        zh, _, en = (part.strip() for part in text.partition("|"))
        if not zh or len(text) > 300 or not text.isprintable():
            raise AnswerError(
                "请填写一行文字，不超过 300 字；中英文都有时用 | 分开：中文 | English",
                "write one line of at most 300 characters; where you have both, put a | between: 中文 | English",
            )
        return {key: Both(zh, en or zh)}

    return read


def _privacy_url(text: str, _: Mapping[str, Any]) -> dict[str, Any]:
    if not re.fullmatch(r"https://[!-~]+\.[!-~]+", text):
        raise AnswerError(
            f"“{text}”不是 https 网址；请填写隐私政策的完整网址，如 https://www.example.cn/privacy",
            f'"{text}" is not an https address: write the whole one of your privacy notice, as in https://www.example.com/privacy',
        )
    return {"privacy_url": text}


def _listener(text: str, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"listener": _address(text)}


def _public_url(text: str, _: Mapping[str, Any]) -> dict[str, Any]:
    if text.lower() in _NONE:
        return {"public_url": ""}
    try:
        return {"public_url": Unsubscribe(base_url=text).base_url}
    except ValueError:
        raise AnswerError(
            f"“{text}”不能用；请填写 https 网址（不超过 100 个字符，不含空格），没有就填 none",
            f'"{text}" cannot be used: write an https address of at most 100 characters without blanks, or none',
        ) from None


def _held_passwords(text: str, _: Mapping[str, Any]) -> dict[str, Any]:
    if (answer := _YES_OR_NO.get(text.lower())) is None:
        raise AnswerError(f"“{text}”不是回答；请填写 yes（是）或 no（否）", f'"{text}" is no answer: write yes or no')
    return {"seals_passwords": answer}


def _address(text: str) -> str:
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65536:
        raise AnswerError(
            f"“{text}”不是“主机:端口”；例如 relay.example.cn:465 或 192.168.1.10:465",
            f'"{text}" is not HOST:PORT, as in relay.example.com:465 or 192.168.1.10:465',
        )
    return text


def _mailbox(text: str) -> Mailbox:
    try:
        return Mailbox.parse(text)
    except MailboxError as error:
        raise AnswerError(
            f"“{text}”不是邮箱地址；请填写完整地址，如 news@example.cn", f'"{text}": {error}; write one as in news@example.com'
        ) from None


def own_address() -> str:
    """The address of this machine that others in the office most likely reach it by. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


QUESTIONS = (
    Question(
        "provider",
        "邮件服务商（netease 网易、tencent 腾讯、qq、alimail 阿里企业邮箱、directmail 阿里云推送、google、microsoft、yahoo、ses、"
        "sendgrid、mailgun、postmark，或“主机:端口”）",
        "Your mail provider (netease, tencent, qq, alimail, directmail, google, microsoft, yahoo, ses, sendgrid, mailgun,"
        " postmark, or HOST:PORT of any other)",
        _provider,
        lambda _: "netease",
    ),
    Question("domain", "发件域名（发件地址 @ 后面的部分）", "Sending domain (what stands after the @)", _domain),
    Question(
        "account",
        "发送新闻邮件的账号（登录名与地址不同时，后面加空格和登录名）",
        "Account that sends the newsletter (a blank and the login behind it, where the login is not the address)",
        _account,
        lambda known: f"news@{known['domain']}",
    ),
    Question(
        "legal_name",
        "单位全称（营业执照上的名称；有英文名时：中文 | English）",
        "Legal name of the organisation (with a Chinese one: 中文 | English)",
        _both("legal_name"),
    ),
    Question(
        "postal_address",
        "通信地址（有英文地址时：中文 | English）",
        "Postal address (with a Chinese one: 中文 | English)",
        _both("postal_address"),
    ),
    Question(
        "privacy_url",
        "隐私政策的网址",
        "Address of your privacy notice",
        _privacy_url,
        lambda known: f"https://www.{known['domain']}/privacy",
    ),
    Question(
        "refusal_mailbox",
        "接收拒收请求的邮箱（要有人看）",
        "Mailbox for refusals (somebody must read it)",
        _refusal_mailbox,
        lambda known: str(known["account"]),
    ),
    Question(
        "listener",
        "邮件客户端连接本中继用的“主机:端口”",
        "HOST:PORT by which mail clients reach this relay",
        _listener,
        lambda _: f"{own_address()}:465",
    ),
    Question(
        "public_url",
        "收件人从互联网打开退订页的网址，没有则填 none",
        "Address by which recipients reach the unsubscribe page from the internet, or none",
        _public_url,
        lambda _: NONE,
    ),
    Question(
        "held_passwords",
        "服务商限速或故障时，中继可以暂存邮件，稍后代发；可否在此期间密封保存发件人的授权码（最多五天，发完即删）？yes 或 no",
        "While your provider slows down or is out, mail can wait here. May the relay keep its sender's password, sealed,"
        " while it waits (five days at most, deleted with the last mail)? yes or no",
        _held_passwords,
        lambda _: NO,
    ),
)
_FURTHER = ("password", "ca_file", "imap")


def read_answers(path: Path) -> Answers:
    """Read a file of answers: the keys of the ten questions, and `password`, `ca_file` and `imap` where they are wanted.

    What has a default may be left out.  Raises ConfigurationError that lists every fault.
    """
    try:
        given = parse_toml(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    asked = [question.key for question in QUESTIONS]
    faults = [
        f"{path}: {key}: there is no such question; there are {', '.join((*asked, *_FURTHER))} / 没有此项"
        for key in given
        if key not in (*asked, *_FURTHER)
    ]
    faults += [
        f"{path}: {key}: write the answer in quotes / 请写成带引号的文字" for key in given if not isinstance(given[key], str)
    ]
    if faults:
        raise ConfigurationError("\n".join(faults))
    known: dict[str, Any] = {}
    for question in QUESTIONS:
        try:
            known |= question.read(given.get(question.key) or _default(question, known), known)
        except AnswerError as fault:
            faults.append(f"{path}: {question.key}: {fault}")
        except KeyError:
            continue  # the answer that it depends on is wrong, and named
    try:
        imap = read_imap(given.get("imap", NONE))
    except AnswerError as fault:
        faults.append(f"{path}: imap: {fault}")
    if faults:
        raise ConfigurationError("\n".join(faults))
    ca_file = given.get("ca_file", "")
    ca_file = ca_file and str((path.parent / ca_file).resolve())
    return Answers(**known, password=given.get("password"), ca_file=ca_file, imap_server=imap)


def read_imap(text: str) -> str:
    """HOST:PORT of an IMAP server, or "" for none. Raises AnswerError."""
    return "" if text.strip().lower() in _NONE else _address(text.strip())


def _default(question: Question, known: Mapping[str, Any]) -> str:
    if text := question.default(known):
        return text
    raise AnswerError("缺少这一项", "this answer is missing")
