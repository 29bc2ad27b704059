"""What the rules on words share: their lists are read when a stream is made that asks one, so that no message waits for that."""

from relay.policy.rules.rule import RuleTable
from relay.policy.words.lexicon import read_lists


class ListedWords(RuleTable):
    """A rule that looks for the words of a list."""

    def prepare(self) -> None:
        read_lists()
