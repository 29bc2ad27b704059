"""A worker is killed with a held copy on its way: another one carries it, and what may arrive twice is on record."""

import os
import signal
from collections import Counter

from tests.support.journey import records
from tests.support.service import OFFICE, PASSWORD, Relay, message
from tests.support.upstream import RecordingUpstream

SHORT = 'patience = "2s"\npast_dot = "1s"\n'
SOON = '[hold]\nfirst_retry = "1s"\nlongest_retry = "1s"\n'
ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"
LATER = "450 4.2.1 greylisted"
LEASES = 180  # what the dead had in hand is theirs for half a minute


def test_a_worker_killed_before_it_heard_the_250_sends_again_what_is_on_record_as_unknown(tmp_path):
    with RecordingUpstream(accounts={OFFICE: PASSWORD}) as upstream:
        table = f'[[account]]\nidentity = "{OFFICE}"\nupstream = "up"\npassword_file = "office.secret"\n'
        relay = Relay(tmp_path, upstream, workers=2, holds=True, delivery=SHORT, extra=table + SOON)
        secret = tmp_path / "office.secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        with relay:
            killed: list[int] = []

            def kill(delivery):
                if delivery.recipients == [BOB] and not killed:
                    for pid in relay.worker_pids():  # whichever of them has it
                        killed.append(pid)
                        os.kill(pid, signal.SIGKILL)

            bobs, eves = (upstream.fault("RCPT", LATER, matching=who) for who in (BOB, EVE))
            for who in (ADA, BOB, EVE):
                code, text = relay.send(OFFICE, [who], message(who, OFFICE))
                assert code == 250, text
            upstream.on_delivery = kill  # all are answered: who is killed is the courier
            upstream.faults.remove(bobs)
            upstream.wait(lambda: killed)
            upstream.faults.remove(eves)
            relay.wait(lambda: upstream.recipients == [ADA, BOB, BOB, EVE], LEASES)
            relay.wait(lambda: {person for one in records(relay, kind="late") for person in one["people"]} >= {BOB, EVE})
        assert upstream.recipients == [ADA, BOB, BOB, EVE]
        announced = Counter(one["people"][number] for one in records(relay, kind="judged") for number in one["again"])
        assert announced[BOB] == 1
        assert announced.keys() <= {BOB, EVE}  # eve's copy may have been on its way, too
        assert len(killed) == 2
