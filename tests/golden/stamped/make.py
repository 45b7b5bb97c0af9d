"""Make `renewed.json` and `trust.toml` anew: `PYTHONPATH=. python tests/golden/stamped/make.py`.

Evidence of version 3 with a time-stamp that was renewed once. Signatures of authorities draw
randomness, so the files come out otherwise each time; those that are here stay, and must verify in
every later version.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.append(str(FOLDER.parents[1] / "stamps"))


def answer(rows: list[list[int]]) -> list[str]:
    """Decide."""
    return ["yes" for _ in rows]


def main() -> None:
    """Write both files."""
    import authorities  # noqa: PLC0415 found by the line above

    import counterfoil as cf  # noqa: PLC0415
    from counterfoil.core.authority import Authority  # noqa: PLC0415
    from counterfoil.ledger.stamping import stamp_log  # noqa: PLC0415

    ahead = 0.0

    def clock() -> float:
        return time.time() + ahead

    tsa = authorities.Authority("Golden TSA", clock=clock)
    with tempfile.TemporaryDirectory() as folder, authorities.serve(tsa) as url:
        os.environ["COUNTERFOIL_HOME"] = f"{folder}/home"
        with cf.init(f"{folder}/ledger", organisation="Northbank", clock=clock) as ledger:
            notary = Authority("notary", "Notary Ltd", tsa.pem, url)
            ledger.policy.adopt(ledger.policy.show().followed_by(authorities=(notary,)))
            batch = ledger.models.add(answer, name="model").decide([[1], [2]])
            stamp_log(ledger)
            ahead = 300.0 * authorities.DAY_S
            tsa.renew(ends=clock() + 365 * authorities.DAY_S)
            stamp_log(ledger, renew=True)
            batch[1].evidence().save(FOLDER / "renewed.json")
            (FOLDER / "trust.toml").write_bytes((ledger.folder / "trust.toml").read_bytes())


if __name__ == "__main__":
    main()
