"""What the benchmark of content reads is what it says: a newsletter of 100 KB that no rule on content objects to."""

from dataclasses import replace

import pytest

from benchmarks.content import EVERY, NOW
from benchmarks.newsletter import LANGUAGES, newsletter_html, newsletter_mail
from relay.mail.message import Message
from relay.policy.cases.case import Phase
from relay.policy.deciding.decide import decide
from tests.support.policies import a_case, newsletter


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_newsletter_of_the_benchmark_is_what_it_says(language):
    assert 90_000 < len(newsletter_html(language, 1).encode()) < 110_000
    content = Message.parse(newsletter_mail(language, 1)).content
    shown = next(text.shown for text in content.texts if text.where == "html part 1")
    assert 15_000 < len(shown.encode()) < 25_000
    assert (len(content.images), len(content.links)) == (40, 61)
    assert [hidden.how for hidden in content.hidden] == ["display"]  # the summary for the list of mails
    assert content.is_complete


def test_every_round_of_the_benchmark_reads_another_newsletter():
    assert len({newsletter_html("en", number) for number in range(20)}) == 20


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_rule_on_content_objects_to_it(language):
    """So that all of them look at all of it."""
    policy = newsletter(packs=EVERY)
    case = replace(a_case(jurisdictions=frozenset({"CN"})), message=Message.parse(newsletter_mail(language, 1)))
    ruling = decide(policy, policy.stream("newsletter"), case, Phase.DATA, NOW)
    reading = {rule.name for rule in policy.stream("newsletter").rules if rule.check and "message.content" in rule.check.reads}
    asked = {asked.rule for asked in ruling.asked if asked.asked}
    assert len(asked & reading) >= 15
    assert not reading & {objection.rule for objection in ruling.objections}
