"""Duties: what a policy removes, and that an unknown duty is never passed over."""

import pytest

from relay.errors import RenderingImpossible
from relay.policy.sets import Duty
from relay.render.duties import removed_names

PRESENT = [b"from", b"x-mailer", b"x-internal-host", b"x-internal", b"x-mailer2", b"x-\xff"]


@pytest.mark.parametrize(
    ("patterns", "removed"),
    [
        ((), set()),
        (("x-mailer",), {b"x-mailer"}),
        (("x-internal*",), {b"x-internal-host", b"x-internal"}),
        (("x-internal-*", "x-absent"), {b"x-internal-host"}),
    ],
)
def test_patterns_remove_what_they_name(patterns, removed):
    assert removed_names([Duty("pack/d", "remove-fields", patterns)], PRESENT) == removed


def test_all_duties_are_carried_out():
    duties = [Duty("a/d", "remove-fields", ("x-mailer",)), Duty("b/d", "remove-fields", ("x-mailer2",))]
    assert removed_names(duties, PRESENT) == {b"x-mailer", b"x-mailer2"}


def test_an_unknown_duty_stops_the_copy():
    with pytest.raises(RenderingImpossible, match='does not know the duty "add-footer"') as fault:
        removed_names([Duty("cn-marketing/label", "add-footer", ())], PRESENT)
    assert fault.value.rule == "cn-marketing/label"
