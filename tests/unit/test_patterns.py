"""No pattern that reads mail works longer than its text: told from how each is written, not from a clock."""

import re
from importlib import import_module

import pytest

from relay.policy import checks, detectors
from tests.support.patterns import patterns_in, patterns_of, work_without_bound

MODULES = (
    "relay.mail.page.conditional",
    "relay.mail.page.dynamic",
    "relay.mail.page.targets",
    "relay.mail.page.unsubscribing",
    "relay.policy.words.destinations",
    "relay.policy.words.lookalike",
    "relay.policy.words.sourcing",
    "relay.policy.words.template_fields",
)
PATTERNS = [*patterns_of(detectors), *patterns_of(checks), *(one for name in MODULES for one in patterns_in(import_module(name)))]


@pytest.mark.parametrize(("name", "pattern"), PATTERNS, ids=[name for name, _ in PATTERNS])
def test_no_pattern_works_longer_than_its_text(name, pattern):
    assert work_without_bound(pattern) == []


@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a|b)*c", "a{1,9000}", "x*y", "(?:a{1,40}b){1,40}", "(?=a*)b"])
def test_a_pattern_that_could_is_named(pattern):
    assert work_without_bound(re.compile(pattern))


@pytest.mark.parametrize("pattern", ["(?:a+b)++c", "a{1,300}", "(?:a|b)?c", "a*+b", "(?>a*)b"])
def test_a_pattern_that_gives_nothing_back_is_not(pattern):
    assert work_without_bound(re.compile(pattern)) == []
