from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMPILER = os.environ.get("CC") or (sysconfig.get_config_var("CC") or "cc").split()[0]


@pytest.fixture
def tree(tmp_path):
    """What a build needs, in a folder of its own."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def build(tree, **environment):
    """Build a wheel without network; return what was said, and the wheel."""
    result = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=tree,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (wheel,) = (tree / "dist").glob("*.whl")
    return result.stdout + result.stderr, wheel


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CC": "/bin/false"}, "/bin/false cannot compile the kernel: it ended with 1"),
        ({"CC": "/no/such/cc"}, "there is no compiler /no/such/cc"),
        ({"COUNTERFOIL_KERNEL": "off"}, "COUNTERFOIL_KERNEL is off"),
    ],
)
def test_a_wheel_without_the_kernel_is_for_every_platform(environment, reason, tree):
    """Where nothing can be compiled, or is not to be, the build succeeds and says why."""
    said, wheel = build(tree, **environment)
    assert f"counterfoil is built as pure Python: {reason}" in said
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason="there is no compiler here")
def test_a_wheel_with_the_kernel_serves_every_python_of_its_platform(tree):
    """The compiled file is in the wheel and nowhere else, and what it hashes is true."""
    said, wheel = build(tree, COUNTERFOIL_KERNEL="")
    assert "counterfoil is built with its kernel" in said
    assert "-cp311-abi3-" in wheel.name
    assert not list((tree / "src").rglob("*.so"))
    zipfile.ZipFile(wheel).extractall(tree / "away")
    assert (tree / "away/counterfoil/kernel/_native.abi3.so").exists()
    code = (
        "import hashlib, sys; from counterfoil import kernel;"
        "import counterfoil.kernel._native as native;"
        "assert kernel.is_native() or not native.lib.kernel_is_usable();"
        "assert kernel.leaves([b'x'] * 9)[:32] == hashlib.sha256(b'\\0x').digest();"
        "print(kernel.__file__)"
    )
    environment = os.environ | {"PYTHONPATH": str(tree / "away"), "COUNTERFOIL_KERNEL": ""}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(tree / "away"))


def test_an_editable_build_leaves_no_old_kernel_behind(tree, monkeypatch):
    """What was compiled from older source is gone, even if nothing new can be compiled."""
    spec = importlib.util.spec_from_file_location("hatch_build", tree / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    old = tree / module.PACKAGE / module.COMPILED
    old.write_bytes(b"old")
    monkeypatch.setenv("CC", "/bin/false")
    hook = module.CustomBuildHook(str(tree), {}, None, None, str(tree), "wheel")
    hook.initialize("editable", {})
    assert not old.exists()
