"""What deploy/ has people run is what the command line takes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from counterfoil.cli import app

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())


def parse(words):
    """Parse a command line as `counterfoil` does, and run nothing."""
    command = typer.main.get_command(app)
    context = command.make_context("counterfoil", list(words), resilient_parsing=True)
    rest = [*words]
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    # Raises where there is no such option, or an argument is missing or too many.
    command.make_context(command.name, rest, parent=context)


def command_of(unit):
    text = unit.read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *words = shlex.split(line)
    assert program == "/opt/counterfoil/bin/counterfoil"
    return words


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_what_there_is(unit):
    """Each command and option in a unit is one of ours."""
    parse(command_of(unit))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_read_by_systemd(unit):
    """Nothing in a unit is unknown to systemd, but the program that is not installed here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("UNITS ARE NOT VERIFIED: there is no systemd-analyze here")
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    # Without a running systemd it may also have a word on its own environment.
    about_us = [line for line in said.splitlines() if unit.name in line]
    assert [line for line in about_us if "is not executable" not in line] == []


def test_compose_starts_what_there_is():
    """Each of our services runs a command of ours, with what it needs declared in the file."""
    ours = {
        name: service
        for name, service in COMPOSE["services"].items()
        if service["image"] == "counterfoil"
    }
    assert set(ours) == {"ledger", "witness"}
    for service in ours.values():
        program, *words = service["command"]
        assert program == "counterfoil"
        parse(words)
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if "/" in source else source in COMPOSE["volumes"]
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
