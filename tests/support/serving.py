"""What a `relay serve` says on its standard output, from the start to the end."""

import json
import threading
from typing import IO, Any


class Listening:
    """Reads what the process says, on a thread, and adds every line to `said` as it comes."""

    def __init__(self, stdout: IO[str] | None, said: list[str]) -> None:
        assert stdout
        self._stdout, self._said = stdout, said
        self._ready: dict[str, Any] = {}
        self._known = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for line in self._stdout:
            self._said.append(line)
            if line.startswith("{") and (event := json.loads(line))["event"] == "ready":
                self._ready = event
                self._known.set()
        self._stdout.close()
        self._known.set()

    def until_ready(self, seconds: float = 60.0) -> dict[str, Any]:
        """The event "ready"; {} when the process ended without it or has not said it by then."""
        self._known.wait(seconds)
        return self._ready

    def to_the_end(self, seconds: float = 60.0) -> None:
        """Until all that the process and its children said is there; they must have ended."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "somebody still has the standard output open"
