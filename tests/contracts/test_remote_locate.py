"""Addresses of remotes as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from prontosync.remote.connection import Address, ConnectionOptions
from prontosync.remote.folder import FolderRemote
from prontosync.remote.locate import BadUrl, locate, sftp_address
from prontosync.remote.sftp import SftpRemote

OPTIONS = ConnectionOptions()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sftp://shop@hub/srv/012", Address("shop", "hub", 22, "/srv/012")),
        ("sftp://shop@hub:2222/srv/012/", Address("shop", "hub", 2222, "/srv/012")),
        ("sftp://shop@hub/~/hub", Address("shop", "hub", 22, "hub")),
        ("sftp://shop@hub/~", Address("shop", "hub", 22, ".")),
        ("sftp://shop@hub", Address("shop", "hub", 22, "/")),
        ("sftp://shop@[::1]:2222/x", Address("shop", "::1", 2222, "/x")),
        ("sftp://shop@[fe80::1]/x", Address("shop", "fe80::1", 22, "/x")),
        ("sftp://hub/a%20b", Address("me", "hub", 22, "/a b")),
    ],
)
def test_the_parts_of_a_url(url: str, address: Address) -> None:
    assert sftp_address(url, "me") == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ssh://hub/x",
        "http://hub/x",
        "file:///srv/hub",
        "sftp://u:secret@hub/x",
        "sftp://u:@hub/x",
        "sftp:///x",
        "sftp://hub:0/x",
        "sftp://hub:99999/x",
        "sftp://hub:port/x",
        "sftp://u@[::1/x",
        "sftp://hub/x?y",
        "sftp://hub/x#y",
        "sftp://hub/x%0ay",
        "a\nb",
        "shop@hub:/srv/012",
        "hub:srv/012",
        "shop@hub:",
    ],
)
def test_what_is_refused(url: str) -> None:
    with pytest.raises(BadUrl) as caught:
        locate(url, ConnectionOptions(user="me"), Path("/"))
    assert caught.value.exit == 2
    assert "secret" not in caught.value.message + (caught.value.hint or "")


def test_the_way_out_of_scp_is_shown() -> None:
    for url, way in (("shop@hub:/srv", "sftp://shop@hub/srv"), ("hub:x/y", "sftp://user@hub/~/x/y")):
        with pytest.raises(BadUrl) as caught:
            locate(url, OPTIONS, Path("/"))
        assert way in (caught.value.hint or "")


def test_a_url_without_a_user_needs_one() -> None:
    with pytest.raises(BadUrl, match="names no user"):
        sftp_address("sftp://hub/x")


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    for url in ("hub", "./a:b", "../x", str(tmp_path), "/a:b"):
        remote = locate(url, OPTIONS, tmp_path)
        assert isinstance(remote, FolderRemote)
        assert remote.top == tmp_path / url
        assert remote.url == url


def test_nothing_is_connected_yet() -> None:
    assert isinstance(locate("sftp://shop@hub.invalid/x", OPTIONS, Path("/")), SftpRemote)


def test_where_a_path_of_the_hub_lies() -> None:
    assert sftp_address("sftp://a@hub/srv").below("tmp/x") == "/srv/tmp/x"
    assert sftp_address("sftp://a@hub/").below("tmp/x") == "/tmp/x"
    assert sftp_address("sftp://a@hub/~/h").below("tmp/x") == "h/tmp/x"
    assert sftp_address("sftp://a@hub/srv").below("") == "/srv"
