"""Another machine: a network namespace of this one, on a wire that can be cut. Needs root."""

from __future__ import annotations

import secrets
import subprocess

HERE, THERE = "10.203.71.1", "10.203.71.2"  # the two ends of the wire


class Machine:
    """A machine beside this one.

    Raises:
        OSError: this machine lets nobody make one.
    """

    def __init__(self) -> None:
        mark = secrets.token_hex(3)
        self.name, self._wire = f"cf-{mark}", f"cf{mark}"
        try:
            ip("netns", "add", self.name)
            ip("link", "add", self._wire, "type", "veth", "peer", "eth0", "netns", self.name)
            ip("addr", "add", f"{HERE}/24", "dev", self._wire)
            ip("-n", self.name, "addr", "add", f"{THERE}/24", "dev", "eth0")
            ip("-n", self.name, "link", "set", "eth0", "up")
            ip("-n", self.name, "link", "set", "lo", "up")
            self.heal()
        except OSError:
            self.close()
            raise

    @property
    def within(self) -> tuple[str, ...]:
        """What a command there begins with."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """Cut the wire: whatever is sent is lost, and nobody is told."""
        ip("link", "set", self._wire, "down")

    def heal(self) -> None:
        """Mend it."""
        ip("link", "set", self._wire, "up")

    def close(self) -> None:
        """Take the machine away, and the wire with it."""
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)


def ip(*words: str) -> None:
    """Run `ip`."""
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
