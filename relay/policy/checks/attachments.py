"""Attachment types that receivers refuse or that harm them."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from relay.mail.parts.mime import Attachment
from relay.mail.words.folding import as_seen
from relay.policy.cases.case import Case, Spot
from relay.policy.rules.expression import extension
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting


def _one_extension(text: str) -> str:
    folded = text.removeprefix(".").casefold()
    if not folded or "." in folded:
        raise ValueError(f'"{text}" is not one file extension such as "exe" / 不是单个扩展名，如 "exe"')
    return folded


Extensions = Annotated[tuple[Annotated[str, AfterValidator(_one_extension)], ...], Field(strict=False)]


class Attachments(RuleTable):
    """Parameters of attachment-types."""

    extensions: Extensions = ()
    media_types: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z0-9.+-]+/([a-z0-9.+-]+|\*)$")], ...], Field(strict=False)
    ] = ()

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        if not self.extensions and not self.media_types:
            raise ValueError("write extensions or media_types / 请填写 extensions 或 media_types")
        return self


def ask(case: Case, setting: Setting, parameters: Attachments) -> Finding | None:
    """Object to the first attachment of a listed type, and to parts that cannot be read; a mail that is encrypted shows none."""
    message = case.message
    if message is None:
        return None
    for attachment in message.attachments:
        found = extension(as_seen(attachment.filename))  # the name as a computer reads it
        if found in parameters.extensions:
            return Finding(f".{found}", spots=(spot_of(attachment),))
        media_type = attachment.media_type.casefold()
        if media_type in parameters.media_types or f"{media_type.partition('/')[0]}/*" in parameters.media_types:
            return Finding(media_type, spots=(spot_of(attachment),))
    return None if message.structure.is_complete else UNREAD_PARTS


def spot_of(attachment: Attachment) -> Spot:
    """Where an attachment is."""
    return Spot(f"attachment {attachment.filename or attachment.media_type}")


CHECK = Check(
    name="attachment-types",
    summary="An attachment has one of `extensions` or `media_types` (`application/*` is a whole family), or parts cannot be read",
    summary_zh="附件的扩展名在 `extensions` 中，或类型在 `media_types` 中（`application/*` 表示一类），或邮件结构无法完整读取",
    parameters=Attachments,
    ask=ask,
    reads=("message.attachments", "message.parts_complete"),
    inspects=True,
    text="An attachment is of a type that is not sent",
    text_zh="附件类型不允许发送",
    fix="Send the file as PDF, or put it on a download page and send the link",
    fix_zh="请改用 PDF，或将文件放到下载页面后发送链接",
)
