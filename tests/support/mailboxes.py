"""Which spellings are one mailbox, which are two, and which are none. Unit tests and every store's contract use it."""

# Both spellings have the same key: a refusal under one binds mail to the other.
EQUAL = [
    ("ada@example.com", "ada@example.com"),
    ("Ada@example.com", "ada@example.com"),
    ("ADA@EXAMPLE.COM", "ada@example.com"),
    ("ada@Example.Com", "ada@example.com"),
    ('"ada"@example.com', "ada@example.com"),
    ('"a\\da"@example.com', "ada@example.com"),
    ('"ada.lovelace"@example.com', "ada.lovelace@example.com"),
    ('"Ada Lovelace"@example.com', '"ada lovelace"@example.com'),
    ('"ada\\ lovelace"@example.com', '"ada lovelace"@example.com'),
    ("ada@例子.中国", "ada@xn--fsqu00a.xn--fiqs8s"),
    ("ada@XN--FSQU00A.xn--fiqs8s", "ada@例子.中国"),
    ("ada@例子。中国", "ada@例子.中国"),  # the ideographic full stop is a dot in domains (UTS 46)
    ("ada@ｅｘａｍｐｌｅ.com", "ada@example.com"),  # full-width letters are letters in domains
    ("ada@Bücher.example", "ada@xn--bcher-kva.example"),
    ("ada@bu\u0308cher.example", "ada@bücher.example"),
    ("josé@example.com", "jose\u0301@example.com"),  # NFC and NFD
    ("JOSÉ@example.com", "josé@example.com"),
    ("ΣΊΣΥΦΟΣ@example.com", "σίσυφος@example.com"),  # final sigma folds too
    ("STRASSE@example.com", "straße@example.com"),
    ("張三@example.com", "張三@EXAMPLE.com"),
]

# Different keys: folding them would refuse one person on another person's word.
DIFFERENT = [
    ("ada@example.com", "ada@example.org"),
    ("ada@example.com", "ada@mail.example.com"),
    ("ada.lovelace@example.com", "adalovelace@example.com"),
    ("ada+news@example.com", "ada@example.com"),
    ("ada-news@example.com", "ada@example.com"),
    ("ada%example.org@example.com", "ada@example.org"),  # no percent hack
    ("example.org!ada@example.com", "ada@example.org"),  # no bang path
    ('"ada@example.org"@example.com', "ada@example.org"),
    ('"ada "@example.com', "ada@example.com"),
    ("ａｄａ@example.com", "ada@example.com"),  # full-width letters are other letters in local parts
    ("а@example.com", "a@example.com"),  # Cyrillic a
    ("张三@example.com", "張三@example.com"),  # simplified and traditional
    ("ada@strasse.example", "ada@straße.example"),
    ("jose@example.com", "josé@example.com"),
    ("ada@example.com", "ada@examp1e.com"),
]

# Not a mailbox: somebody reads it differently, or nobody can see what it is.
REFUSED = [
    "",
    "ada",
    "@example.com",
    "ada@",
    "ada@localhost",
    "ada@example.com.",
    "ada@.example.com",
    "ada@exa_mple.com",
    "ada@-example.com",
    "ada@192.0.2.1",
    "ada@１９２.０.２.１",
    "ada@[192.0.2.1]",
    "ada@xn--a.example",
    "ada@☃.example",
    "ada@exam\u200bple.com",
    "ad\u200ba@example.com",
    "ad\u00ada@example.com",
    "ada\u3164@example.com",
    "ada\u202e@example.com",
    "=?utf-8?q?ada?=@example.com",
    '"=?utf-8?q?ada?="@example.com',
    "@relay.example,@hub.example:ada@example.com",
    "ada@hub.example@example.com",
    "ada (work)@example.com",
    "ada@example.com (work)",
    "Ada <ada@example.com>",
    "<ada@example.com>",
    "ada lovelace@example.com",
    " ada@example.com",
    "ada@example.com ",
    "ada@example.com\r\nRSET",
    "ada\r\n@example.com",
    "ada\0@example.com",
    "ada@example.com\0",
    ".ada@example.com",
    "ada.@example.com",
    "ada..lovelace@example.com",
    '"ada@example.com',
    '""@example.com',
    '"ada\r"@example.com',
    "ada,bob@example.com",
    "ada@example.com,bob@example.com",
    "\ud800@example.com",
    "ada@\ud800.example",
    "a" * 65 + "@example.com",
    "界" * 22 + "@example.com",  # 66 octets
    "ada@" + "a" * 64 + ".example.com",
    "ada@" + ".".join(["a" * 60] * 5),
    "a" * 60 + "@" + ".".join(["b" * 60] * 3) + ".example.com",  # 254 octets are the most
]
