"""Worker processes that append to a log on PostgreSQL until they are killed.

The nursery is a process that has imported everything and holds no connection: each line on its
standard input forks a worker in a few milliseconds, and is answered with the worker's number. What
a worker was acknowledged goes to a file, one line for each call, written whole.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

THREADS = 4


class Nursery:
    """The parent's side.

    Args:
        url: The log's.
        told: The file for what was acknowledged.
        within: Words before its command: what runs it somewhere else.
    """

    def __init__(self, url: str, told: Path, *, within: Sequence[str] = ()) -> None:
        self.told = told
        told.touch()
        self._process = subprocess.Popen(
            [*within, sys.executable, __file__, url, str(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read = 0
        self.lines: list[dict[str, object]] = []

    def spawn(self) -> int:
        """Start a worker; returns its process number."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def news(self) -> list[dict[str, object]]:
        """Read what was acknowledged since the last call."""
        with self.told.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        new = [json.loads(line) for line in whole.splitlines()]
        self.lines += new
        return new

    def close(self) -> None:
        """End all workers."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def main(url: str, told: str) -> None:
    """Be the nursery."""
    from servers import end_with_parent  # noqa: PLC0415 beside this file

    import counterfoil.cluster.move  # noqa: PLC0415 whatever a worker needs
    import counterfoil.core.receipt  # noqa: F401, PLC0415 likewise

    end_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers are not waited for
    for number, _ in enumerate(sys.stdin):
        child = os.fork()
        if child == 0:
            try:
                end_with_parent()
                work(url, told, number)
            finally:
                os._exit(1)
        print(child, flush=True)  # noqa: T201 that is the answer


def work(url: str, told: str, number: int) -> None:
    """Append, and tell of what was acknowledged."""
    from counterfoil.cluster import open_log  # noqa: PLC0415 only in workers
    from counterfoil.core.receipt import format_receipt  # noqa: PLC0415
    from counterfoil.errors import CounterfoilError  # noqa: PLC0415

    warnings.simplefilter("ignore")
    fd = os.open(told, os.O_WRONLY | os.O_APPEND)
    while True:
        try:
            log = open_log(url)
            break
        except CounterfoilError:
            time.sleep(0.1)

    def tell(**line: object) -> None:
        os.write(fd, json.dumps({"worker": os.getpid(), **line}).encode() + b"\n")

    def append(thread: int) -> None:
        for count in itertools.count():
            entry = f"worker {number} thread {thread} call {count} "
            entries = [(entry + str(one)).encode() for one in range(1 + (count % 7 == 0) * 40)]
            begun = time.monotonic()
            try:
                receipts = log.append_many(entries)
                first, last = receipts[0], receipts[-1]
            except CounterfoilError as error:
                tell(begun=begun, at=time.monotonic(), error=type(error).__name__, says=str(error))
                time.sleep(0.05)
                continue
            note = last.checkpoint.decode()
            known = {"first": entries[0].decode(), "index": first.index, "note": note}
            if count % 20 == 0:
                known["receipt"] = format_receipt(last).decode()
                known["last"] = entries[-1].decode()
            tell(begun=begun, at=time.monotonic(), count=len(entries), **known)

    threads = [threading.Thread(target=append, args=(one,)) for one in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
