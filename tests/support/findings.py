"""Where to put a hand: what every finding of `relay check` has to name, in either language."""

import re

_COMMAND = (
    r"\brelay (serve|upstream (probe|resume)|users add|tls private-ca|dkim (keygen|dns)|streams resume|check --dns|keys \w+|init"
    r"|backup|restore)|chmod "
)
_FILE = r"\.(toml|pem|crt|key|db)\b|^/\S+[:：]|\{(file|place)\}"  # {file}, {place}: in the source, the name of one
_SECTION = r"\[\[?[a-z_]+\]"
_RECORD = r"TXT"  # in DNS there is nothing else to put a hand on
_PLACE = re.compile("|".join((_COMMAND, _FILE, _SECTION, _RECORD)))


def names_no_place(text: str) -> bool:
    """Whether a text leaves open which command to type, or which file, section or DNS record to change."""
    return _PLACE.search(text) is None
