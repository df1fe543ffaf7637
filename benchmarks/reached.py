"""The targets of a device and what records of runs have of them, as the table of docs/cuda.md.

python -m fusednet.benchmarks.reached RECORD.json ...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusednet.benchmarks import targets

ASKED = "H200"  # the GPU that the targets are asked of
NOT_YET = "not yet run beside it on a device"
_CUDA = ", cuda"


def table(records: Sequence[dict[str, Any]]) -> str:
    """A line for each target and GPU that has run it; of several records of a GPU the newest counts."""
    ordered = sorted((record for record in records if "device" in record), key=lambda record: str(record["date"]))
    measured = [(record, targets.table(record["rows"])) for record in ordered]
    lines = ["| work | beside | at least | found | on |", "| --- | --- | --- | --- | --- |"]
    for target in targets.TARGETS:
        if not target.work.endswith(_CUDA):
            continue
        head = f"| {target.work.removesuffix(_CUDA)} | {target.rival} | {target.least:g} |"
        found = {}
        for record, all_ in measured:
            for line in all_:
                if (line["work"], line["rival"]) == (target.work, target.rival) and line["found"] is not None:
                    said = f"{line['found']:.3g}: {line['verdict']}"
                    found[record["device"]] = f"{head} {said} | {record['device']}, {record['commit']} |"
        lines += found.values() or [f"{head} {NOT_YET} | |"]
    run_on = sorted({record["device"] for record in ordered})
    if not any(ASKED in device for device in run_on):
        lines += ["", f"The targets are asked of an {ASKED}, which has run none of it yet."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([json.loads(Path(name).read_text("utf-8")) for name in sys.argv[1:]]))
