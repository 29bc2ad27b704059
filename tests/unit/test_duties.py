"""Duties: what a policy removes and adds, and that an unknown duty is never passed over."""

import pytest

from relay.errors import RenderingImpossible
from relay.policy.rules.duty import DutyTable, RemoveFields
from relay.policy.sets.policy_set import Duty
from relay.render.duties import carry_out
from relay.render.fields import removed_names
from tests.support.duties import a_letterhead, treatment
from tests.support.signing import a_message

PRESENT = [b"from", b"x-mailer", b"x-internal-host", b"x-internal", b"x-mailer2", b"x-\xff"]


def removing(*patterns: str) -> RemoveFields:
    return RemoveFields(id="d", do="remove-fields", fields=patterns)


@pytest.mark.parametrize(
    ("patterns", "removed"),
    [
        (("X-Mailer",), {b"x-mailer"}),
        (("x-internal*",), {b"x-internal-host", b"x-internal"}),
        (("X-Internal-*", "x-absent"), {b"x-internal-host"}),
    ],
)
def test_patterns_remove_what_they_name(patterns, removed):
    assert removed_names([removing(*patterns)], PRESENT) == removed


def test_without_duties_nothing_is_removed():
    assert removed_names([], PRESENT) == frozenset()


def test_all_duties_are_carried_out():
    assert removed_names([removing("x-mailer"), removing("x-mailer2")], PRESENT) == {b"x-mailer", b"x-mailer2"}


class Seal(DutyTable):
    """A duty that a later version may know."""

    @property
    def deed(self):
        return "sealed", "加盖印章"

    @property
    def works(self):
        return frozenset({self.do})


def test_an_unknown_duty_stops_the_copy():
    unknown = Duty("cn-marketing/seal", Seal(id="seal", do="seal"))
    with pytest.raises(RenderingImpossible, match='does not know the duty "seal"') as fault:
        carry_out(a_message("Subject: s"), treatment(unknown), a_letterhead(), 0.0)
    assert fault.value.rule == "cn-marketing/seal"
