"""An ONNX graph that answers like any other model.

A graph knows its inputs by name and type and its outputs by position; `as_predictor` knows
`predict` and `predict_proba`. These two classes stand between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from counterfoil.models.optional import import_optional


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """An ONNX session that answers like a scikit-learn model.

    `content` is the file it was opened from. A model with one input gets the batch as one array,
    a model with an input for each column gets the columns.
    """

    session: Any
    content: bytes

    def predict(self, rows: Any) -> Any:
        """The first output, one answer for each row."""
        return self._run(rows)[0]

    def _run(self, rows: Any) -> list[Any]:
        np = import_optional("numpy", "numpy")
        inputs = self.session.get_inputs()
        if len(inputs) == 1:
            feed = {inputs[0].name: np.asarray(rows).astype(_onnx_type(inputs[0].type))}
        else:
            named = hasattr(rows, "columns")
            array: Any = None if named else np.asarray(rows)
            feed = {
                column.name: np.asarray(rows[column.name] if named else array[:, position])
                .reshape(-1, 1)
                .astype(_onnx_type(column.type))
                for position, column in enumerate(inputs)
            }
        outputs: list[Any] = self.session.run(None, feed)
        return outputs


@dataclass(frozen=True, slots=True)
class OnnxClassifier(OnnxModel):
    """An ONNX session whose second output holds the probability of each class."""

    def predict_proba(self, rows: Any) -> Any:
        """The second output, one row of probabilities for each row."""
        return self._run(rows)[1]


def _onnx_type(declared: str) -> Any:
    kinds = {"tensor(double)": "float64", "tensor(int64)": "int64", "tensor(string)": "object"}
    return kinds.get(declared, "float32")
