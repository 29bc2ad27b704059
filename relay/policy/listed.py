"""What the rules on words share: their lists are read when a rule is read, so that no message waits for that."""

from typing import Self

from pydantic import model_validator

from relay.policy.lexicon import read_lists
from relay.policy.rule import RuleTable


class ListedWords(RuleTable):
    """A rule that looks for the words of a list."""

    @model_validator(mode="after")
    def _lists_are_read(self) -> Self:
        read_lists()
        return self
