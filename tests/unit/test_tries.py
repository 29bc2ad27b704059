"""How old a try may be when it comes to the ledger, and for how long that must know what its client was answered since."""

import pytest

from relay.config import Smtp, Store
from relay.errors import StoreUnavailable
from relay.stores.sqlite.store import PATIENCE
from relay.tries import age_of, remembered_for

SMTP = Smtp()


def test_a_try_looks_no_older_than_it_is_though_clocks_are_set_meanwhile():
    assert age_of(100.0, 160.0, SMTP) == pytest.approx(59.94)
    assert age_of(160.0, 160.0, SMTP) == age_of(160.0, 159.0, SMTP) == 0


def test_one_that_is_older_than_any_message_takes_is_not_believed_to_be_new():
    longest = SMTP.data_timeout + 300
    assert age_of(0.0, longest, SMTP) > 0
    with pytest.raises(StoreUnavailable, match="901 seconds after"):
        age_of(0.0, longest + 1, SMTP)


@pytest.mark.parametrize("smtp", [SMTP, Smtp.model_validate({"data_timeout": "1h"})])
def test_answers_are_remembered_until_the_oldest_try_has_asked(smtp):
    slowest = max(PATIENCE, Store(timeout_ms=10_000).timeout_ms / 1000)
    assert remembered_for(smtp) > smtp.data_timeout + 300 + slowest
