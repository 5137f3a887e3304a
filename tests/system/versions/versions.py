"""Prints the keys of every side of the tables that needs no further provider, as JSON.

Run it by different interpreters and in different environments: all must print the same.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def keys() -> dict[str, str]:
    """Return the keys in hexadecimal, by the names of table, pair and side."""
    from tests.unit.request.describing import described
    from tests.unit.request.pairs import AGREE, AT_HAND, DIFFER, possible

    return {
        f"{table}, {pair.name}, {side}": described(getattr(pair, side)).key.hex()
        for table, pairs in (("differ", DIFFER), ("agree", AGREE))
        for pair in possible(pairs, AT_HAND)
        for side in ("one", "other")
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(ROOT))
    json.dump(keys(), sys.stdout)
