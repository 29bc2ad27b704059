"""`relay init`: nine questions, then a configuration, policies and keys that work, and three cards that say what is left."""

import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from relay.cli.init.answers import QUESTIONS, AnswerError, Answers, Question, read_answers
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
    answers = read_answers(answers_file) if answers_file else _ask()
    if keep_password and not answers.password:
        answers = replace(
            answers, password=click.prompt(text("账号的授权码（不显示）", "The account's password"), hide_input=True)
        )
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
        "九个问题。直接回车采用方括号中的默认值；以后都能在文件中修改。\n",
        "Nine questions. Enter takes the value in brackets; everything can be changed in the files later.\n",
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
