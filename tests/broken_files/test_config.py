"""Wrong configurations: each says on top what a person must be told.

# expect: line 6: listen.1.tls: expected 'none', 'starttls' or 'implicit'
"""

from pathlib import Path

import pytest

from relay.config import parse_config
from relay.errors import ConfigurationError

FOLDER = Path(__file__).with_name("config")
FILES = sorted(FOLDER.glob("*.toml"))


def expected(octets: bytes) -> list[str]:
    """The beginnings of the messages that the file must get."""
    return [line[len(b"# expect: ") :].decode() for line in octets.split(b"\n") if line.startswith(b"# expect: ")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_wrong_file_is_refused_with_line_key_and_remedy(path):
    octets = path.read_bytes()
    with pytest.raises(ConfigurationError) as refused:
        parse_config(octets, "config.toml", FOLDER)
    told = str(refused.value).split("\n")
    wanted = expected(octets)
    assert wanted
    assert len(told) == len(wanted), "\n".join(told)
    for line, beginning in zip(told, wanted, strict=True):
        assert line.startswith(f"config.toml: {beginning}"), "\n".join(told)


def test_there_are_enough():
    assert len(FILES) >= 20


def test_typographic_quotes_are_named_in_both_languages():
    with pytest.raises(ConfigurationError, match=r"typographic quotes.*文件中有中文引号"):
        parse_config((FOLDER / "typographic-quotes.toml").read_bytes(), "config.toml", FOLDER)
