"""A process that trains the first network a few epochs and prints its memory in bytes, as JSON.

python -m fusednet.benchmarks.job_memory: "peak" is the process's, "data" what the arrays hold, "before" the resident
size when the data are there and no model is.
"""

from __future__ import annotations

import json
import resource
from pathlib import Path

from fusednet.benchmarks import nets, side_fusednet


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    net = nets.FIRST
    x, y = nets.data(net)
    before = resident()
    model = side_fusednet.build(net)
    model.fit(x, y, batch_size=net.batch, epochs=3, verbose=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "data": x.nbytes + y.nbytes, "before": before, "plan": model.plan.nbytes}))


if __name__ == "__main__":
    main()
