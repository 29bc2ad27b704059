"""A large body is hashed in steps, whatever it is made of."""

import pytest

from relay.consignment import _hash_in_steps
from relay.render.body import Body
from relay.render.signing import body_hash

MIB = 1024**2
LARGE = {
    "text": b"a line of text\r\n",
    "blank lines": b"\r\n",
    "lines of blanks": b" " * 900 + b"\r\n",
    "blanks and tabs": b" \t" * 400 + b"\r\n",
}


def run(body: bytes) -> tuple[int, bytes]:
    """How often others got their turn, and the hash."""
    hashing, turns = _hash_in_steps(Body((body,))), 0
    while True:
        try:
            hashing.send(None)
        except StopIteration as end:
            return turns, end.value
        turns += 1


@pytest.mark.parametrize("line", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("last", [b"", b"The end\r\n"], ids=["open", "ended"])
def test_others_get_their_turn(line, last):
    body = line * (4 * MIB // len(line)) + last
    turns, digest = run(body)
    assert turns >= 12
    assert digest == body_hash(body)


def test_blank_lines_before_a_text_are_hashed_in_steps():
    """They are counted at first and written when the text comes."""
    blank, alone = b"\r\n" * (8 * MIB), b"\r\n"
    assert run(blank + b"The end\r\n")[0] >= run(blank + alone)[0] + 48
