"""Compile the kernel while the wheel is built, where that can be done.

Without a compiler, without cffi, or with `COUNTERFOIL_KERNEL=off`, the wheel is pure Python, says
so, and hashes with hashlib. Nothing is fetched. The compiled file uses Python's limited interface,
so one file is for every version from 3.11 on.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

PACKAGE = "src/counterfoil/kernel"
COMPILED = "_native.abi3.so"
LINK = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
LIMITED_API = "-DPy_LIMITED_API=0x030b0000"  # Python 3.11


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling before it puts a wheel together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; on success the wheel is one for this platform.

        Args:
            version: `editable` if the source folder is what will be imported, else `standard`.
            build_data: What hatchling will do; see its documentation.
        """
        package = Path(self.root, PACKAGE)
        in_place = package / COMPILED
        if version == "editable":
            in_place.unlink(missing_ok=True)  # one of another time must not stay
            folder = package
        else:
            self._scratch = tempfile.TemporaryDirectory()
            folder = Path(self._scratch.name)
        refused = why_not() or compile_kernel(package / "kernel.c", folder)
        if refused:
            self.app.display_info(f"counterfoil is built as pure Python: {refused}")
            return
        self.app.display_info("counterfoil is built with its kernel")
        names = ("manylinux", "musllinux")  # what only a build on an old system may claim
        platforms = (tag.platform for tag in sys_tags() if not tag.platform.startswith(names))
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{next(platforms)}"
        if version != "editable":
            build_data["force_include"][str(folder / COMPILED)] = f"counterfoil/kernel/{COMPILED}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what was compiled outside the source folder."""
        if version != "editable":
            self._scratch.cleanup()


def why_not() -> str:
    """Say why compiling is not tried here; empty if it is."""
    if os.environ.get("COUNTERFOIL_KERNEL") == "off":
        return "COUNTERFOIL_KERNEL is off"
    if platform.python_implementation() != "CPython" or sys.platform == "win32":
        return "the kernel is for CPython on Linux and macOS"
    if sysconfig.get_config_var("Py_GIL_DISABLED") or sysconfig.get_config_var("Py_DEBUG"):
        return "this Python has no limited interface"
    return ""


def compile_kernel(source: Path, folder: Path) -> str:
    """Compile `source` into `folder`; return why that failed, or nothing."""
    try:
        from cffi import FFI  # noqa: PLC0415 it may be missing
    except ImportError:
        return "there is no cffi"
    text = source.read_text("utf-8")
    ffi = FFI()
    # Declared once, in C.
    ffi.cdef(
        "".join(
            f"{found};"
            for found in re.findall(r"^static (int kernel_\w+\([^)]*\))", text, re.MULTILINE)
        )
    )
    ffi.set_source("counterfoil.kernel._native", text)
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    include = f"-I{sysconfig.get_path('include')}"
    with tempfile.TemporaryDirectory() as scratch:
        generated = Path(scratch, "_native.c")
        ffi.emit_c_code(str(generated))
        command = [*compiler, "-O2", "-fPIC", LIMITED_API, include, *LINK, str(generated), "-o"]
        try:
            subprocess.run(  # noqa: S603 the compiler that Python was built with, or the user's
                [*command, str(folder / COMPILED)], check=True, capture_output=True
            )
        except FileNotFoundError:
            return f"there is no compiler {compiler[0]}"
        except (OSError, subprocess.CalledProcessError) as error:
            return f"{compiler[0]} cannot compile the kernel: {_told(error)}"
    return ""


def _told(error: OSError | subprocess.CalledProcessError) -> str:
    """Give the last line of what the compiler said, or how it ended."""
    if isinstance(error, OSError):
        return str(error)
    said = error.stderr.decode("utf-8", "replace").strip()
    return said.splitlines()[-1] if said else f"it ended with {error.returncode}"
