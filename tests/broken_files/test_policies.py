"""Wrong policy files: each says on top which file it stands for and what a person must be told.

    # file: streams/newsletter.toml
    # expect: line 7: purpose: is missing

The rest of the set is the smallest one that is right.
"""

from pathlib import Path

import pytest

from relay.errors import ConfigurationError
from relay.policy.rehearsing.rehearsal import read_rehearsals
from relay.policy.sets.parse import parse_policies
from tests.support.policies import shipped_files

FOLDER = Path(__file__).with_name("policies")
FILES = sorted(FOLDER.glob("*.toml"))
STREAM = b'purpose = "marketing"\nmatch = { identities = ["news@example.com"] }\npacks = ["base"]\n'
ORGANISATION = b'country = "CN"\ntime_zone = "Asia/Shanghai"\nstreams = ["newsletter"]\n'


def smallest_set() -> dict[str, bytes]:
    return {
        "organisation.toml": ORGANISATION,
        "streams/newsletter.toml": STREAM,
        "packs/base.toml": shipped_files()["packs/base.toml"],
    }


def notes(octets: bytes) -> tuple[str, list[str]]:
    """The file that a broken file stands for, and the messages it must get."""
    lines = [line for line in octets.split(b"\n") if line.startswith((b"# file: ", b"# expect: "))]
    texts = [line.decode().partition(": ") for line in lines]
    return next(rest for key, _, rest in texts if key == "# file"), [rest for key, _, rest in texts if key == "# expect"]


def test_the_smallest_set_is_right():
    assert [stream.name for stream in parse_policies(smallest_set()).streams] == ["newsletter"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_wrong_file_is_refused_with_file_line_key_and_remedy(path):
    octets = path.read_bytes()
    stands_for, expected = notes(octets)
    files = smallest_set() | {stands_for: octets}
    if stands_for == "streams/later.toml":
        files["organisation.toml"] = ORGANISATION.replace(b'["newsletter"]', b'["newsletter", "later"]')
    with pytest.raises(ConfigurationError) as refused:
        (read_rehearsals if stands_for.startswith("tests/") else parse_policies)(files)
    told = str(refused.value).split("\n")
    assert expected
    for text in expected:
        wanted = text if text.startswith("organisation.toml: ") else f"{stands_for}: {text}"
        assert any(line.startswith(wanted) for line in told), "\n".join(told)


def test_every_fault_of_every_file_is_told_at_once():
    files = smallest_set() | {
        "organisation.toml": ORGANISATION.replace(b"CN", b"cn"),
        "streams/newsletter.toml": STREAM + b'mode = "quiet"\nupstream = "netease"\n',
    }
    with pytest.raises(ConfigurationError) as refused:
        parse_policies(files)
    places = [line.split(": ")[:3] for line in str(refused.value).split("\n")]
    assert places == [
        ["organisation.toml", "line 1", "country"],
        ["streams/newsletter.toml", "line 4", "mode"],
        ["streams/newsletter.toml", "line 5", "upstream"],
    ]


@pytest.mark.parametrize("missing", sorted(smallest_set()))
def test_a_missing_file_is_named(missing):
    files = smallest_set()
    del files[missing]
    with pytest.raises(ConfigurationError, match=missing.replace(".", r"\.")):
        parse_policies(files)
