"""Print the share of covered branches; exit 1 below the required share. `make coverage`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

REPORT = Path(__file__).parents[2] / "out" / "coverage" / "report.json"
REQUIRED_PERCENT = 95


def main() -> None:
    """Read the JSON report of coverage."""
    percent = json.loads(REPORT.read_text("utf-8"))["totals"]["percent_branches_covered"]
    print(f"{percent:.1f} % of branches")
    sys.exit(percent < REQUIRED_PERCENT)


if __name__ == "__main__":
    main()
