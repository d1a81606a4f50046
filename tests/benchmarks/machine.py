"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("duckdb", "pyarrow", "numpy", "paramiko", "adbc-driver-sqlite")


def machine() -> list[tuple[str, str]]:
    """What to know of it, as names and values."""
    return [
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        ("load when it began", f"{os.getloadavg()[0]:.1f}"),
        ("system", f"{_system()}, Linux {platform.release()}"),
        ("Python", platform.python_version()),
        ("libraries", ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)),
    ]


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
