"""What `fusednet bench` does: the groups that are asked for, the table of targets, the record, the pictures."""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fusednet
from fusednet import _names, _saving
from fusednet.benchmarks import jobs, kernels, pictures, steps, targets
from fusednet.benchmarks.compare import Bench
from fusednet.benchmarks.team import RIVALS, Team

GROUPS: dict[str, Callable[[Bench], None]] = {
    "steps": steps.steps,
    "device": steps.device,
    "inference": steps.inference,
    "kernels": kernels.kernels,
    "scaling": steps.scaling,
    "jobs": jobs.jobs,
    "threads": jobs.threads,
}
TARGETS = ("first", "only", "last")  # when rows of a device come that have a target
SCHEMA = 1


def run(
    groups: Sequence[str] = (),
    *,
    rounds: int | None = None,
    threads: Sequence[int] | None = None,
    quick: bool = False,
    only: str = "",
    rivals: str | None = None,
    targeted: str = TARGETS[0],
    data: str | None = None,
    json_file: Path | None = None,
    plots: Path | None = None,
    say: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Run benchmarks and return the record.

    Args:
        groups: names of `GROUPS`; all if empty.
        rounds: of each row; 7, or 3 in a quick run.
        threads: numbers of threads of our side; 1 and 2, as far as there are cores.
        quick: fewer rows and shorter rounds.
        only: rows whose name contains this.
        rivals: libraries of `team.RIVALS` between commas; all if None, none if empty.
        targeted: of group `device`, rows that have a target: "first", or "last"; "only" those, beside the sides that
            targets name.
        data: folder with MNIST's IDX files.
        json_file: where the record goes, that of an interrupted run too.
        plots: folder of the pictures.
        say: receives each line of the table; prints it if None.

    Raises:
        KeyboardInterrupt: after it has kept what was measured until then.
        ValueError: for an unknown group, library or word, or a number below 1.
    """
    for name in groups:
        if name not in GROUPS:
            raise _names.unknown("bench", "GROUP", name, GROUPS)
    asked = list(RIVALS) if rivals is None else [name.strip() for name in rivals.split(",") if name.strip()]
    for name in asked:
        if name not in RIVALS:
            raise _names.unknown("bench", "--rivals", name, RIVALS)
    if targeted not in TARGETS:
        raise _names.unknown("bench", "--targets", targeted, TARGETS)
    if targeted != TARGETS[0] and list(groups) != ["device"]:
        raise ValueError(
            f"[bench] --targets {targeted} expects the group device alone, got {', '.join(groups) or 'all'}"
        )
    counts = sorted(set(threads or [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]))
    for option, value in (("--rounds", rounds), ("--threads", counts[0])):
        if value is not None and value < 1:
            raise ValueError(f"[bench] {option} expects at least 1, got {value}")
    if plots is not None and importlib.util.find_spec("matplotlib") is None:
        raise ValueError("[bench] --plots expects matplotlib: pip install 'fusednet[bench]'")
    for path in (None if json_file is None else json_file.absolute().parent, plots):
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)  # a place that cannot be written to is told before the work
    with Team(asked) as team:
        bench = Bench(team, counts, rounds or (3 if quick else 7), 0.02 if quick else 0.05, quick, only, data, targeted)
        if say is not None:
            bench.say = say
        machine = about()
        bench.say("\n".join(f"{key:<10} {value}" for key, value in machine.items()))
        for name, why in team.absent.items():
            bench.skip("all", name, why)
        start = time.monotonic()
        interrupted = False
        try:
            for name in groups or GROUPS:
                GROUPS[name](bench)
        except KeyboardInterrupt:
            interrupted = True
            bench.say("\ninterrupted: what follows is of the rows before")
        lines = targets.table(bench.rows)
        bench.title("targets: rival's time / ours, medians; the worst row counts where several are meant")
        bench.say(targets.text(lines))
        seconds = time.monotonic() - start
        record = {
            "schema": SCHEMA,
            **machine,
            "versions": {**versions(), **({} if interrupted else team.versions())},
            "options": {
                "groups": list(groups or GROUPS),
                "rounds": bench.rounds,
                "seconds": bench.seconds,
                "threads": counts,
                "quick": quick,
                "only": only,
                "rivals": asked,
                "targets": targeted,
            },
            "took": round(seconds, 1),
            "interrupted": interrupted,
            "targets": lines,
            "roof": bench.roof,
            "rows": bench.rows,
            "left_out": bench.left_out,
        }
    bench.say(f"\nmeasured {len(bench.rows)} rows in {seconds:.0f} s")
    if json_file is not None:
        _saving.write_atomically(json_file.absolute(), (json.dumps(record, indent=1) + "\n").encode())
        bench.say(f"record      {json_file}")
    for picture in pictures.draw(record, plots) if plots is not None else ():
        bench.say(f"picture     {picture}")
    if interrupted:
        raise KeyboardInterrupt
    return record


def about() -> dict[str, Any]:
    """The machine, the kernels and the state of the code."""
    config = fusednet.show_config()
    return {
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "isa": config.isa["used"],
        "system": config.machine,
        **({"device": config.cuda["devices"][0]["name"]} if config.cuda["available"] else {}),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    return {"fusednet": fusednet.__version__, "python": platform.python_version()}


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def commit() -> str | None:
    """Of the checkout that this file is part of, "+" behind it where something is not committed; None elsewhere."""
    here = Path(__file__).resolve().parent
    if not (here.parent / "csrc").is_dir():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
