"""A Redis master, one replica and one Sentinel that fails over when it is told to: a busy machine does not make it."""

import subprocess
from pathlib import Path

from tests.support.ports import free_port
from tests.support.redis_server import DURABLE, RedisServer, required_redis_server
from tests.support.waiting import wait_until

SERVICE = "relay"


class SentinelGroup:
    """`url` is what [store] url says; `master` and `replica` are RedisServers as they were started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = (*DURABLE, "--min-replicas-to-write", "0", "--repl-diskless-sync-delay", "0")
        self.master = RedisServer(folder / "master", settings)
        replica_of = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = RedisServer(folder / "replica", (*settings, *replica_of))
        self.port = free_port()
        self._sentinel: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{SERVICE}"

    def start(self) -> None:
        self.master.start()
        self.replica.start()
        wait_until(lambda: "master_link_status:up" in self.replica.command("INFO", "replication"))
        self.master.command("CONFIG", "SET", "min-replicas-to-write", "1")
        wait_until(lambda: "min_slaves_good_slaves:1" in self.master.command("INFO", "replication"))
        file = self.folder / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.master.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 60000\nsentinel failover-timeout {SERVICE} 3000\n"
        )
        with (self.folder / "sentinel.log").open("ab") as log:
            self._sentinel = subprocess.Popen([required_redis_server(), str(file), "--sentinel"], stdout=log, stderr=log)
        wait_until(lambda: "slaves=1" in self._info())

    def stop(self) -> None:
        if self._sentinel is not None:
            self._sentinel.terminate()
            self._sentinel.wait(30)
        self.replica.stop()
        self.master.stop()

    def fail_over(self) -> None:
        """Have the replica promoted, as Sentinel does when it finds the master dead; returns when it is."""
        # Refused until the replica has said of itself that it is good enough, which may be after it became known.
        wait_until(lambda: self._asked("SENTINEL", "FAILOVER", SERVICE).startswith(("+OK", "-INPROG")))
        wait_until(lambda: f":{self.replica.port}," in self._info())
        wait_until(lambda: "role:master" in self.replica.command("INFO", "replication"))

    def _info(self) -> str:
        try:
            return self._asked("INFO", "sentinel")
        except OSError:
            return ""

    def _asked(self, *words: str) -> str:
        probe = RedisServer(self.folder)
        probe.port = self.port
        return probe.command(*words)
