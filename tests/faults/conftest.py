"""The hubs that these tests run on."""

from tests.fixtures.hubs import hub, meddled_hub, sftp_hub, sshd

__all__ = ["hub", "meddled_hub", "sftp_hub", "sshd"]
