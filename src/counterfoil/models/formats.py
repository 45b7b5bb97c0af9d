"""Model files, and which of them may be opened.

A pickle is a program: whoever opens it runs it, and scanners for bad ones miss most. So a format is
safe here only if reading it runs nothing, and a pickle is opened only when the caller names it in
`trusted`. What counts is what a file holds, not how it is called: a pickle renamed to `.skops` is
still refused.

Formats are objects under the entry-point group `counterfoil.model_formats`. A format works on
bytes rather than on a path, so that the bytes that were hashed and approved are the very bytes that
are opened.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import shlex
import struct
import warnings
import zipfile
from importlib.metadata import entry_points
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from counterfoil.core.callers import callers_level
from counterfoil.errors import FormatError, RefusedError
from counterfoil.ledger.disk import read_file, require_there
from counterfoil.models.onnx_session import OnnxClassifier, OnnxModel
from counterfoil.models.optional import import_optional, not_installed

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

GROUP = "counterfoil.model_formats"

MAX_MODEL_BYTES = 2 * 1024**3
"""Bytes of one model file, packed and unpacked: it is held in memory while it is opened."""

MAX_SAFETENSORS_HEADER = 100 * 1000 * 1000
"""Bytes of a safetensors header (the limit of the format's own library)."""

TRUSTED_TYPES = frozenset(
    {
        "interpret.glassbox._ebm._ebm.ExplainableBoostingClassifier",
        "interpret.glassbox._ebm._ebm.ExplainableBoostingRegressor",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.utils._bunch.Bunch",
    }
)
"""Types that a skops file may hold beyond those that skops itself trusts (NumPy arrays and most of
scikit-learn's estimators): plain Python that holds numbers. Trees are left out on purpose, as skops
does: a forged node index makes scikit-learn read outside its memory. A policy may list them for a
stage: there, only a file whose very bytes were approved is opened."""

PICKLE_STEPS_READ = 1000
"""Instructions after which a file is taken for a pickle; nothing else comes near by chance."""

_PACKED = (
    b"\x1f\x8b",  # gzip
    b"BZh",  # bzip2
    b"\xfd7zXZ",  # xz
    b"\x5d\x00\x00",  # lzma
    b"\x04\x22\x4d\x18",  # lz4
    *(b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"),  # zlib, by level
)
"""First bytes of what joblib writes when it compresses a pickle."""


class ModelFormat(Protocol):
    """A way to keep a model in a file.

    `load` opens exactly the bytes it is given and returns a model for `as_predictor` (or weights,
    where a format holds nothing else). It first looks whether the bytes are of its own kind. A
    format is `safe` only if loading runs no code from the file; one that is not refuses every file
    unless its `name` is in `trusted`. `dump` writes what `load` reads; two dumps of one model need
    not be the same bytes.
    """

    @property
    def name(self) -> str:
        """How a policy and `trusted` call it."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File name endings, in lower case, with the dot."""

    @property
    def safe(self) -> bool:
        """Whether loading runs no code from the file."""

    def load(self, data: bytes, trusted: Collection[str] = ()) -> Any:
        """Open a model.

        Raises:
            FormatError: The bytes are not of this format.
            RefusedError: Opening them would run code, or build types nobody vouched for.
            UnavailableError: The library for this format is not installed.
        """

    def dump(self, model: Any) -> bytes:
        """Write a model.

        Raises:
            FormatError: This format cannot hold this model.
            UnavailableError: The library for this format is not installed.
        """


class Skops:
    """Scikit-learn models, and those that follow its conventions, as a zip of JSON and arrays."""

    name = "skops"
    suffixes = (".skops",)
    safe = True

    def types(self, data: bytes) -> tuple[str, ...]:
        """List the types that opening the file builds and that are not known to be harmless.

        Raises:
            FormatError: The bytes are not of this format.
            UnavailableError: skops is not installed.
        """
        return tuple(sorted(self._asked(data) - TRUSTED_TYPES))

    def load(self, data: bytes, trusted: Collection[str] = ()) -> Any:
        """Open a model whose every type is trusted; see `ModelFormat.load`."""
        asked = self._asked(data)
        skops = import_optional("skops.io", "skops")
        unknown = sorted(asked - TRUSTED_TYPES - set(trusted))
        if unknown:
            raise RefusedError(
                "this skops file builds objects that nobody vouched for",
                reasons=tuple(unknown),
                hint="If you know where the file comes from: "
                + " ".join(f"--trust-type {shlex.quote(one)}" for one in unknown),
            )
        try:
            return skops.loads(data, trusted=sorted(asked))
        except Exception as error:
            raise _damaged(self.name, error) from error

    def _asked(self, data: bytes) -> set[str]:
        _check_archive(data)
        skops = import_optional("skops.io", "skops")
        try:
            return set(skops.get_untrusted_types(data=data))
        except Exception as error:
            raise _damaged(self.name, error) from error

    def dump(self, model: Any) -> bytes:
        """Write a model; see `ModelFormat.dump`."""
        skops = import_optional("skops.io", "skops")
        try:
            data: bytes = skops.dumps(model)
        except Exception as error:
            raise _cannot_hold(self.name, model, error) from error
        return data


class Safetensors:
    """Named arrays and nothing else; the function that applies them is the user's."""

    name = "safetensors"
    suffixes = (".safetensors",)
    safe = True

    def load(self, data: bytes, trusted: Collection[str] = ()) -> Any:  # noqa: ARG002  # safe without
        """Open arrays as a dictionary; see `ModelFormat.load`."""
        header = int.from_bytes(data[:8], "little")
        if data[8:9] != b"{" or header > min(MAX_SAFETENSORS_HEADER, len(data) - 8):
            raise _not_of(self.name, data)
        library = import_optional("safetensors.numpy", "safetensors")
        try:
            return library.load(data)
        except Exception as error:
            raise _damaged(self.name, error) from error

    def dump(self, model: Any) -> bytes:
        """Write a dictionary of arrays; see `ModelFormat.dump`."""
        library = import_optional("safetensors.numpy", "safetensors")
        try:
            data: bytes = library.save(model)
        except Exception as error:
            raise _cannot_hold(self.name, model, error) from error
        return data


class Onnx:
    """Networks and pipelines as a graph of standard operators, run by onnxruntime."""

    name = "onnx"
    suffixes = (".onnx",)
    safe = True

    def load(self, data: bytes, trusted: Collection[str] = ()) -> Any:  # noqa: ARG002  # safe without
        """Open a graph on the processor; see `ModelFormat.load`."""
        if is_pickle(data):
            raise _not_of(self.name, data)
        runtime = import_optional("onnxruntime", "onnxruntime")
        try:
            session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _damaged(self.name, error) from error
        outputs = session.get_outputs()
        chances = len(outputs) > 1 and outputs[1].type.startswith("tensor(")
        return (OnnxClassifier if chances else OnnxModel)(session, data)

    def dump(self, model: Any) -> bytes:
        """Write a graph that is already one (an ONNX `ModelProto`, or a model opened here)."""
        if isinstance(model, OnnxModel):
            return model.content
        if hasattr(model, "SerializeToString"):
            data: bytes = model.SerializeToString()
            return data
        raise _cannot_hold(
            self.name, model, "convert it first, for instance with skl2onnx or torch.onnx.export"
        )


class Pickle:
    """Python's own format, and joblib's: a program that builds the model when it is opened."""

    name = "pickle"
    suffixes = (".pkl", ".pickle", ".joblib")
    safe = False

    def load(self, data: bytes, trusted: Collection[str] = ()) -> Any:
        """Run the program in `data`, if `trusted` has "pickle"; see `ModelFormat.load`."""
        if self.name not in trusted:
            raise _pickle_refused("this model is a pickle")
        # Whoever lets it in may not know what that means: the first policy lets every format in.
        warnings.warn(
            "this model is a pickle: opening it runs whatever program it holds; save it as skops, "
            "safetensors or ONNX",
            stacklevel=callers_level(),
        )
        try:
            import joblib  # noqa: PLC0415  # optional, and its files need its own reader
        except ImportError:
            read: Any = pickle.load
        else:
            read = joblib.load
        try:
            return read(io.BytesIO(data))
        except ModuleNotFoundError as error:
            raise not_installed(error, self.name) from error
        except Exception as error:
            raise _damaged(self.name, error) from error

    def dump(self, model: Any) -> bytes:
        """Write a model; see `ModelFormat.dump`."""
        try:
            return pickle.dumps(model)
        except Exception as error:
            raise _cannot_hold(self.name, model, error) from error


SKOPS = Skops()
SAFETENSORS = Safetensors()
ONNX = Onnx()
PICKLE = Pickle()


def known_formats() -> dict[str, ModelFormat]:
    """Every format there is, by name: ours, and those that installed packages add.

    Ours keep their names whatever else is installed: no package may change what "skops" means to a
    policy.
    """
    formats: dict[str, ModelFormat] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        found = entry.load()
        formats[found.name] = found
    ours: tuple[ModelFormat, ...] = (SKOPS, SAFETENSORS, ONNX, PICKLE)
    return formats | {built_in.name: built_in for built_in in ours}


def format_for(path: Path) -> ModelFormat:
    """The format that a file's name announces.

    Raises:
        FormatError: No format has this suffix.
    """
    formats = known_formats().values()
    for candidate in formats:
        if path.suffix.lower() in candidate.suffixes:
            return candidate
    suffixes = ", ".join(suffix for candidate in formats for suffix in candidate.suffixes)
    raise FormatError(
        f"{path.name} does not say which model format it is", hint=f"known are {suffixes}"
    )


def read_model(path: Path) -> bytes:
    """The bytes of a model file, to be hashed, approved and opened as one and the same.

    Raises:
        FormatError: There is none, or it is no plain file, or larger than `MAX_MODEL_BYTES`.
        UnavailableError: It cannot be read.
    """
    require_there(path)
    return read_file(path, MAX_MODEL_BYTES)


def is_pickle(data: bytes) -> bool:
    """Whether these bytes are a pickle, plain or as joblib or torch pack it."""
    if data.startswith(_PACKED):
        return True
    if data.startswith(b"PK"):
        return any(name.endswith(".pkl") for name in _member_names(data))
    try:
        with warnings.catch_warnings():
            # Of its texts' escapes; where warnings are errors, this one would pass for ours.
            warnings.simplefilter("ignore", DeprecationWarning)
            steps = list(islice(pickletools.genops(data), PICKLE_STEPS_READ))
    except (ValueError, struct.error):  # not an instruction, or cut off
        return False
    return len(steps) == PICKLE_STEPS_READ or steps[-1][2] == len(data) - 1


def _pickle_refused(what: str) -> RefusedError:
    return RefusedError(
        what,
        reasons=("opening a pickle runs whatever program it holds",),
        hint="Save it as skops, safetensors or ONNX; or let the policy list pickle.",
    )


def _check_archive(data: bytes) -> None:
    """Check that this is a skops archive of bearable size, before a library unpacks it."""
    if not data.startswith(b"PK\x03\x04") or "schema.json" not in _member_names(data):
        raise _not_of("skops", data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > MAX_MODEL_BYTES:
        raise FormatError(f"this skops file unpacks to {unpacked} bytes; {MAX_MODEL_BYTES} is most")


def _member_names(data: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return []


def _not_of(name: str, data: bytes) -> FormatError | RefusedError:
    if is_pickle(data):
        return _pickle_refused(f"this file is named as {name} and is a pickle")
    return FormatError(f"this is not a {name} file", hint="was it renamed, or cut off?")


def _damaged(name: str, error: object) -> FormatError:
    return FormatError(f"this {name} file cannot be opened: {error}", hint="was it cut off?")


def _cannot_hold(name: str, model: object, error: object) -> FormatError:
    return FormatError(
        f"a {type(model).__name__} cannot be written as {name}: {error}",
        hint="choose another format; every format has its limits",
    )
