"""What a process of the service asks of the system: an event loop, and enough open files."""

import asyncio
import sys

FILES = 65536

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop  # for the commands; the service itself needs POSIX

    def raise_file_limit() -> None:
        """Windows has no such limit."""

else:
    import resource

    import uvloop  # TLS sessions take a tenth of the memory

    new_event_loop = uvloop.new_event_loop

    def raise_file_limit() -> None:
        """Allow more open files than the usual 1024: [smtp] max_connections alone may need that many."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
