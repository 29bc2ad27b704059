"""What a `relay serve` says on its standard output, from the start to the end."""

import json
import subprocess
import threading
from typing import Any


def wait_until_ready(process: subprocess.Popen[str], said: list[str], seconds: float = 60.0) -> dict[str, Any]:
    """The event "ready"; {} when the process ended without it or never said it. Every line goes on being added to `said`."""
    ready: dict[str, Any] = {}
    known = threading.Event()

    def listen() -> None:
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            if line.startswith("{") and (event := json.loads(line))["event"] == "ready":
                ready.update(event)
                known.set()
        process.stdout.close()
        known.set()

    threading.Thread(target=listen, daemon=True).start()
    known.wait(seconds)
    return ready
