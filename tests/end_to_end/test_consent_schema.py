"""The API for sign-up forms against its own OpenAPI document, by schemathesis, on a running relay.

Requests that the document allows and requests that it does not; none may be answered in a way that the document does not
name, and none that it forbids may be taken.
"""

import orjson
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig

from relay.doors.consent_api import openapi
from tests.support.fixtures import an_upstream
from tests.support.opt_in import a_relay_with_forms
from tests.support.ports import free_address
from tests.support.service import ACCOUNTS

TOKEN = "0123456789abcdef" * 2
EXAMPLES = 60  # of each operation, beside those that the bounds in the document yield
CONFIG = {
    "seed": 1,
    "auth": {"openapi": {"token": {"bearer": TOKEN}}},
    "generation": {"deterministic": True, "max-examples": EXAMPLES},
}

# The octets that a relay answers with: tests/unit/test_consent_api.py.
schema = schemathesis.openapi.from_dict(orjson.loads(orjson.dumps(openapi())), config=SchemathesisConfig.from_dict(CONFIG))
upstream = an_upstream(scope="module", accounts=ACCOUNTS)


@pytest.fixture(scope="module")
def api(tmp_path_factory, upstream):
    """Where the API of a relay that runs is."""
    address = free_address()
    with a_relay_with_forms(tmp_path_factory.mktemp("relay"), upstream, api=address, token=TOKEN):
        yield f"http://{address}"


MOMENTS = ("at", "relation_at", "expires_at")


@schema.parametrize()
def test_whatever_comes_the_answer_is_one_that_the_document_names(case, api):
    if case.meta.generation.mode.is_positive:  # no schema can say that a moment is past
        case.body.update({name: "2026-01-01T00:00:00Z" for name in MOMENTS if case.body.get(name)})
    case.call_and_validate(base_url=api)
