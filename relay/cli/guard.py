"""Runs a command for as long as whoever started it wants it: the demo's relay ends with the demo, even when that is killed.

Started as `python -m relay.cli.guard FOLDER COMMAND...`.  Standard input is the
line of life: when it ends, the command is ended too and the throw-away folder
removed.  A command that ends by itself leaves the folder, with what it logged.
"""

import shutil
import signal
import subprocess
import sys
import threading

_PATIENCE_SECONDS = 30.0


def main() -> None:
    """Start the command and end it when standard input does."""
    folder, *command = sys.argv[1:]
    guarded = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own command
    let_go = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: guarded.terminate())
    threading.Thread(target=_end_when_let_go, args=(guarded, let_go), daemon=True).start()
    code = guarded.wait()
    if let_go.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


def _end_when_let_go(guarded: subprocess.Popen[bytes], let_go: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    let_go.set()
    guarded.terminate()
    try:
        guarded.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        guarded.kill()


if __name__ == "__main__":
    main()
