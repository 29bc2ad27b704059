"""Tell systemd how the service is (sd_notify): a datagram on the socket that it names."""

import os
import socket
from contextlib import suppress

PATIENCE_SECONDS = 1.0  # systemd takes a datagram at once unless it is busy; READY=1 is not said twice


def notify(state: str) -> None:
    """Send e.g. "READY=1"; does nothing outside systemd, and never stands in the way of the service."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
        datagram.settimeout(PATIENCE_SECONDS)
        datagram.sendto(state.encode(), address)


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear from us at the most; None when it does not watch this process."""
    microseconds = os.environ.get("WATCHDOG_USEC")
    if not microseconds or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6
