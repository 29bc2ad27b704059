"""`relay init`: ten questions, then a configuration, policies and keys that work, and three cards that say what is left."""

import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from relay.cli.init.answers import NONE, QUESTIONS, AnswerError, Answers, Question, read_answers, read_imap
from relay.cli.init.cards import cards, certificate_remedy
from relay.cli.init.files import Plan, in_the_way, plan, write
from relay.cli.output import CONFIGURATION, FINDINGS, fail, option, say, text

_CONFIG = Path("config.toml")


@click.command("init")
@click.option(
    "--answers",
    "answers_file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Read the answers from this TOML file / 从文件读取答案",
)
@click.option("--private-ca", is_flag=True, help="Make a CA and a certificate for the listener / 自建证书颁发机构和证书")
@click.option("--keep-password", is_flag=True, help="Ask for the account's password and keep it, for reports / 保存账号授权码")
def init(answers_file: Path | None, private_ca: bool, keep_password: bool) -> None:
    """Write config.toml, policies and keys into this folder (--config elsewhere) / 生成配置、策略与密钥."""
    config_path = Path(option("config") or _CONFIG)
    answers = read_answers(answers_file) if answers_file else _ask_mailbox(_ask())
    if answers.password is None and (keep_password or answers.wants_mailbox):
        answers = replace(answers, password=_ask_password(answers, optional=not keep_password))
    now = datetime.fromtimestamp(time.time(), UTC)
    planned = plan(answers, config_path, date.today(), now, private_ca=private_ca)  # noqa: DTZ011 - a date for people
    _require_room(planned)
    try:
        write(planned)
    except OSError as error:
        fail(
            CONFIGURATION,
            f"无法写入 {error.filename}：{error.strerror}；什么都没有保留。",
            f"{error.filename} cannot be written: {error.strerror}; nothing was kept.",
        )
    _report(answers, planned, private_ca=private_ca)


def _ask() -> Answers:
    say(
        "十个问题。直接回车采用方括号中的默认值；以后都能在文件中修改。\n",
        "Ten questions. Enter takes the value in brackets; everything can be changed in the files later.\n",
    )
    known: dict[str, Any] = {}
    for number, question in enumerate(QUESTIONS, 1):
        known |= _ask_one(number, question, known)
    return Answers(**known)


def _ask_one(number: int, question: Question, known: dict[str, Any]) -> dict[str, Any]:
    """Ask until the answer can be used."""
    while True:
        given = click.prompt(f"{number}. {text(question.zh, question.en)}", default=question.default(known) or None)
        try:
            return question.read(str(given).strip(), known)
        except AnswerError as fault:
            say(f"   {fault.zh}", f"   {fault.en}")


def _ask_mailbox(answers: Answers) -> Answers:
    """Without a public address people unsubscribe by mail: ask where it arrives, if the provider's profile does not say."""
    if answers.public_url or answers.imap or answers.login != answers.account:
        return answers
    asked = text(
        f"没有公网网址，收件人只能用邮件退订。{answers.account} 的 IMAP 服务器（主机:端口），没有则填 none",
        f"Without a public address people unsubscribe by mail. IMAP server of {answers.account} (HOST:PORT), or none",
    )
    while True:
        try:
            return replace(answers, imap_server=read_imap(str(click.prompt(asked, default=NONE))))
        except AnswerError as fault:
            say(f"   {fault.zh}", f"   {fault.en}")


def _ask_password(answers: Answers, *, optional: bool) -> str:
    """Ask without echo; where it is optional, nothing typed means that the relay shall read no mailbox."""
    if answers.wants_mailbox:
        say(
            f"没有公网网址，收件人用邮件退订，由中继读取 {answers.account} 的邮箱（{answers.imap}）。\n"
            "请在网页邮箱的设置中开启 IMAP，并生成客户端授权码。"
            + ("现在没有就直接回车，退订邮件由人处理。" if optional else ""),
            f"Without a public address people unsubscribe by mail, and the relay reads the mailbox of {answers.account}"
            f" ({answers.imap}).\nSwitch IMAP on in the web mailbox's settings and make a 授权码 (client password) there."
            + (" Enter leaves it out: people handle such mails then." if optional else ""),
        )
    try:
        prompt = text("账号的授权码（不显示）", "The account's password (not shown)")
        return str(click.prompt(prompt, hide_input=True, default="" if optional else None, show_default=False))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        fail(
            CONFIGURATION,
            '没有终端可以询问授权码：请在答案文件中写 password = "授权码"；写 password = "" 表示中继不读取邮箱。什么都没有写入。',
            'There is no terminal to ask for the password: write password = "..." into the file of answers,'
            ' or password = "" if the relay shall read no mailbox. Nothing was written.',
        )


def _require_room(planned: Plan) -> None:
    there = in_the_way(planned)
    if not there:
        return
    listed = "\n".join(f"  {path}" for path in there)
    fail(
        FINDINGS,
        f"以下文件已存在，不会覆盖，什么都没有写入：\n{listed}\n"
        "要改某一项，请直接编辑文件；要重新开始，请在空目录中运行，或先把它们移走并保留备份（密钥丢失后，退订链接即失效）。",
        f"These files are there already; none is overwritten, nothing was written:\n{listed}\n"
        "To change an answer, edit the file. To start anew, run this in an empty folder, or move them away and keep them:"
        " without the old keys, unsubscribe links in sent mails stop working.",
    )


def _report(answers: Answers, planned: Plan, *, private_ca: bool) -> None:
    say("\n已写入：", "\nWritten:")
    for made in planned.files:
        click.echo(f"  {made.path}")
    click.echo(f"\n{cards(answers, planned, private_ca=private_ca)}")
    if not private_ca:
        click.echo(certificate_remedy())
    say(
        "policies/ 中的 .example 文件是员工通信和服务邮件的示例：去掉后缀、填写账号，并把名称加入 organisation.toml 的 streams\n"
        "不在中国的单位：请修改 organisation.toml 中的 country 和 time_zone。\n"
        "下一步：relay check，然后 relay serve。",
        "The .example files in policies/ are for staff mail and service mail: drop the suffix, write the accounts, and add the\n"
        "name to streams in organisation.toml. Outside China, change country and time_zone in that file.\n"
        "Next: relay check, then relay serve.",
    )
