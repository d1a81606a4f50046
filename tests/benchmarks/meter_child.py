"""Runs a command and writes what it used: ``meter_child.py RESULT COMMAND…``. Kept small, for ``meter.py`` says why."""

import json
import os
import sys
import time


def main(result: str, words: list[str]) -> None:
    start = time.perf_counter()
    pid = os.posix_spawnp(words[0], words, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    figures = {
        "code": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
    }
    with open(result, "w", encoding="utf-8") as file:
        json.dump(figures, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
