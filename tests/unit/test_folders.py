"""Folders as IMAP servers name them: which is for junk, and what people call it."""

import pytest

from relay.doors.mailbox.folders import Folder, decoded, read_folder


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        (rb'* LIST (\HasNoChildren \Junk) "/" "Unwanted"', Folder("Unwanted", "Unwanted", is_junk=True)),
        (rb'* LIST (\HasNoChildren) "/" INBOX', Folder("INBOX", "INBOX", is_junk=False)),
        (rb'* list () "." INBOX.Spam', Folder("INBOX.Spam", "INBOX.Spam", is_junk=True)),
        (rb'* LIST (\Junk) "/" "[Gmail]/Spam"', Folder("[Gmail]/Spam", "[Gmail]/Spam", is_junk=True)),
        (rb'* LIST () "/" "&V4NXPpCuTvY-"', Folder("&V4NXPpCuTvY-", "垃圾邮件", is_junk=True)),
        (rb'* LIST (\NoSelect) NIL "Junk"', Folder("Junk", "Junk", is_junk=True, opens=False)),
        (rb'* LIST () "\\" "a\"b"', Folder('a"b', 'a"b', is_junk=False)),
        (rb'* LIST () "/" "Junk mail of others"', Folder("Junk mail of others", "Junk mail of others", is_junk=False)),
        (rb'* LIST () "/" "Spam/2026"', Folder("Spam/2026", "Spam/2026", is_junk=False)),
    ],
)
def test_what_a_server_lists(text, folder):
    assert read_folder(text, ()) == folder


def test_a_name_that_comes_as_a_literal():
    assert read_folder(rb'* LIST () "/" ', (b"Junk",)) == Folder("Junk", "Junk", is_junk=True)


@pytest.mark.parametrize("text", [b"* SEARCH 1 2", b"* LIST", b'* LIST () "/" "\xe5\x9e\x83"', b'* LIST () "/" ""'])
def test_what_names_no_folder_that_can_be_asked_for(text):
    assert read_folder(text, ()) is None


@pytest.mark.parametrize(("name", "shown"), [("A&-B", "A&B"), ("&bad", "&bad"), ("&AA-", "&AA-"), ("&XfJT0ZAB-", "已发送")])
def test_modified_utf_7(name, shown):
    assert decoded(name) == shown
