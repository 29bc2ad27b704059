"""docs/records.md says what is written, and its recipe verifies a real chain."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from relay.records.kinds import Kind
from relay.records.meanings import MEANINGS
from relay.records.reference import examples, fields, reference
from relay.records.search import verify
from tests.support.records import opened

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "records.md"
WRITE_AGAIN = "write it again: Path('docs/records.md').write_text(relay.records.reference.reference(), 'utf-8')"


def test_the_document_is_what_the_code_writes():
    assert DOCUMENT.read_text("utf-8") == reference(), WRITE_AGAIN


def test_every_kind_has_an_example_and_every_field_a_meaning():
    found = examples()
    assert list(found) == list(Kind)
    assert all(record.kind is kind for kind, records in found.items() for record in records)
    assert {name for records in found.values() for record in records for name in fields(record.facts)} == set(MEANINGS)


async def test_the_recipe_for_verifying_by_hand_works(tmp_path):
    [recipe] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    script, path = tmp_path / "verify.py", tmp_path / "records.db"
    script.write_text(recipe)

    def run():
        return subprocess.run([sys.executable, str(script), str(path)], capture_output=True, text=True, check=False)

    with opened(path) as records:
        await records.append_many([record for kind in examples().values() for record in kind])
        head = verify(records.reader)
        done = run()
        assert (done.returncode, done.stdout.strip()) == (0, f"{head.count}:{head.head.hex()}")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER records_stay_as_written")
        connection.execute("UPDATE records SET body = replace(body, 'reject', 'permit') WHERE seq = 1")
    done = run()
    assert done.returncode == 1
    assert done.stderr.strip() == "record 1 is not what was written"
