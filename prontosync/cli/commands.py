"""The one table of commands: what ``prontosync --help`` lists, and where each command lives.

A name leads to a module that is imported only when its command is used; that keeps start-up fast. The summary here is
the command's only one: help, man pages and docs take it from this table.
"""

from __future__ import annotations

from typing import NamedTuple

SECTIONS: tuple[str, ...] = ("start", "work", "share", "come together", "look", "plumbing", "help")


class Entry(NamedTuple):
    """``module`` is below ``prontosync.cli``; ``attribute`` is the command object in it."""

    module: str
    attribute: str
    summary: str
    section: str


COMMANDS: dict[str, Entry] = {
    "remote": Entry("remote", "remote", "add, list, remove and check the remotes", "share"),
    "fetch": Entry("transfer", "fetch", "bring what is new on a remote", "share"),
    "push": Entry("transfer", "push", "send what a remote lacks", "share"),
    "pull": Entry("sync", "pull", "fetch, then merge", "share"),
    "sync": Entry("sync", "sync", "snapshot, fetch, merge, push: the command for cron", "share"),
    "merge": Entry("merge", "merge", "bring another branch's changes into this one", "come together"),
    "conflicts": Entry("conflicts", "conflicts", "show what is in dispute", "come together"),
    "resolve": Entry("resolve", "resolve", "decide what is in dispute", "come together"),
    "revert": Entry("takeback", "revert", "take back what a commit brought", "come together"),
    "undo": Entry("takeback", "undo", "take back the last merge", "come together"),
    "help": Entry("help", "help_command", "show how a command is used", "help"),
    "completion": Entry("help", "completion", "print the completion script of a shell", "help"),
    "version": Entry("help", "version", "print the version", "help"),
}
