"""The session that a client would have, for the commands that judge a message without sending it."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from relay.cli.opening import refuse_foreign_root
from relay.cli.output import FINDINGS, UNREACHABLE, USAGE, fail
from relay.config import Config, Listen
from relay.doors.identities import identity_of_listener, identity_of_login
from relay.doors.users import load_users
from relay.errors import RuleFailed
from relay.ids import new_id
from relay.logins import fold_login
from relay.mail import replies
from relay.mail.envelope import Client, Credentials, Identity, IdentityKind, Recipient, Submission
from relay.mail.mailbox import Mailbox, MailboxError
from relay.mail.message import Message, MessageError
from relay.pipeline import Line
from relay.records.wording import own_rule_texts
from relay.stores.opening import STORE_NAME

RECORDS = "records.db"


class Session(NamedTuple):
    """What the command line says of the session that would hand the message in."""

    identity: str | None = None
    listener: str | None = None
    reverse_path: str | None = None
    recipients: Sequence[str] = ()


def require_used(config: Config) -> None:
    """An explanation makes nothing: no keys, no store, no records."""
    refuse_foreign_root(config.data_path)
    wanted = (config.keys_path, config.data_path / STORE_NAME, config.data_path / RECORDS)
    if missing := [path for path in wanted if not path.exists()]:
        fail(
            UNREACHABLE,
            f"{missing[0]} 不存在：中继还没有在这里运行过，请先启动服务",
            f"{missing[0]} does not exist: the relay has never run here, start it first",
        )


def read_message(line: Line, path: Path, largest: int) -> Message:
    """The message in the file; ends with the door's own verdict when it is over a bound or cannot be read as one."""
    try:
        return line.reader.parse_file(path, largest)
    except MessageError as fault:
        reply = replies.refused(fault.rule, fault.text, detail=fault.detail)
        (said, fix) = own_rule_texts(fault.rule, fault.text, fault.bound)
        fail(FINDINGS, f"{path}：{reply}\n  {said['zh']}\n  → {fix['zh']}", f"{path}: {reply}\n  → {fix['en']}")
    except OSError as fault:
        fail(USAGE, f"{path}：无法读取：{fault.strerror}", f"{path}: cannot be read: {fault.strerror}")


def end_with_failed_rule(fault: RuleFailed) -> NoReturn:
    """Say what the line keeps to itself: why, in the words of whatever the rule raised."""
    reply, why = replies.POLICY_UNUSABLE, f"{type(fault.__cause__).__name__}: {fault.__cause__}"
    fail(
        FINDINGS,
        f"规则 {fault.rule} 无法求值：{why}\n  {reply}\n  → 请修改该规则，使其适用于每一封邮件",
        f"{fault}: {why}\n  {reply}\n  → Correct the rule so that it works on every mail",
    )


def submission_of(config: Config, message: Message, session: Session, mailboxes: Iterable[Mailbox] | None = None) -> Submission:
    """The submission that a client would make of this file, with what the command line says otherwise.

    To these mailboxes; None: to those of the session, else to everybody in To and Cc.
    """
    author = message.authors[0] if message.authors else None
    sender = mailbox_of(session.reverse_path) if session.reverse_path else author
    if sender is None:
        fail(USAGE, "邮件没有可读的 From，请用 --from 指定", "the message has no readable From: give --from")
    recipients: dict[str, Recipient] = {}
    for mailbox in _asked_for(message, session) if mailboxes is None else mailboxes:
        recipients.setdefault(mailbox.key, Recipient(mailbox))  # as the door does: a repeated one counts once
    listen = _listen(config, session.listener)
    identity = _identity(config, listen, session.identity or sender.wire)
    protocol = "ESMTPS" if identity.kind is IdentityKind.TRUSTED else "ESMTPSA"
    client = Client(listen.name, "127.0.0.1", "explain", None, protocol)
    now = time.time()
    return Submission(new_id(now, os.urandom(10)), now, client, identity, sender, "", "", tuple(recipients.values()))


def _asked_for(message: Message, session: Session) -> list[Mailbox]:
    asked = [mailbox_of(one) for one in session.recipients] if session.recipients else list(message.addressee_list)
    if not asked:
        fail(USAGE, "邮件没有收件人，请用 --to 指定", "the message has no recipients: give --to")
    return asked


def _listen(config: Config, name: str | None) -> Listen:
    found = next((listen for listen in config.listen if name in (None, listen.name)), None)
    if found is None:
        fail(USAGE, f"没有名为 {name} 的 [[listen]]", f"there is no [[listen]] named {name}")
    return found


def _identity(config: Config, listen: Listen, login: str) -> Identity:
    """Whom the door would take this login for, its password being right."""
    if listen.auth == "none":
        return identity_of_listener(config, listen)
    if config.auth.mode == "users":
        user = load_users(config.path(config.auth.users_file)).get(fold_login(login))
        if user is None:
            fail(USAGE, f"没有用户 {login}，请用 --identity 指定", f"there is no user {login}: give --identity")
        return Identity(user.name, IdentityKind.USER, user.owns)
    return identity_of_login(config, fold_login(login), config.upstream_named(listen.upstream).name, Credentials(login, ""))


def mailbox_of(address: str) -> Mailbox:
    try:
        return Mailbox.parse(address)
    except MailboxError as fault:
        fail(USAGE, f"“{address}”不是有效的邮箱地址", f'"{address}": {fault}')
