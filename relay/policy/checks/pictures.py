"""Pictures: a mail that is nothing else, and those that only tell that somebody reads."""

from itertools import islice
from typing import Annotated

from pydantic import Field

from relay.mail.page.targets import as_ascii
from relay.mail.words.sight import Sight
from relay.policy.cases.case import Case, Spot
from relay.policy.rules.rule import UNREAD_PARTS, Check, Finding, RuleTable, Setting
from relay.policy.rules.table import Domains, domain_fits


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
    shown = {text.where: text.shown for text in content.texts}  # of a part without text nothing is here
    for where in dict.fromkeys(where for sight in content.sights for where in sight.once(_with_pictures)):
        letters = sum(1 for _ in islice(filter(str.isalnum, shown.get(where, "")), parameters.fewer_than))
        if letters < parameters.fewer_than:
            return Finding(f"{letters} letters in {where}", spots=(Spot(where),))
    return None if content.is_complete else UNREAD_PARTS


def _with_pictures(sight: Sight) -> tuple[str, ...]:
    return tuple(dict.fromkeys([image.where for image in sight.images if not image.is_unseen]))


def ask_tracking_pixel(case: Case, setting: Setting, parameters: TrackingPixel) -> Finding | None:
    """Object to something remote that is fetched when the mail is opened, and that nobody can see."""
    if case.message is None:
        return None
    content = case.message.content
    foreign = [pixel for pixel in content.pixels if not domain_fits(pixel.host, parameters.trusted)]
    if foreign:
        spots = tuple(Spot(where) for where in dict.fromkeys(pixel.where for pixel in foreign))
        forms = sorted({pixel.form for pixel in foreign} - {"img"})
        others = f" ({', '.join(forms)})" if forms else ""
        return Finding(f"{len(foreign)}, from {as_ascii(foreign[0].host)}{others}", spots=spots)
    return None if content.is_complete else UNREAD_PARTS


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
    summary="Something is fetched from elsewhere when the mail is opened and shows nothing: a picture, frame, player or object"
    " of up to 3x3 pixels, without width or height, hidden or cut out by its style, by what it stands in or by a style element;"
    " the background of an element that nobody sees; another style sheet, a font, a script, a sound without controls",
    summary_zh="打开邮件时会从外部加载读者看不见的内容：不超过 3x3 像素、宽或高为 0、被自身样式、外层元素或样式表隐藏或裁剪的"
    "图片、框架、播放器或对象；看不见的元素的背景图；外部样式表、字体、脚本、没有控件的声音",
    parameters=TrackingPixel,
    ask=ask_tracking_pixel,
    reads=("message.content",),
    inspects=True,
    text="Something that nobody sees tells who opens the message",
    text_zh="邮件含有读者看不见、可跟踪打开行为的外部内容",
    fix="Switch open tracking off in your sending tool, and write styles into the message itself",
    fix_zh="请在发送工具中关闭打开跟踪，并将样式直接写入邮件",
)
