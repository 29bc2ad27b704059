"""How often strangers may ask: each network so often in an hour, all of them together, of one person, at one domain."""

import ipaddress
from collections import OrderedDict, deque

HOUR = 3600.0
_MOST_NETWORKS = 10_000  # those that asked last are remembered
_MOST_PERSONS = 20_000  # of whom somebody asked last
_MOST_DOMAINS = 10_000
_PREFIX = {4: 24, 6: 56}  # what one household or office has


class Pace:
    """Counts what was let through in the last hour; lives as long as the process."""

    def __init__(self, of_one: int, of_all: int) -> None:
        self._of_one, self._of_all = of_one, of_all
        self._all: deque[float] = deque()
        self._each: OrderedDict[str, deque[float]] = OrderedDict()

    def refusal(self, address: str, now: float) -> str:
        """Count one more: "" when it may, else which bound it would pass, "network" or "everybody"."""
        network = _network(address)
        mine = self._each.setdefault(network, deque())
        self._each.move_to_end(network)
        if len(self._each) > _MOST_NETWORKS:
            self._each.popitem(last=False)
        for times in (mine, self._all):
            _forget(times, now, HOUR)
        if len(mine) >= self._of_one:
            return "network"
        if len(self._all) >= self._of_all:
            return "everybody"
        mine.append(now)
        self._all.append(now)
        return ""


class PersonPace:
    """Counts how often each person was asked in the last `seconds`; lives as long as the process."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._each: OrderedDict[str, deque[float]] = OrderedDict()

    def lets(self, person: str, now: float) -> bool:
        """Count one more, if it may be."""
        times = self._each.setdefault(person, deque(maxlen=self._most))
        self._each.move_to_end(person)
        if len(self._each) > _MOST_PERSONS:
            self._each.popitem(last=False)
        _forget(times, now, self._seconds)
        if len(times) >= self._most:
            return False
        times.append(now)
        return True


class DomainPace:
    """Counts at each domain what was asked and what was answered in the last `seconds`; lives as long as the process.

    One person may have all mailboxes of a domain.  Where people sign up they answer, and of the mails to a domain from
    which nobody does only the `first` are sent.
    """

    def __init__(self, first: int, each: int, seconds: float) -> None:
        self._first, self._each_answer, self._seconds = first, each, seconds
        self._each: OrderedDict[str, tuple[deque[float], deque[float]]] = OrderedDict()

    def is_open(self, domain: str, now: float) -> bool:
        """Whether one more may be asked there."""
        asked, answered = self._times(domain, now)
        return len(asked) < self._first + self._each_answer * len(answered)

    def lets(self, domain: str, now: float) -> bool:
        """Count one more that is asked, if it may be."""
        if not self.is_open(domain, now):
            return False
        self._times(domain, now)[0].append(now)
        return True

    def answer(self, domain: str, now: float) -> None:
        """Count one that has answered."""
        self._times(domain, now)[1].append(now)

    def _times(self, domain: str, now: float) -> tuple[deque[float], deque[float]]:
        both = self._each.setdefault(domain, (deque(), deque()))
        self._each.move_to_end(domain)
        if len(self._each) > _MOST_DOMAINS:
            self._each.popitem(last=False)
        for times in both:
            _forget(times, now, self._seconds)
        return both


def _forget(times: deque[float], now: float, seconds: float) -> None:
    """Those of long ago, and those to come: the clock was set back, and nobody is kept waiting for it."""
    while times and not now - seconds < times[0] <= now:
        times.popleft()


def _network(address: str) -> str:
    """The network that the address is in; "" for all whose address is not known."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, _PREFIX[found.version]), strict=False))
