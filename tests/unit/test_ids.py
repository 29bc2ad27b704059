"""Ids tell when they were made."""

from hypothesis import given
from hypothesis import strategies as st

from relay.ids import is_id, new_id, time_of


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_tells_its_time(milliseconds, entropy):
    made = new_id((milliseconds + 0.5) / 1000, entropy)
    assert is_id(made)
    assert time_of(made) == milliseconds / 1000
