"""The private parts of paramiko that our reader and writer stand on. A version that changes them fails here first."""

from __future__ import annotations

import inspect
import logging

import paramiko
import pytest
from paramiko import sftp as protocol

from prontosync.remote import sftp_connection
from prontosync.remote.sftp_pipeline import Pipeline
from tests.fixtures.hubs import Hub


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (paramiko.SFTPClient._async_request, ["self", "fileobj", "t", "args"]),
        (paramiko.SFTPClient._read_response, ["self", "waitfor"]),
        (paramiko.SFTPClient._send_packet, ["self", "t", "packet"]),
        (paramiko.SFTPClient._read_packet, ["self"]),
        (paramiko.SFTPClient._write_all, ["self", "out"]),
        (paramiko.SFTPClient._send_version, ["self"]),
        (paramiko.Transport._send_user_message, ["self", "data"]),
    ],
)
def test_the_methods_we_use_or_replace_are_what_they_were(method: object, parameters: list[str]) -> None:
    assert list(inspect.signature(method).parameters) == parameters  # type: ignore[arg-type]


def test_a_reply_is_handed_to_the_file_that_the_request_was_for() -> None:
    source = inspect.getsource(paramiko.SFTPClient._read_response)
    assert "fileobj._async_response(t, msg, num)" in source
    assert "self._expecting[num] = fileobj" in inspect.getsource(paramiko.SFTPClient._async_request)
    assert "self._send_version()" in inspect.getsource(paramiko.SFTPClient.__init__)
    assert isinstance(protocol.int64(1), int)


def test_every_algorithm_we_ask_for_exists_and_none_is_outdated(sftp_hub: Hub) -> None:
    with sftp_hub.sftp() as remote:
        remote.hub_id()
        assert remote._connection is not None
        transport = remote._connection._transport
        assert transport is not None
        security = transport.get_security_options()
        offered = [*security.ciphers, *security.digests, *security.key_types, *security.kex]
        assert not [name for name in offered if "cbc" in name or "3des" in name or "md5" in name or "sha1" in name]
        assert transport.local_cipher == transport.remote_cipher == "aes128-gcm@openssh.com"
        assert security.ciphers == sftp_connection.CIPHERS
        assert "ssh-rsa" not in security.key_types


def test_the_servers_extensions_and_limits_are_learnt(sftp_hub: Hub) -> None:
    with sftp_hub.sftp() as remote:
        remote.hub_id()
        pipeline = _pipeline(remote)
        assert {"fsync@openssh.com", "hardlink@openssh.com", "statvfs@openssh.com"} <= pipeline.extensions.keys()
        assert pipeline.chunk == 32_704
        assert pipeline.handles.trusted


def test_nothing_of_the_librarys_log_comes_through(sftp_hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    with sftp_hub.sftp(identity=sftp_hub.sshd.folder / "host_key") as remote, pytest.raises(Exception, match="refused"):  # type: ignore[union-attr]
        remote.hub_id()
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("paramiko").propagate is False


def _pipeline(remote: object) -> Pipeline:
    connection = remote._connection  # type: ignore[attr-defined]
    assert isinstance(connection.pipeline, Pipeline)
    return connection.pipeline
