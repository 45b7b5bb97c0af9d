from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import subprocess
import sys
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import FormatError, RefusedError, UnavailableError
from counterfoil.models import formats
from counterfoil.models.formats import (
    ONNX,
    PICKLE,
    SAFETENSORS,
    SKOPS,
    format_for,
    is_pickle,
    known_formats,
    read_model,
)
from counterfoil.models.predict import as_predictor

RAN = []


class Bomb:
    """Records that it was run, when it is unpickled."""

    def __reduce__(self):
        return RAN.append, ("ran",)


class Stranger:
    """A type that nobody vouched for."""

    def __init__(self):
        self.weight = 1


def packed(protocol):
    return pickle.dumps(Bomb(), protocol=protocol)


def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


PICKLES = {
    **{f"protocol {protocol}": packed(protocol) for protocol in range(6)},
    "many steps": pickle.dumps(list(range(5000)), protocol=0),
    "gzip": gzip.compress(packed(4)),
    "bzip2": bz2.compress(packed(4)),
    "zlib": zlib.compress(packed(4)),
    "xz": lzma.compress(packed(4)),
    "lzma": lzma.compress(packed(4), lzma.FORMAT_ALONE),
    "torch": zipped("archive/data.pkl", packed(2)),
}
SAFE = [SKOPS, SAFETENSORS, ONNX]


@pytest.fixture(autouse=True)
def _nothing_runs():
    RAN.clear()
    yield
    assert RAN == []


def test_an_ebm_survives_skops(ebm):
    """An explainable boosting machine read back from skops scores every row exactly as before."""
    again = SKOPS.load(SKOPS.dump(ebm.model))
    np.testing.assert_array_equal(
        again.predict_proba(ebm.rows), ebm.model.predict_proba(ebm.rows), strict=True
    )


def test_a_scikit_learn_model_survives_skops():
    """A linear pipeline needs no trust in anything."""
    linear = pytest.importorskip("sklearn.linear_model")
    pipeline = pytest.importorskip("sklearn.pipeline")
    scale = pytest.importorskip("sklearn.preprocessing")
    model = pipeline.make_pipeline(scale.StandardScaler(), linear.LogisticRegression())
    model.fit([[0], [1], [2], [3]], [0, 0, 1, 1])
    assert SKOPS.load(SKOPS.dump(model)).predict([[0], [3]]).tolist() == [0, 1]


def test_untrusted_types_are_named():
    """A skops file that builds an unknown type is refused with its name, and opens once named."""
    data = SKOPS.dump(Stranger())
    with pytest.raises(RefusedError) as refusal:
        SKOPS.load(data)
    (name,) = refusal.value.reasons
    assert name.endswith("Stranger")
    assert f"--trust-type {name}" in refusal.value.hint
    assert SKOPS.load(data, trusted={name}).weight == 1


def test_trees_are_not_trusted_by_default():
    """A forest can be forged to read foreign memory, so its type has to be named."""
    trees = pytest.importorskip("sklearn.tree")
    data = SKOPS.dump(trees.DecisionTreeClassifier().fit([[0], [1]], [0, 1]))
    with pytest.raises(RefusedError, match=r"sklearn.tree._tree.Tree"):
        SKOPS.load(data)


@pytest.mark.parametrize("kind", [*SAFE, PICKLE], ids=lambda kind: kind.name)
@pytest.mark.parametrize("data", PICKLES.values(), ids=PICKLES)
def test_pickles_never_run(kind, data):
    """No pickle runs, whatever its protocol and packing and whichever format it claims to be."""
    with pytest.raises(RefusedError, match="pickle"):
        kind.load(data)
    with pytest.raises(RefusedError, match="pickle"):
        kind.load(data, trusted={kind.name} - {"pickle"})


@pytest.mark.parametrize("suffix", [".skops", ".safetensors", ".onnx", ".pkl", ".joblib"])
def test_a_renamed_pickle_is_refused(tmp_path, suffix):
    """Renaming a pickle opens no door."""
    path = tmp_path / f"model{suffix}"
    path.write_bytes(packed(5))
    with pytest.raises(RefusedError, match="pickle"):
        format_for(path).load(read_model(path))


def test_a_pickle_opens_for_those_who_say_so():
    """Named as trusted, a pickle opens, joblib's packing included."""
    joblib = pytest.importorskip("joblib")
    with pytest.warns(UserWarning, match="opening it runs"):
        assert PICKLE.load(PICKLE.dump({"a": 1}), trusted={"pickle"}) == {"a": 1}
    file = io.BytesIO()
    joblib.dump(np.arange(3), file, compress=True)
    with pytest.warns(UserWarning, match="opening it runs"):
        assert PICKLE.load(file.getvalue(), trusted={"pickle"}).tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_recognised(protocol):
    """Pickles are recognised by what they hold, old ASCII ones too."""
    for value in ({"a": [1, 2.5]}, ["x"], Bomb(), np.arange(3), 7, "text"):
        assert is_pickle(pickle.dumps(value, protocol=protocol))


def test_looking_at_a_pickle_warns_of_nothing():
    """A text in an old pickle with an escape that Python does not know is still a text in one."""
    assert is_pickle(b"S'\\q'\n.")


def test_safe_files_are_not_taken_for_pickles(ebm):
    """No safe file is mistaken for a pickle, even where its first bytes could begin one."""
    assert not is_pickle(SKOPS.dump(ebm.model))
    assert not is_pickle(b"\x08\x0a\x12\x04test")
    for header in range(1, 2000):  # as bytes, some of these lengths begin a zlib stream or a pickle
        data = header.to_bytes(8, "little") + b"{" + b" " * (header - 1)
        with pytest.raises((FormatError, UnavailableError)):
            SAFETENSORS.load(data)


@given(st.binary(max_size=200), st.sampled_from(SAFE), st.booleans())
def test_any_bytes_raise_our_errors(data, kind, archived):
    """Arbitrary bytes, loose or as a skops archive, raise only errors of ours."""
    if archived:
        data = zipped("schema.json", data)
    with pytest.raises((FormatError, RefusedError, UnavailableError)):
        kind.load(data)


def test_a_damaged_skops_file_is_named(ebm):
    """A skops file that was cut off, or nests without end, is a format error."""
    data = SKOPS.dump(ebm.model)
    with pytest.raises(FormatError):
        SKOPS.load(data[: len(data) // 2])
    deep = b'{"__class__":"list","content":[' * 100_000
    with pytest.raises(FormatError, match="cannot be opened"):
        SKOPS.load(zipped("schema.json", deep))


def test_an_archive_that_unpacks_too_large_is_refused(monkeypatch):
    """The unpacked size counts, before anything is unpacked."""
    monkeypatch.setattr(formats, "MAX_MODEL_BYTES", 1000)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 5000)
    assert len(file.getvalue()) < 1000
    with pytest.raises(FormatError, match="unpacks to 5000 bytes"):
        SKOPS.load(file.getvalue())


def test_reading_a_file(tmp_path, monkeypatch):
    """A model file is read whole, or refused for its size or its absence."""
    path = tmp_path / "m.skops"
    path.write_bytes(b"12345")
    assert read_model(path) == b"12345"
    monkeypatch.setattr(formats, "MAX_MODEL_BYTES", 4)
    with pytest.raises(FormatError, match="more than 4 bytes"):
        read_model(path)
    with pytest.raises(FormatError, match="there is no file"):
        read_model(tmp_path / "absent.skops")


def test_formats_by_suffix():
    """A file's suffix says its format, in capitals too; an unknown one lists what is known."""
    assert format_for(Path("a.SKOPS")) is SKOPS
    assert format_for(Path("a.joblib")) is PICKLE
    assert [kind.name for kind in known_formats().values() if not kind.safe] == ["pickle"]
    with pytest.raises(FormatError) as error:
        format_for(Path("a.exe"))
    assert ".safetensors" in error.value.hint


class Entry:
    """Stands for an entry point of an installed package."""

    def __init__(self, found):
        self.name, self.found = found.name, found

    def load(self):
        return self.found


class Scorecard:
    name, suffixes, safe = "scorecard", (".score",), True

    def load(self, data, _=()):
        return data.decode()

    def dump(self, model):
        return model.encode()


class Impostor(Scorecard):
    name = "skops"


def test_packages_add_formats_and_replace_none(monkeypatch):
    """An installed package can add a format, and cannot change what one of ours means."""
    found = [Entry(Scorecard()), Entry(Impostor())]
    monkeypatch.setattr(formats, "entry_points", lambda **_: found)
    assert format_for(Path("a.score")).load(b"x") == "x"
    assert known_formats()["skops"] is SKOPS


@pytest.mark.parametrize(
    ("kind", "module", "data"),
    [
        (SKOPS, "skops.io", zipped("schema.json", "{}")),
        (SAFETENSORS, "safetensors.numpy", (2).to_bytes(8, "little") + b"{}"),
        (ONNX, "onnxruntime", b"\x08\x09"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_missing_library_is_named(monkeypatch, kind, module, data):
    """Without its library a format says which one to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnavailableError) as error:
        kind.load(data)
    assert error.value.hint == f"pip install {module.partition('.')[0]}"


def test_what_a_format_cannot_hold():
    """A model that a format cannot hold is refused by name."""
    with pytest.raises(FormatError, match="a function cannot be written as pickle"):
        PICKLE.dump(lambda rows: rows)
    with pytest.raises(FormatError, match="cannot be written as onnx"):
        ONNX.dump(object())


def test_safetensors_round_trip():
    """Arrays come back as they were."""
    pytest.importorskip("safetensors")
    arrays = {"w": np.arange(6.0).reshape(2, 3)}
    again = SAFETENSORS.load(SAFETENSORS.dump(arrays))
    np.testing.assert_array_equal(again["w"], arrays["w"])


def test_an_onnx_graph_answers_like_a_model():
    """A graph with labels and probabilities decides by a threshold as any classifier does."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper, onnx.TensorProto
    graph = make.make_graph(
        [
            make.make_node("MatMul", ["x", "w"], ["z"]),
            make.make_node("Softmax", ["z"], ["chances"], axis=1),
            make.make_node("ArgMax", ["chances"], ["label"], axis=1, keepdims=0),
        ],
        "graph",
        [make.make_tensor_value_info("x", kinds.FLOAT, [None, 2])],
        [
            make.make_tensor_value_info("label", kinds.INT64, [None]),
            make.make_tensor_value_info("chances", kinds.FLOAT, [None, 2]),
        ],
        [make.make_tensor("w", kinds.FLOAT, [2, 2], [0, 1, 0, -1])],
    )
    made = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    data = ONNX.dump(made)
    model = ONNX.load(data)
    said = as_predictor(model, threshold=0.6, labels=("no", "yes")).predict([[1, 0], [0, 1]])
    assert said.output.tolist() == ["yes", "no"]
    assert said.scores.tolist() == pytest.approx([0.7310586, 0.2689414])
    assert ONNX.dump(model) == data


def test_importing_models_is_light():
    """Importing the models package brings in no machine learning."""
    heavy = "numpy pandas sklearn interpret skops scipy joblib onnxruntime"
    code = (
        "import sys, counterfoil.models, counterfoil.models.formats, counterfoil.models.evaluate,"
        "counterfoil.models.explain, counterfoil.models.recourse, counterfoil.models.predict;"
        f"print(*sorted({set(heavy.split())!r} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_a_pickle_names_the_library_that_it_needs(monkeypatch):
    """A missing library is no damaged file: it is named, as whatever is not installed."""
    data = pickle.dumps(Fraction(1, 2))
    monkeypatch.setitem(sys.modules, "fractions", None)  # as if it were not there
    with (
        pytest.warns(UserWarning, match="opening it runs"),
        pytest.raises(UnavailableError, match="library fractions is needed here"),
    ):
        PICKLE.load(data, trusted={"pickle"})
