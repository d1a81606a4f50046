"""The hubs that these tests run on."""

from tests.fixtures.hubs import hub, meddled_hub, sftp_hub, small_disk, sshd

__all__ = ["hub", "meddled_hub", "sftp_hub", "small_disk", "sshd"]
