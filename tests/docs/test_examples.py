"""Every example in README.md and docs/ runs, page by page, as a reader would run it.

Blocks of one page share a folder. ```python blocks share their names too, as in a notebook: what
one of them holds open is still open when a later block runs, until the page closes it. In
```console blocks each line after `$ ` runs in a shell; what it prints is not compared.

Two comments, on a line of their own before a block, change that:

    <!-- not run: reason -->     the block is left out
    <!-- exit 4 -->              its last command exits with 4
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import types
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"(?:^<!-- (?P<remark>[^\n]*?) -->\n\n?)?"
    r"^```(?P<language>python|console)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# What stands on the PATH as `counterfoil`: the code under test, wherever it was imported from.
COMMAND = f"""#!{sys.executable}
import sys
sys.path[:0] = {[path for path in sys.path if path]!r}
from counterfoil.cli import main
sys.exit(main())
"""
TIMEOUT_S = 300  # an example that takes longer is no example


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, and the line of the page it begins on."""

    line: int
    language: str
    code: str
    not_run: str
    exit_code: int


def blocks_of(text: str) -> list[Block]:
    """Every runnable block of a page, in order."""
    found = []
    for match in FENCE.finditer(text):
        remark = match["remark"] or ""
        skip = re.fullmatch(r"not run: (.+)", remark)
        code = re.fullmatch(r"exit (\d+)", remark)
        found.append(
            Block(
                line=text.count("\n", 0, match.start("code")) + 1,
                language=match["language"],
                code=match["code"],
                not_run=skip[1] if skip else "",
                exit_code=int(code[1]) if code else 0,
            )
        )
    return found


def commands_of(code: str) -> list[str]:
    """The lines a reader types: after `$ `, joined where a backslash ends them."""
    return [
        line.removeprefix("$ ")
        for line in code.replace("\\\n", "").splitlines()
        if line.startswith("$ ")
    ]


def close(namespace: dict[str, object]) -> None:
    """End a script: close what of ours it left open, and forget its names."""
    for value in namespace.values():
        if type(value).__module__.startswith("counterfoil") and hasattr(value, "close"):
            value.close()
    namespace.clear()


PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.exists() and any(not block.not_run for block in blocks_of(page.read_text("utf-8")))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    """What this page shows can be pasted and works."""
    if "DevChain" in page.read_text("utf-8"):
        request.getfixturevalue("anvil")
    if "$ openssl" in page.read_text("utf-8") and shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    folder, commands = tmp_path / "reader", tmp_path / "bin"
    folder.mkdir()
    commands.mkdir()
    (commands / "counterfoil").write_text(COMMAND)
    (commands / "counterfoil").chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    script = types.ModuleType("example")  # a real module, so that its classes can be pickled
    monkeypatch.setitem(sys.modules, "example", script)

    for block in blocks_of(page.read_text("utf-8")):
        if block.not_run:
            continue
        if block.language == "python":
            # Blank lines in front, so that a traceback names the page's own line.
            source = "\n" * (block.line - 1) + block.code
            script.__dict__.setdefault("__name__", "example")
            with warnings.catch_warnings():
                warnings.simplefilter("default")  # a reader sees warnings, and goes on
                exec(compile(source, str(page), "exec"), script.__dict__)  # noqa: S102 - the test
        else:
            *earlier, last = commands_of(block.code)
            for command, expected in [*((c, 0) for c in earlier), (last, block.exit_code)]:
                result = subprocess.run(  # noqa: S602 - the commands are those of our own pages
                    command,
                    shell=True,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=TIMEOUT_S,
                    check=False,
                )
                assert result.returncode == expected, (
                    f"{page.name}:{block.line}: `{command}` exited with {result.returncode}, "
                    f"not {expected}:\n{result.stdout}{result.stderr}"
                )
    close(script.__dict__)


def test_blocks_are_found():
    """A page's blocks are found with their language, their line and what a comment says of them."""
    page = (
        "# Page\n\n```python\nx = 1\n```\n\n"
        "<!-- exit 4 -->\n```console\n$ counterfoil \\\n verify x\nno\n$ ls\n```\n\n"
        "<!-- not run: a network -->\n\n```python\ny\n```\n\n```toml\nz = 1\n```\n"
    )
    first, second, third = blocks_of(page)
    assert first == Block(4, "python", "x = 1\n", "", 0)
    assert (second.line, second.exit_code) == (9, 4)
    assert commands_of(second.code) == ["counterfoil  verify x", "ls"]
    assert third == Block(18, "python", "y\n", "a network", 0)


def test_every_comment_before_a_block_is_understood():
    """No page hides a block behind a misspelt comment."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        if page.exists():
            for match in FENCE.finditer(page.read_text("utf-8")):
                if remark := match["remark"]:
                    assert re.fullmatch(r"not run: .+|exit \d+", remark), f"{page}: {remark}"
