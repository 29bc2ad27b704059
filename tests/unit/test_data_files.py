"""Files that come with the code: no message waits for one."""

from relay.mail.words import folding
from relay.policy.cases.case import Phase
from relay.policy.deciding.decide import decide
from relay.policy.words import lexicon, terms, wordings
from tests.support.policies import a_case, newsletter
from tests.unit.test_decide import NOW

RULE = '[[rule]]\nid = "absolute"\ncheck = "absolute-terms"\ntiers = ["block", "evidence"]'


def test_no_message_waits_for_a_list(monkeypatch):
    """They are read when a stream is made that asks for them; a mail is then judged without a look at any file."""
    for read_before in (
        terms.read_list,
        lexicon._index,
        wordings.exemptions,
        wordings.contexts,
        folding._table,
        folding._simplified,
    ):
        read_before.cache_clear()
    policy = newsletter(RULE)

    def gone(*path: str) -> str:
        raise FileNotFoundError("/".join(path))

    monkeypatch.setattr(terms, "data_file", gone)
    monkeypatch.setattr(folding, "data_file", gone)
    mail = "From: news@example.com\r\nSubject: News\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n全國最佳的烤鴨。\r\n"
    (found,) = decide(policy, policy.stream("newsletter"), a_case(mail.encode()), Phase.DATA, NOW).objections
    assert found.rule == "newsletter/absolute"
