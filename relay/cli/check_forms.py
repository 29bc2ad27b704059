"""`relay check`: can the sign-up forms of config.toml ask anybody to confirm."""

from datetime import datetime, timedelta

from relay.cli.findings import Findings
from relay.config import Config
from relay.errors import RelayError
from relay.linting import lint
from relay.mail.mailbox import Mailbox
from relay.mail.message import Message
from relay.policy.cases.case import Action, Objection
from relay.policy.consents.consent import scope_of
from relay.policy.opting_in.confirming import serving_stream
from relay.policy.opting_in.opt_in import HOLDS_SECONDS, LANGUAGES, SignUp
from relay.policy.sets.parse import parse_policies
from relay.policy.sets.policy_set import PolicySet, Stream
from relay.policy.suppressions.suppression import Purpose, stream_scope
from relay.render.confirmation import Asking, confirmation_mail
from relay.render.request_token import CHARACTERS
from relay.service.policies import countries_of, read_folder
from relay.upstream.profile import load_profiles

_NOBODY = Mailbox.parse("nobody@example.org")


def look(config: Config, findings: Findings) -> None:
    """Add what was found of the forms, where there are any."""
    if not config.form:
        return
    try:
        policy = parse_policies(read_folder(config.policies_path))
    except RelayError:  # said already
        return
    sender = Mailbox.parse(config.consents.sender)
    stream = serving_stream(policy, sender)
    if stream is None:
        findings.wrong(
            f"config.toml [consents]：没有用途为 service 或 notice 的邮件流接收 {sender.wire} 的邮件，无法发送确认邮件："
            "请写入其 match",
            f"config.toml [consents]: no stream of purpose service or notice takes mail of {sender.wire}, so nobody can be"
            " asked to confirm: name it in the match of one",
        )
    elif not _can_leave(config, stream, sender):
        findings.wrong(
            f"config.toml：{sender.wire} 没有 [[account]]，确认邮件发不出去：请添加",
            f"config.toml: there is no [[account]] of {sender.wire}, confirmation mails cannot leave: add one",
        )
    else:
        _mails(config, policy, stream, sender, findings)
    _purposes(config, policy, findings)


def _can_leave(config: Config, stream: Stream, sender: Mailbox) -> bool:
    """Whether an upstream of the stream needs no account, or has one that this sender may use."""
    names = stream.upstream or (config.upstream[0].name,)
    if any(config.upstream_named(name).auth == "none" for name in names):
        return True
    fitting = {sender.key, f"@{sender.domain}"}
    served = {name or config.upstream[0].name for name in names}
    return any(account.upstream in served and account.identity in fitting for account in config.account)


def _mails(config: Config, policy: PolicySet, stream: Stream, sender: Mailbox, findings: Findings) -> None:
    """Write each form's mail as it would be sent, and ask the rules of its stream about it."""
    for form in config.form:
        try:
            objection = _objection(config, policy, stream, sender, form)
        except RelayError as fault:
            findings.raised(fault)
            continue
        if objection is None:
            zh, en = f"登记表单 {form.name}，确认邮件来自", f"sign-up form {form.name}, confirmed by mail of"
            findings.good(f"{zh} {sender.wire}", f"{en} {sender.wire}")
        else:
            place, rule = f"config.toml [[form]] {form.name}", objection.rule
            findings.wrong(
                f"{place}：其确认邮件会被规则 {rule} 拦下：{objection.text_zh}；{objection.fix_zh}",
                f"{place}: the rule {rule} keeps its confirmation mail back: {objection.text}; {objection.fix}",
            )


def _objection(config: Config, policy: PolicySet, stream: Stream, sender: Mailbox, form: SignUp) -> Objection | None:
    """What keeps the mail of a form back."""
    now = datetime.now(policy.zone)
    until, countries = now + timedelta(seconds=HOLDS_SECONDS), countries_of(stream, config, load_profiles())
    link, mail_id = f"{config.unsubscribe.base_url}/u/confirm/{'A' * CHARACTERS}", f"<form@{config.hostname}>"
    asking = Asking(form, policy.organisation, sender, _NOBODY, link, now, until, mail_id)
    for language in LANGUAGES:
        message = Message.parse(confirmation_mail(asking, language))
        for found in lint(policy, stream, message, countries, now):
            if found.objection.action > Action.WARN:
                return found.objection
    return None


def _purposes(config: Config, policy: PolicySet, findings: Findings) -> None:
    scopes = {stream_scope(stream.name) for stream in policy.streams if stream.purpose is Purpose.MARKETING}
    for form in config.form:
        scope = scope_of(form.purpose)
        if scope is not None and scope.startswith("stream:") and scope not in scopes:
            name = scope.partition(":")[2]
            findings.later(
                f"config.toml [[form]] {form.name}：没有名为 {name} 的营销邮件流，这些同意没有用处",
                f"config.toml [[form]] {form.name}: there is no marketing stream {name} that its consents are to",
            )
