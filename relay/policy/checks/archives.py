"""Files that hold others: what the directory of an archive names, what a password locks, macros in office documents."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from relay.mail.parts.archives import Archive, is_archive_name
from relay.mail.words.folding import as_seen
from relay.policy.cases.case import Case
from relay.policy.checks.attachments import Extensions, spot_of
from relay.policy.rules.expression import extension
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting

Fault = Literal["locked", "nested", "unreadable"]
_SAID = {
    "locked": "locked by a password",
    "nested": "an archive in an archive",
    "unreadable": "an archive that cannot be looked into",
}


class Archives(RuleTable):
    """Parameters of archives."""

    extensions: Annotated[Extensions, Field(description="What no archive may hold / 压缩包中不得含有的扩展名")] = ()
    faults: Annotated[
        tuple[Fault, ...],
        Field(
            strict=False,
            description="locked: by a password; nested: an archive inside; unreadable: the names inside cannot be read"
            " / locked：有密码；nested：包中有包；unreadable：无法读取包内文件名",
        ),
    ] = ()

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        if not self.extensions and not self.faults:
            raise ValueError("write extensions or faults / 请填写 extensions 或 faults")
        return self


def ask(case: Case, setting: Setting, parameters: Archives) -> Finding | None:
    """Object to the first attachment that holds what is listed, and to parts that cannot be read."""
    message = case.message
    if message is None:
        return None
    for enclosed in message.archives:
        if found := _first_fault(enclosed.archive, parameters):
            return Finding(found, spots=(spot_of(enclosed.attachment),))
    return None if message.structure.is_complete else UNREAD_PARTS


def _first_fault(archive: Archive, parameters: Archives) -> str:
    names = [as_seen(name) for name in archive.names]
    held = next((found for name in names if (found := extension(name)) in parameters.extensions), "")
    if held:
        return f".{held} in an archive"
    has = {"locked": archive.is_locked, "nested": any(map(is_archive_name, names)), "unreadable": not archive.is_readable}
    return next((_SAID[fault] for fault in parameters.faults if has[fault]), "")


def ask_macros(case: Case, setting: Setting, parameters: RuleTable) -> Finding | None:
    """Object to the first document that brings macros; one that cannot be looked into is the matter of `archives`."""
    message = case.message
    if message is None:
        return None
    for enclosed in message.archives:
        if enclosed.archive.has_macros:
            return Finding(f".{extension(as_seen(enclosed.attachment.filename))}", spots=(spot_of(enclosed.attachment),))
    return None if message.structure.is_complete else UNREAD_PARTS


ARCHIVES = Check(
    name="archives",
    summary="An attached archive holds a file with one of `extensions`, or has one of `faults`: `locked` (by a password; office"
    " documents of today too), `nested` (an archive inside), `unreadable` (the names inside cannot be read: every archive but"
    " ZIP, and a ZIP behind something else), or parts cannot be read. Nothing is unpacked: the directory of a ZIP is read",
    summary_zh="附件压缩包含有 `extensions` 所列扩展名的文件，或有 `faults` 所列情形：`locked`（有密码，含加密的新格式文档）、"
    "`nested`（包中有包）、`unreadable`（无法读取文件名：ZIP 以外的格式，以及前面另有内容的 ZIP），"
    "或邮件结构无法完整读取。不解压，只读取 ZIP 的目录",
    parameters=Archives,
    ask=ask,
    reads=("message.archives", "message.parts_complete"),
    inspects=True,
    text="An attached archive holds what is not sent, or hides what it holds",
    text_zh="压缩包含有不允许发送的文件，或无法看到其中内容",
    fix="Send the files themselves, or put them on a download page and send the link",
    fix_zh="请直接发送其中的文件，或将文件放到下载页面后发送链接",
)

MACROS = Check(
    name="macros",
    summary="An attached office document has macros (Word, Excel, PowerPoint of today and of 97, OpenDocument), or parts cannot"
    " be read",
    summary_zh="附件中的办公文档含有宏（新旧格式的 Word、Excel、PowerPoint，以及 OpenDocument），或邮件结构无法完整读取",
    parameters=RuleTable,
    ask=ask_macros,
    reads=("message.archives", "message.parts_complete"),
    inspects=True,
    text="An attached document has macros",
    text_zh="附件文档含有宏",
    fix="Save the document without macros, or send it as PDF",
    fix_zh="请另存为不含宏的文档，或改为 PDF",
)
