"""HTML newsletters of about 100 KB as editors make them: tables in tables, a style on every element, 40 pictures, 61 links.

About 20 KB of each is text that people read.
"""

import random

LANGUAGES = ("en", "zh")
IMAGES = 40

_WORDS = {
    "en": """
        spring collection delivery basket season kitchen garden weekend morning reader story travel cotton linen colour
        simple recipe order price member point shop friend early online visit choose size light summer blue small new our
        your with from that this have more made every week when they after into about over days some what very just the and
        for you are its has was can will one two three while between under along quiet maker wood glass paper stone
    """,
    "zh": """
        春季 新品 上市 会员 积分 订单 配送 免费 门店 周末 早晨 厨房 花园 旅行 故事 读者 棉麻 颜色 简约 食谱 价格 朋友
        选择 尺码 轻便 夏日 蓝色 我们 您的 每周 时候 关于 一些 之后 带来 体验 活动 专属 服务 预约 详情 设计 材质 木质
        玻璃 纸张 石头 安静 匠人 手工 传统 工艺 生活
    """,
}
_TABLE = 'role="presentation" cellpadding="0" cellspacing="0" border="0"'
_FONT = "font-family:Helvetica,Arial,'PingFang SC','Microsoft YaHei',sans-serif"
_STYLES = {
    "title": f"{_FONT};font-size:20px;line-height:28px;font-weight:bold;color:#222222;margin:0;padding:0 0 8px 0;",
    "text": f"{_FONT};font-size:14px;line-height:22px;color:#444444;margin:0;padding:0 0 12px 0;text-align:left;",
    "small": f"{_FONT};font-size:12px;line-height:18px;color:#767676;",
    "button": f"{_FONT};font-size:14px;color:#ffffff;background-color:#0a66c2;text-decoration:none;padding:10px 24px;",
    "link": "color:#0a66c2;text-decoration:underline;",
    "cell": "padding:12px 16px;vertical-align:top;background-color:#ffffff;border-collapse:collapse;",
    "image": "display:block;border:0;outline:none;max-width:100%;height:auto;",
}
_HEAD = """<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml"><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" /><title>Newsletter</title>
<style type="text/css">
body { margin: 0; padding: 0; background-color: #f4f4f4; -webkit-text-size-adjust: 100%; }
table { border-spacing: 0; } img { -ms-interpolation-mode: bicubic; } a:hover { text-decoration: none; }
.preview { display: none; max-height: 0; overflow: hidden; }
@media only screen and (max-width: 600px) {
  .column { width: 100% !important; display: block !important; } .wide { display: none; }
}
</style>
<!--[if mso]><style>table { font-family: Arial; }</style><![endif]--></head>
"""
_OUTLOOK = """<!--[if mso | IE]>
    <table role="presentation" border="0" cellpadding="0" cellspacing="0" width="600" align="center" style="width:600px;">
      <tr><td style="line-height:0;font-size:0;mso-line-height-rule:exactly;vertical-align:top;"><![endif]-->
"""


def newsletter_html(language: str, number: int, reader: int = 0) -> str:
    """The page; its words depend on the number, its form does not. Each reader's links lead to addresses of their own."""
    return _Page(language, number, reader).html()


def newsletter_mail(language: str, number: int, reader: int = 0, mail: int = 0) -> bytes:
    """The page as the body of a mail; the header differs from mail to mail."""
    page = newsletter_html(language, number, reader).replace("\n", "\r\n")
    subject = "Spring at our house" if language == "en" else "春季新品上市"
    return (
        f"From: news@example.com\r\nTo: ada@mail.example.org\r\nSubject: {subject} {number}\r\n"
        f"Message-ID: <{number}.{reader}.{mail}@example.com>\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{page}\r\n"
    ).encode()


class _Page:
    """One page: a head, a block for each picture, and the way out."""

    def __init__(self, language: str, number: int, reader: int) -> None:
        self._random = random.Random(f"{language} {number}")
        self._own = random.Random(f"{language} {number} {reader}")
        self._language = language
        self._words = _WORDS[language].split()
        self._pictures = 0

    def html(self) -> str:
        return "".join((self._opening(), *(self._block(place) for place in range(IMAGES - 1)), self._closing()))

    def _opening(self) -> str:
        return (
            f'{_HEAD}<body style="margin:0;padding:0;background-color:#f4f4f4;">'
            f'<div class="preview" style="display:none;max-height:0;overflow:hidden;">{self._sentence(9)}</div>'
            f'<table {_TABLE} width="100%" bgcolor="#f4f4f4"><tr><td align="center">'
            f'<table {_TABLE} width="600" bgcolor="#ffffff"><tr><td style="{_STYLES["cell"]}">{self._picture(180)}</td></tr>\n'
        )

    def _block(self, place: int) -> str:
        """A picture beside a title, two texts and, every other time, a link and what to press."""
        has_links = place % 2 == 0
        return (
            f'{_OUTLOOK}<tr><td style="{_STYLES["cell"]}"><table {_TABLE} width="100%"><tr>'
            f'<td class="column" width="180" valign="top" style="{_STYLES["cell"]}">{self._picture(160)}</td>\n'
            f'<td class="column" width="380" valign="top" style="{_STYLES["cell"]}">'
            f'<h2 style="{_STYLES["title"]}">{self._sentence(4)}</h2>\n'
            f'<p style="{_STYLES["text"]}">{self._sentence(30)} <strong>{self._sentence(3)}</strong> '
            f"&nbsp;{self._random.randint(10, 900)}.00 &amp; {self._sentence(12)}</p>\n"
            f'<p style="{_STYLES["text"]}">{self._sentence(30)}{self._link() if has_links else ""}</p>\n'
            f"{self._button() if has_links else ''}</td></tr></table></td></tr>\n"
        )

    def _link(self) -> str:
        return f' <a href="{self._address()}" target="_blank" style="{_STYLES["link"]}">{self._sentence(2)}</a>'

    def _button(self) -> str:
        return (
            f'<table {_TABLE}><tr><td align="center" bgcolor="#0a66c2" style="border-radius:4px;">'
            f'<a href="{self._address()}" target="_blank" style="{_STYLES["button"]}">{self._sentence(2)}</a></td></tr></table>\n'
        )

    def _picture(self, width: int) -> str:
        self._pictures += 1
        picture = (
            f'<img src="https://img.example.com/2026/spring/{self._pictures:03d}.jpg" width="{width}" height="{width}" '
            f'alt="{self._sentence(3)}" border="0" style="{_STYLES["image"]}" />'
        )
        return f'<a href="{self._address()}" target="_blank">{picture}</a>' if self._pictures % 2 else picture

    def _closing(self) -> str:
        out = "Unsubscribe" if self._language == "en" else "退订"
        return (
            f'<tr><td style="{_STYLES["cell"]}"><p style="{_STYLES["small"]}">{self._sentence(20)} '
            f'<a href="https://news.example.com/out?u={self._number()}" style="{_STYLES["link"]}">{out}</a></p>'
            "</td></tr></table></td></tr></table></body></html>\n"
        )

    def _address(self) -> str:
        where = f"https://www.example.com/shop/{self._own.randint(1000, 9999)}"
        return f"{where}?utm_source=mail&amp;utm_medium=email&amp;id={self._number()}"

    def _number(self) -> str:
        return f"{self._own.getrandbits(60):x}"

    def _sentence(self, count: int) -> str:
        words = self._random.choices(self._words, k=count)
        if self._language == "en":
            return " ".join(words).capitalize() + "."
        return "".join(word + ("，" if place % 5 == 4 else "") for place, word in enumerate(words)) + "。"
