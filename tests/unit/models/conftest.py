"""A small additive model, trained once for all tests of this folder."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest


class Trained(NamedTuple):
    model: Any
    rows: Any


@pytest.fixture(scope="session")
def ebm() -> Trained:
    pandas = pytest.importorskip("pandas")
    glassbox = pytest.importorskip("interpret.glassbox")
    draw = random.Random(7)  # noqa: S311  # test data, no secrets
    rows = pandas.DataFrame(
        {
            "income": [draw.uniform(0, 100) for _ in range(300)],
            "months": [draw.randrange(6, 60) for _ in range(300)],
            "home": [draw.choice(["rented", "owned"]) for _ in range(300)],
        }
    )
    good = (rows["income"] - rows["months"] + 20 * (rows["home"] == "owned") > 20).astype(int)
    model = glassbox.ExplainableBoostingClassifier(
        interactions=0, outer_bags=2, max_rounds=300, n_jobs=1, random_state=1
    )
    return Trained(model.fit(rows, good), rows)
