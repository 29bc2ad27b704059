"""Signatures: lines under an answer that say who wrote it, and nothing else.

A line is one when it is made of names, titles, a company, a department, an
address and ways to reach somebody.  What could as well be half a sentence is
none: in doubt a mail is for a person to read.
"""

import re
from collections.abc import Sequence

MAX_LINES = 8
_MAX_LINE = 80


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONTACT = re.compile(
    r"(?:(?:\b(?:tel|phone|mobile|mob|cell|fax|office|direct|e-?mail|mail|web|website|qq|wechat|whatsapp|[tmfpe])\b"
    r"|联系电话|联系方式|电话|手机|传真|座机|微信号?|邮箱|邮件|网址|電話|手機)[\s.]*[:：]?\s*)?"
    r"(?:\+\d[\d\s()./-]{6,22}\d|(?<!\d)1[3-9]\d(?:[\s-]?\d{4}){2}(?!\d)|(?<!\d)\(?0\d{1,4}\)?[\s-]\d[\d\s-]{5,12}\d(?!\d)"
    r"|(?<!\d)[48]00[\s-]?\d{3}[\s-]?\d{4}(?!\d)|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+|www\.[\w-]+(?:\.[\w-]+)+)"
    r"(?:\s*(?:ext\.?|转|-)\s*\d{1,6})?"
    r"|(?:\b(?:tel|phone|mobile|fax|qq|wechat)\b|电话|手机|传真|座机|微信号?)\s*[:：]\s*[\w()+./-]{5,24}",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[|｜·•/,，、;；\t()（）]|\s{2,}")

# The frequent surnames without those that begin everyday words too often; and the words that the others begin.
_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田"
    "任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易武乔贺赖龚庞樊殷翟倪严牛温芦俞柳甘祝劉陳楊趙黃吳"
    "張許鄭謝韓馮羅蘇盧蔣賈葉鄧"
)
_NO_NAME = (
    "周[一二三四五六日天末内期]|方[案便法式向面管钢]|金[额属融箔]|高[温铁压度级]|于[是下本]|黄[色金铜油豆酒瓜]|马[上达克桶]|何[时事]|程[序度]"
    "|顾[客问]|任[务何意一]|余[款下额量货]|石[油材墨英板膏]|江[苏西米]|钱[款包]|万[一向用能]|白[色天酒瓷糖纸布板]|夏[季天装]|许[可多]"
    "|温[度]|严[重]|曾[经]|段[时]|易[碎耗拉]|张[贴]|陈[列]|林[业木]|唐[装三]|田[地]|祝[好贺]|雷[达管]|牛[奶肉皮]|毛[重利巾衣毯线绒笔]"
    "|康[复]|罗[纹]|苏[打]|龙[头虾]|汤[勺圆]|胡[椒萝]|柳[条]|芦[荟笋]|甘[油蔗]|韩[式国]|陆[运]|叶[片轮]|钟[表]"
)
_GIVEN = "(?![的了吗呢吧啊要来去是不在有和到说请给把件个台箱批种款型号])[\u4e00-\u9fff]"
_TWO_LETTERS = "欧阳|上官|司马|诸葛|皇甫|司徒|东方|夏侯"
_PERSON = f"(?!{_NO_NAME})(?:{_TWO_LETTERS}|[{_SURNAMES}])(?:{_GIVEN}){{1,2}}"
_FIELD = (
    "(?:销售|采购|财务|市场|营销|技术|行政|人事|人力资源|项目|区域|大区|客户|客服|产品|生产|质量|品质|物流|仓储|运营|研发|外贸|业务|信息|法务|工程"
    "|高级|资深|执行|首席|副)"
)
_ROLE = (
    "(?:先生|女士|小姐|老师|教授|博士|律师|医生|总经理|副总经理|经理|总监|主任|主管|工程师|董事长|会计|助理|专员|秘书"
    "|店长|厂长|院长|总)"
)
_NO_COMPANY = r"(?!.*[请請给把将让叫转发寄送到在的了退换问说要找催和与跟是不]|通知|联系|告诉|等)"
_CHINESE = re.compile(
    f"{_PERSON}{_ROLE}?|[{_SURNAMES}]{_ROLE}|{_FIELD}{{0,3}}部?{_ROLE}|{_FIELD}{{1,2}}(?:部门?|科|处|中心|办公室)|办公室"
    f"|{_NO_COMPANY}[\u4e00-\u9fffA-Za-z]{{2,26}}(?:公司|集团|事务所|大学|学院|医院|研究所|研究院|协会|商会)"
    r"|(?:地址\s*[:：]\s*)?[\u4e00-\u9fff]{2,12}[省市区县][\u4e00-\u9fff]{1,14}[路街道巷]\s?\d{1,5}\s?[弄号]?(?:[\u4e00-\u9fff\dA-Z-]{0,14}[号楼层室座栋])?"
)
_WORD = r"(?:[A-ZÀ-ÖØ-Þ](?:[^\W\d_]|['’&-])*|[A-Z][^\W\d_]{0,3}\.|&)"
_LATIN = re.compile(rf"{_WORD}(?:\s+(?:(?:of|de|del|da|von|van|der|den|la|le|al|bin)\s+)?{_WORD}){{0,5}}")
_TITLES = _words("""
    manager director officer engineer assistant buyer head lead president founder owner accountant consultant specialist ltd inc
    gmbh llc co corp ag limited company group
""")
_NO_LATIN = _words("""
    monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october
    november december today tomorrow tonight urgent meeting room rooms order orders invoice invoices item items batch batches
    quote quotation shipment shipments delivery button link links page hotel flight flights booth hall production line machine
    training contract contracts sample samples box boxes pallet pallets price prices version draft drafts file files report
    reports payment payments server database printer website mail newsletter broken wrong late missing new old one two three
    the this that these those it we you they he she but and or if when until before after because for with by in on at to from
    not no yes can could will would should is are was please do does did
""")


def is_signature(lines: Sequence[str]) -> bool:
    """Whether all lines together are a signature, as one is that has no lines."""
    return len(lines) <= MAX_LINES and all(len(line) <= _MAX_LINE and _names(line) for line in lines)


def _names(line: str) -> bool:
    rest = _CONTACT.sub("|", line)
    return all(_is_piece(piece.strip()) for piece in _BETWEEN.split(rest) if piece.strip(" -–—_*:："))


def _is_piece(text: str) -> bool:
    if _CHINESE.fullmatch(text):
        return True
    words = text.split()
    if _LATIN.fullmatch(text):
        lower = [word.strip(".").lower() for word in words]
        return lower[-1] in _TITLES or not _NO_LATIN.intersection(lower)
    return len(words) > 1 and any("\u4e00" <= letter <= "\u9fff" for letter in text) and all(map(_is_piece, words))
