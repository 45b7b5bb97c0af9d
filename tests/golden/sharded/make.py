"""Make `decision.json` and `trust.toml` anew: `python tests/golden/sharded/make.py`.

Evidence of version 4: a decision in the second of three shards, with what was said of its model in
the first, by the policy of the third. Keys are drawn, so the files come out otherwise each time;
those that are here stay, and must verify in every later version.
"""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parent


def answer(rows: list[list[int]]) -> list[str]:
    """Decide."""
    return ["yes" for _ in rows]


def main() -> None:
    """Write both files."""
    import counterfoil as cf  # noqa: PLC0415 the home is set first
    from counterfoil.ledger.rotation import rotate_key  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        os.environ["COUNTERFOIL_HOME"] = f"{folder}/home"
        places = [f"{folder}/{year}" for year in (2026, 2027, 2028)]
        with cf.init(places[0], organisation="Northbank") as ledger:
            model = ledger.models.add(answer, name="model")
            ledger.models.attest_evaluation(model, {"metrics": {"auc": "0.79"}})
        with cf.open(places[0]) as ledger:
            rotate_key(ledger)
        for here, there in pairwise(places):
            with cf.open(here) as ledger:
                ledger.shard(there, despite_records=True).close()
            if there == places[1]:
                with cf.open(there) as ledger:
                    ledger.models.add(answer, name="model").decide([[1], [2]])
                    ledger.policy.enforce()
        first, second, third = (cf.open(place) for place in places)
        with first, second, third:
            decision = second.decisions.show("model", 1)
            evidence = second.evidence.make(decision, earlier=(first,), later=(third,))
            evidence.save(FOLDER / "decision.json")
            (FOLDER / "trust.toml").write_bytes((third.folder / "trust.toml").read_bytes())


if __name__ == "__main__":
    main()
