"""A worker is killed with a held copy on its way: another one carries it, and what may arrive twice is on record."""

import os
import signal

from tests.support.journey import records
from tests.support.service import OFFICE, PASSWORD, Relay, message
from tests.support.upstream import RecordingUpstream

LIMITED = {"streams/correspondence.toml": [(r"identity = \[\]", 'identity = ["1/second"]')]}
SHORT = 'patience = "2s"\npast_dot = "1s"\n'


def test_a_worker_killed_before_it_heard_the_250_sends_again_what_is_on_record_as_unknown(tmp_path):
    with RecordingUpstream(accounts={OFFICE: PASSWORD}) as upstream:
        table = f'[[account]]\nidentity = "{OFFICE}"\nupstream = "up"\npassword_file = "office.secret"\n'
        relay = Relay(tmp_path, upstream, workers=2, holds=True, delivery=SHORT, policy=LIMITED, extra=table)
        secret = tmp_path / "office.secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        with relay:
            killed: list[int] = []

            def kill(delivery):
                if b"Second" in delivery.data and not killed:
                    for pid in relay.worker_pids():  # whichever of them has it
                        killed.append(pid)
                        os.kill(pid, signal.SIGKILL)

            upstream.on_delivery = kill
            for subject in ("First", "Second", "Third"):
                code, text = relay.send(OFFICE, ["ada@example.org"], message(sender=OFFICE, subject=subject))
                assert code == 250, text
            relay.wait(lambda: len([d for d in upstream.accepted if b"Second" in d.data]) == 2)
            relay.wait(lambda: any(b"Third" in d.data for d in upstream.accepted))
            relay.wait(lambda: len(records(relay, kind="late")) == 2)
        counted = {subject: sum(subject in d.data for d in upstream.accepted) for subject in (b"First", b"Second", b"Third")}
        assert counted == {b"First": 1, b"Second": 2, b"Third": 1}
        (again,) = records(relay, kind="judged")
        assert len(again["again"]) == 1
        assert len(killed) == 2
