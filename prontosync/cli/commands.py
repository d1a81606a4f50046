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
    "init": Entry("start", "init", "make a repository, or a hub", "start"),
    "clone": Entry("start", "clone", "make a repository with what a hub holds", "start"),
    "restore": Entry("start", "restore", "build a database from a snapshot", "start"),
    "config": Entry("config", "config", "read and change the configuration", "start"),
    "status": Entry("status", "status", "show what changed, and how things stand", "work"),
    "snapshot": Entry("snapshot", "snapshot", "commit the live database's state", "work"),
    "diff": Entry("diff", "diff", "show the rows in which two states differ", "work"),
    "track": Entry("track", "track", "let the live database note what changes", "work"),
    "branch": Entry("branches", "branch", "list, make and delete branches", "work"),
    "tag": Entry("branches", "tag", "list, make and delete tags", "work"),
    "switch": Entry("branches", "switch", "go to another branch, without a live database", "work"),
    "remote": Entry("remote", "remote", "add, list, remove and check the remotes", "share"),
    "fetch": Entry("transfer", "fetch", "bring what is new on a remote", "share"),
    "push": Entry("transfer", "push", "send what a remote lacks", "share"),
    "pull": Entry("sync", "pull", "fetch, then merge", "share"),
    "sync": Entry("sync", "sync", "snapshot, fetch, merge, push: the command for cron", "share"),
    "merge": Entry("merge", "merge", "bring another branch's changes into this one", "come together"),
    "rules": Entry("rules", "rules", "show by which rules is merged, and publish them", "come together"),
    "conflicts": Entry("conflicts", "conflicts", "show what is in dispute", "come together"),
    "resolve": Entry("resolve", "resolve", "decide what is in dispute", "come together"),
    "revert": Entry("takeback", "revert", "take back what a commit brought", "come together"),
    "undo": Entry("takeback", "undo", "take back the last merge", "come together"),
    "demo": Entry("demo", "demo", "play a day of a chain with head office and two stores", "help"),
    "log": Entry("log", "log", "show the history, of a table or a row too", "look"),
    "show": Entry("log", "show", "show one commit", "look"),
    "sql": Entry("sql", "sql", "ask a question of any revision in SQL", "look"),
    "ls-tables": Entry("tables", "ls_tables", "list the tables of a revision", "look"),
    "ls-files": Entry("tables", "ls_files", "list the files of a table, and the SQL that reads them", "look"),
    "export": Entry("tables", "export", "write a table to a CSV, Parquet or JSON file", "look"),
    "verify": Entry("verify", "verify", "check that everything is there and unchanged", "look"),
    "cat-object": Entry("plumbing", "cat_object", "print an object", "plumbing"),
    "hash-object": Entry("plumbing", "hash_object", "print the id that a file would have", "plumbing"),
    "rev-parse": Entry("plumbing", "rev_parse", "print the id that a revision names", "plumbing"),
    "update-ref": Entry("plumbing", "update_ref", "move a ref", "plumbing"),
    "merge-base": Entry("plumbing", "merge_base", "print the newest common ancestors", "plumbing"),
    "help": Entry("help", "help_command", "show how a command is used", "help"),
    "completion": Entry("help", "completion", "print the completion script of a shell", "help"),
    "version": Entry("help", "version", "print the version", "help"),
}
