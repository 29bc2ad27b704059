"""Pictures: a mail that is nothing else, and those that only tell that somebody reads."""

from itertools import islice
from typing import Annotated

from pydantic import Field

from relay.mail.targets import as_ascii, target_of
from relay.mail.visible import Image
from relay.policy.case import Case
from relay.policy.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting
from relay.policy.table import Domains, domain_fits

_PIXEL = 3  # a picture of so many pixels a side shows nothing


class ImageOnly(RuleTable):
    """Parameters of image-only."""

    fewer_than: Annotated[int, Field(ge=1, le=10_000, description="Letters that people see / 可见文字数")] = 20


class TrackingPixel(RuleTable):
    """Parameters of tracking-pixel."""

    trusted: Annotated[Domains, Field(description="Whose pixels are no tracking / 不视为跟踪的域名")] = ()


def ask_image_only(case: Case, setting: Setting, parameters: ImageOnly) -> Finding | None:
    """Object to an HTML part with a picture and nearly no text; who has pictures switched off reads nothing."""
    if case.message is None:
        return None
    content = case.message.content
    pictured = {image.where for image in content.images if not is_pixel(image) and not image.hidden}
    for text in content.texts:
        if text.where not in pictured:
            continue
        letters = sum(1 for _ in islice(filter(str.isalnum, text.shown), parameters.fewer_than))
        if letters < parameters.fewer_than:
            return Finding(f"{letters} letters in {text.where}")
    return None if content.is_complete else UNREAD_PARTS


def ask_tracking_pixel(case: Case, setting: Setting, parameters: TrackingPixel) -> Finding | None:
    """Object to a remote picture that nobody can see."""
    if case.message is None:
        return None
    content = case.message.content
    hosts = [host for image in content.images if is_pixel(image) and (host := target_of(image.src).host)]
    foreign = [host for host in hosts if not domain_fits(host, parameters.trusted)]
    if foreign:
        return Finding(f"{len(foreign)}, from {as_ascii(foreign[0])}")
    return None if content.is_complete else UNREAD_PARTS


def is_pixel(image: Image) -> bool:
    """Whether nobody sees the picture: a few pixels, or hidden by its style."""
    sides = [side for side in (image.width, image.height) if side is not None]
    return bool(image.hidden) or (len(sides) == 2 and max(sides) <= _PIXEL) or 0 in sides


IMAGE_ONLY = Check(
    name="image-only",
    summary="An HTML part has pictures and fewer than `fewer_than` letters that people see (default 20)",
    summary_zh="HTML 部分有图片而可见文字少于 `fewer_than` 个（默认 20）",
    parameters=ImageOnly,
    ask=ask_image_only,
    reads=("message.content",),
    inspects=True,
    text="The message is a picture without text",
    text_zh="邮件只有图片，没有文字",
    fix="Write the text of the picture into the message",
    fix_zh="请将图片中的文字写入正文",
)

TRACKING_PIXEL = Check(
    name="tracking-pixel",
    summary="A remote picture that nobody can see: three pixels or less, or hidden by its style",
    summary_zh="含有人眼看不见的远程图片：不超过三个像素，或被样式隐藏",
    parameters=TrackingPixel,
    ask=ask_tracking_pixel,
    reads=("message.content",),
    inspects=True,
    text="An invisible picture tells who opens the message",
    text_zh="邮件含有跟踪打开行为的隐形图片",
    fix="Switch open tracking off in your sending tool",
    fix_zh="请在发送工具中关闭打开跟踪",
)
