"""The SMTP door on uvloop, as in production: the scenes where its transports, handshakes and closing differ from asyncio's."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.support.door import Authority
from tests.unit import test_certificates as certificates
from tests.unit import test_proxy as proxy
from tests.unit import test_registry as registry
from tests.unit import test_session as session
from tests.unit import test_smtp_traps as traps


def an_authority(folder: Path) -> Authority:
    authority = Authority(folder)
    authority.issue()
    return authority


async def never_reads() -> None:
    with pytest.MonkeyPatch.context() as patch:
        await session.test_a_client_that_does_not_read_is_cut_off(patch)


Scene = Callable[[Path], Coroutine[Any, Any, None]]

SCENES: dict[str, Scene] = {
    "over-size": lambda _: traps.test_a2_an_endless_line_is_bounded_by_the_size_limit(),
    "dripping data": lambda _: traps.test_a4_the_whole_of_data_ends_in_time_however_slowly_it_drips(),
    "half-close": lambda _: traps.test_a5_a_client_that_goes_away_does_not_cut_the_forward("half-close"),
    "disconnect": lambda _: traps.test_a5_a_client_that_goes_away_does_not_cut_the_forward("disconnect"),
    "reset": lambda _: traps.test_a5_a_client_that_goes_away_does_not_cut_the_forward("reset"),
    "implicit TLS": lambda folder: traps.test_a8_auth_works_under_implicit_tls(an_authority(folder)),
    "421 closes": lambda _: traps.test_a19_a_421_closes(),
    "heard": lambda _: session.test_a_client_that_goes_on_has_heard_the_reply(),
    "pipelined": lambda _: session.test_a_pipelined_command_says_nothing_and_a_later_one_does(),
    "not heard": lambda _: session.test_a_client_that_hangs_up_after_the_reply_has_not_said_that_it_heard(),
    "timeout": lambda _: session.test_a_client_that_says_nothing_is_told_so(),
    "never reads": lambda _: never_reads(),
    "idle drain": lambda _: registry.test_an_idle_session_is_told_goodbye_at_once(),
    "busy drain": lambda _: registry.test_a_busy_session_finishes_its_mail_first(),
    "cut off": lambda _: registry.test_at_the_deadline_what_is_left_is_cut_off(),
    "STARTTLS": lambda folder: certificates.test_a_renewed_certificate_is_used_for_starttls_too(an_authority(folder)),
    "no handshake": lambda folder: certificates.test_what_is_no_handshake_is_closed_and_the_next_client_is_served(
        an_authority(folder)
    ),
    "failed STARTTLS": lambda folder: certificates.test_a_failed_starttls_handshake_ends_the_session(an_authority(folder)),
    "PROXY before TLS": proxy.test_the_header_comes_before_the_handshake,
}


@pytest.mark.parametrize("scene", SCENES)
def test_the_scene_holds(scene: str, tmp_path: Path):
    uvloop.run(SCENES[scene](tmp_path))
