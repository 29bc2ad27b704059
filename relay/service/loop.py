"""What a process of the service asks of the system: an event loop, and enough open files."""

import asyncio
import sys

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop  # for the commands; the service itself needs POSIX

    def raise_file_limit() -> None:
        """Windows has no such limit."""

else:
    import resource

    import uvloop  # TLS sessions take a tenth of the memory

    new_event_loop = uvloop.new_event_loop

    def raise_file_limit() -> None:
        """Use as many open files as this process may: the usual 1024 are fewer than [smtp] max_connections needs."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
