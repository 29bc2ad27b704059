"""The faults that rooms tell each other about.

Builtins are used wherever they fit; a class stands here only when a caller in
another room must tell it from every other fault.
"""


class RelayError(Exception):
    """A fault that the relay names itself; its text is for operators, never for a peer."""


class ConfigurationError(RelayError):
    """config.toml, a key file or a policy file is wrong; the text names file, place and remedy."""


class StoreUnavailable(RelayError, ConnectionError):
    """The store cannot answer now, or must not be believed (empty, foreign, other keys).

    `reason` is a short machine word for metrics and /readyz: unreachable,
    timeout, empty, foreign, keys, schema, durability, disk, memory, removed.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class RecordsUnavailable(RelayError, OSError):
    """The local records cannot be written or read: no record, no mail."""


class RecordsFull(RecordsUnavailable):
    """The disk of the records has less room than [records] min_free."""


class RuleFailed(RelayError):
    """A rule could not be evaluated, so nothing is decided; the cause may quote the mail, this text does not."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"the rule {rule} could not be evaluated")
        self.rule = rule


class RenderingImpossible(RelayError):
    """A copy cannot be made compliant (8-bit in a signed part, no key, failed self-check).

    `rule` names the rule or duty, e.g. "base/signature", for the ruling that follows.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


class DutyImpossible(RelayError):
    """A message is such that a duty cannot be done to it; the duty's table says what follows. The text goes to the client."""
