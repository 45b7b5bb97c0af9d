"""What a function is known by: the text of the code that it runs, and the values bound to it.

Text can be read and is the same on every version of Python, but a file may have changed since it
was imported, and two functions may begin on one line. So the file is compiled here, and its text
counts only if it gives the very code that runs. What a function calls, and values other than
plain ones, are not covered; the latter are named.
"""

from __future__ import annotations
import __future__

import ast
import collections
import dataclasses
import functools
import inspect
import reprlib
import sys
import typing
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from textwrap import indent
from types import CodeType, FunctionType, MethodType, NoneType
from typing import Any

from counterfoil.errors import FormatError

_ASKED = ("predict_proba", "predict", "__call__")
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_SAID = (Fraction, date, datetime, time, timedelta, timezone, range)
"""Types whose `repr` says all, where no time zone but UTC or an offset is in it."""
_VALUES: tuple[Any, ...] = (int, float, complex, str, bytes, tuple, list, set, frozenset, dict)
_MAKERS = {module.__file__ for module in (collections, dataclasses, reprlib, typing)}
_FUTURES = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


def code_of(model: Any) -> bytes:
    """Write down what a function, or an object that is asked, runs and is bound to.

    The source text stands alone where nothing is bound; defaults, arguments of a
    `functools.partial`, values of the function around it and attributes of an object follow as
    comments. Where there is no text, as in an interactive session, the bytecode stands for it.

    Raises:
        FormatError: It has no code in Python, or a text that is not the code that runs.
    """
    return _describe(model, ()).encode()


def _describe(model: Any, above: tuple[int, ...]) -> str:
    text, bound = _parts(model)
    above = (*above, id(model))
    if bound and not text.endswith("\n"):  # the last line of a file
        text += "\n"
    return text + "".join(f"# {name} {_value(value, above)}\n" for name, value in bound)


def _value(value: Any, above: tuple[int, ...]) -> str:
    """Write a bound value down: itself, the function that it is, or that it is not covered."""
    if (written := _plain(value)) is not None:
        return f"= {written}"
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, FunctionType | MethodType | functools.partial):
        if id(value) in above:
            return "is this function"
        return "is\n" + indent(_describe(value, above), "#     ", lambda _: True).rstrip("\n")
    return f"is a {type(value).__module__}.{type(value).__qualname__}, which is not covered"


def _plain(value: Any) -> str | None:
    """Write down a value that says all about itself; None for any other."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind in _SAID and type(getattr(value, "tzinfo", None)) in (NoneType, timezone):
        return repr(value)
    if kind is Decimal:
        return f"Decimal({str(value).upper()!r})"  # the context may ask for a small e
    if isinstance(value, Enum) and (held := _plain(value.value)) is not None:
        return f"{kind.__qualname__}.{value.name}({held})"
    # Who has a number of numpy has imported it. A long double gives itself, a structure no names.
    if kind.__module__ == "numpy" and isinstance(value, sys.modules["numpy"].generic):
        item = value.item()
        held = None if type(item) is kind or value.dtype.names else _plain(item)
        return None if held is None else f"numpy.{value.dtype.name}({held})"
    if kind in (tuple, list, set, frozenset, dict):
        inner = [_plain(one) for one in (value if kind is not dict else _flat(value))]
        written = [one for one in inner if one is not None]
        if len(written) == len(inner):
            # Sets have another order in each process.
            ordered = sorted(written) if kind in (set, frozenset) else written
            return f"{kind.__name__}({', '.join(ordered)})"
    return None


def _flat(values: dict[Any, Any]) -> Iterator[Any]:
    for pair in values.items():
        yield from pair


def _parts(model: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Take a model apart into its text and what is bound to it."""
    if isinstance(model, functools.partial):
        arguments = [(f"argument {at}", value) for at, value in enumerate(model.args)]
        named = [(f"argument {name}", value) for name, value in sorted(model.keywords.items())]
        return "functools.partial\n", [("function", model.func), *arguments, *named]
    if isinstance(model, FunctionType):
        return _text_of(model.__code__), _bound_to(model)
    asked: Any
    if isinstance(model, MethodType):
        held, asked = model.__self__, model.__func__
        kind = held if isinstance(held, type) else type(held)
    else:
        held, kind = model, type(model)
        asked = next((getattr(kind, one) for one in _ASKED if hasattr(kind, one)), None)
    if not isinstance(asked, FunctionType):
        raise FormatError(
            f"a {type(model).__name__} can be neither saved nor hashed",
            hint="Wrap it in a function of your own.",
        )
    return f"class {kind.__qualname__}\n", [
        ("asked", asked),
        *((f"class {name}", value) for name, value in _own(kind, asked)),
        *((f"self {name}", value) for name, value in _state(held)),
    ]


def _bound_to(function: FunctionType) -> list[tuple[str, Any]]:
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    bound = list(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    bound += sorted((function.__kwdefaults__ or {}).items())
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            bound.append((name, cell.cell_contents))
        except ValueError:  # not set yet, so that using it fails
            bound.append((name, object()))
    return bound


def _own(kind: type, asked: FunctionType) -> Iterator[tuple[str, Any]]:
    """List a class's own functions and attributes, without what Python or a decorator adds."""
    for name, value in sorted(vars(kind).items()):
        if isinstance(value, property):
            sides = {"get": value.fget, "set": value.fset, "delete": value.fdel}
            yield from ((f"{name} {side}", one) for side, one in sides.items() if one is not None)
            continue
        code = getattr(getattr(value, "__func__", value), "__code__", None)
        is_pythons = name.startswith("__") or inspect.ismemberdescriptor(value)
        if value is asked or (code is None and is_pythons):
            continue
        # A dataclass's `__init__` comes from a text of its own making; it has run already.
        if code is None or not _is_made_up(code) or _is_made_up(asked.__code__):
            yield name, value


def _is_made_up(code: CodeType) -> bool:
    return code.co_filename.startswith("<") or code.co_filename in _MAKERS


def _state(model: Any) -> list[tuple[str, Any]]:
    """List what an object holds: its attributes, and what it is if it is a tuple or a number."""
    if isinstance(model, type):
        return []
    held: list[tuple[str, Any]] = [
        (kind.__name__, kind(model)) for kind in _VALUES if isinstance(model, kind)
    ]
    state = object.__getstate__(model) or {}
    parts = [part for part in (state if isinstance(state, tuple) else (state,)) if part]
    return held + sorted((pair for part in parts for pair in part.items()), key=lambda one: one[0])


def _text_of(code: CodeType) -> str:
    """Find the lines that a function was compiled from, and see that they give its code.

    Raises:
        FormatError: They do not.
    """
    try:
        lines, _ = inspect.findsource(code)
    except (OSError, TypeError):
        return _listing(code)
    flags = code.co_flags & _FUTURES | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    start = code.co_firstlineno
    try:
        tree = compile("".join(lines), "", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        whole = compile(tree, "", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError):  # not even a program any more
        tree, whole = ast.Module([], []), compile("", "", "exec")
    here = [one for one in _functions(whole) if one.co_firstlineno == start]
    bare = _bare(code)
    same = [one for one in here if _bare(one) == bare]
    if not same and not code.co_filename.endswith(".py"):
        return _listing(code)  # out of a page or a template, or made in memory
    if not same:
        raise FormatError(
            f"the text of {code.co_name}, from line {start} of {code.co_filename}, is not the code "
            "that runs",
            hint="The file changed since it was imported, or a tool rewrote the code: start Python "
            "anew, or put the function into a module of its own.",
        )
    text = "".join(lines[start - 1 : _last_line(tree, lines, start)])
    # At most one `def` begins on a line; any lambda after the first function is told by its number.
    lambdas = dict.fromkeys(_bare(one) for one in here if one.co_name == "<lambda>")
    has_def = any(one.co_name not in ("<lambda>", "__annotate__") for one in here)
    number = has_def + list(lambdas).index(bare) if bare in lambdas else 0
    return f"{text}\n# function {number + 1} of its first line\n" if number else text


def _last_line(tree: ast.AST, lines: list[str], start: int) -> int:
    """Find where the text ends of a function that begins on a line: at least where it does."""
    ends = [start]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            above = getattr(node, "decorator_list", [])
            if (above[0] if above else node).lineno == start:
                ends.append(node.end_lineno or start)
    with suppress(SyntaxError):  # a line out of the middle of an expression
        # What `inspect.getsource` gives, which older entries of a log hold the digest of.
        ends.append(start - 1 + len(inspect.getblock(lines[start - 1 :])))
    return max(ends)


def _functions(code: CodeType) -> Iterator[CodeType]:
    """List the functions that are compiled within a code, however deep."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            is_function = bool(one.co_flags & inspect.CO_OPTIMIZED)  # unlike the body of a class
            if is_function and (one.co_name == "<lambda>" or not one.co_name.startswith("<")):
                yield one
            yield from _functions(one)


def _bare(code: CodeType) -> CodeType:
    """Take from a code where it stands, and leave what it does."""
    inner = (_bare(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=tuple(inner))


def _listing(code: CodeType) -> str:
    """Write code down that has no text: its instructions, and all that they refer to."""
    inner = [
        _listing(one) if isinstance(one, CodeType) else _plain(one) or repr(one)
        for one in code.co_consts
    ]
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return repr((code.co_code, inner, shape, names, code.co_exceptiontable)) + "\n"
