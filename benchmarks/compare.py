"""One row: the same work on every side, compared, then timed in turns; what is found, and how it is printed."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fusednet.benchmarks.team import OURS, SideError, Team

REST = 0.02  # seconds before a side is timed: threads of the one before may still spin
ENOUGH = 15.0  # seconds of turns after which LEAST rounds are enough
LEAST = 3


@dataclass(frozen=True)
class Rival:
    """A way of doing the work with another library, or with ours where `family` is ours."""

    label: str
    family: str
    make: str
    work: dict[str, Any] | None = None  # where it is another than ours
    compared: bool = True  # else its arithmetic is its own
    note: str = ""


@dataclass
class Bench:
    """What all groups share: options, processes, and the record to which rows are added."""

    team: Team
    threads: Sequence[int]
    rounds: int = 7
    seconds: float = 0.05
    quick: bool = False
    only: str = ""
    data: str | None = None
    targets: str = "first"
    say: Callable[[str], object] = lambda line: print(line, flush=True)
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    roof: dict[str, Any] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    @property
    def most(self) -> int:
        return max(self.threads)

    def wants(self, name: str) -> bool:
        return self.only in name

    def title(self, text: str) -> None:
        self.say(f"\n{text}\n{'-' * len(text)}")

    def skip(self, group: str, name: str, why: str) -> None:
        """Note what is left out, and say so."""
        self.left_out.append({"group": group, "row": name, "why": why})
        if f"{name}{why}" not in self._told:
            self._told.add(f"{name}{why}")
            self.say(f"  left out: {name}: {why}")

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        self.rows.append(row)
        self.say(line(row))
        return row


def summary(values: Iterable[float]) -> dict[str, float]:
    """Median, extremes and quartiles of samples."""
    ordered = sorted(values)
    quarters = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else [ordered[0]] * 3
    return {
        "median": quarters[1],
        "min": ordered[0],
        "max": ordered[-1],
        "q1": quarters[0],
        "q3": quarters[2],
        "count": len(ordered),
    }


def difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The largest difference over the largest magnitude of theirs."""
    if len(ours) != len(theirs):
        return math.inf
    scale = max((abs(value) for value in theirs), default=0.0) or 1.0
    worst = max((abs(a - b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    return worst / scale if math.isfinite(worst) else math.inf


def take_turns(
    one: Callable[[Any], float], keys: Sequence[Any], rounds: int, *, enough: float = ENOUGH
) -> dict[Any, list[float]]:
    """Times of each, one after the other, every second round backwards; fewer rounds where they take long."""
    times: dict[Any, list[float]] = {key: [] for key in keys}
    start = time.monotonic()
    for number in range(rounds):
        for key in keys if number % 2 == 0 else reversed(keys):
            times[key].append(one(key))
        if number + 1 >= LEAST and time.monotonic() - start > enough:
            break
    return times


def measure(
    bench: Bench,
    group: str,
    name: str,
    make: str,
    work: dict[str, Any],
    rivals: Sequence[Rival],
    *,
    threads: Sequence[int] | None = None,
    rival_threads: Sequence[int] | None = None,
    tolerance: tuple[float, float] = (1e-4, 1e-4),
    figures: dict[str, Any] | None = None,
    share: float = 1.0,
) -> list[dict[str, Any]]:
    """The rows of a work, one for each number of threads.

    A rival has as many threads as ours or fewer, whichever is faster.

    Args:
        bench: options and record.
        group, name: of the row.
        make, work: our task.
        rivals: the others.
        threads: numbers of threads, the run's if not given.
        rival_threads: those of rivals, where they are others.
        tolerance: of the first result and of all: a rival beyond them is left out by name.
        figures: "flops" and "bytes" of one unit, for the rates; "device", where it is none of the CPU's rows.
        share: of the run's seconds of a round, where rows are many.
    """
    counts = bench.threads if threads is None else threads
    loaded: dict[tuple[str, int], tuple[str, float | None]] = {}  # label, threads: family, difference from ours
    notes: dict[str, str] = {}
    mine: list[float] = []
    try:
        for count in counts:
            mine = bench.team.ask(OURS, count, "load", task=OURS, make=make, work=work)["results"]
            loaded[OURS, count] = OURS, None
        for rival in rivals:
            for count in counts if rival_threads is None else rival_threads:
                try:
                    far = _load(bench.team, rival, count, work, mine, tolerance)
                except SideError as error:
                    notes[rival.label] = str(error)
                    if rival.family in bench.team.absent:
                        break  # which has been said
                    bench.skip(group, f"{rival.label}, {name}", str(error))
                    break
                loaded[rival.label, count] = rival.family, far
        keys = list(loaded)

        def one(key: tuple[str, int]) -> float:
            time.sleep(REST)
            request = {"task": key[0], "seconds": share * bench.seconds}
            return float(bench.team.ask(loaded[key][0], key[1], "round", **request)["seconds"])

        times = take_turns(one, keys, bench.rounds)
    except SideError as error:
        bench.skip(group, name, str(error))
        return []
    finally:
        for (label, count), (family, _) in loaded.items():
            with contextlib.suppress(SideError):
                bench.team.ask(family, count, "drop", task=label)
    rows = []
    for count in counts:
        found = [entry for rival in rivals if (entry := against(rival, count, times)) is not None]
        for entry in found:
            entry["difference"] = loaded[entry["side"], entry["threads"]][1]
        row = {
            "group": group,
            "row": name,
            "threads": count,
            "seconds": summary(times[OURS, count]),
            **(figures or {}),
            "rivals": found,
            "left_out": notes,
        }
        rows.append(bench.add(row))
    return rows


def _load(
    team: Team, rival: Rival, count: int, work: dict[str, Any], mine: list[float], tolerance: tuple[float, float]
) -> float | None:
    """Make the rival's task; how far its results are from ours."""
    given = work if rival.work is None else rival.work
    theirs = team.ask(rival.family, count, "load", task=rival.label, make=rival.make, work=given)["results"]
    team.ask(rival.family, count, "round", task=rival.label, seconds=0.0)  # what fails, fails before the others begin
    if not rival.compared or not mine:
        return None
    first, far = difference(mine[:1], theirs[:1]), difference(mine, theirs)
    if not (first <= tolerance[0] and far <= tolerance[1]):
        team.ask(rival.family, count, "drop", task=rival.label)
        raise SideError(f"its results are not ours: {mine[0]:.7g} and {theirs[0]:.7g} first, {far:.2g} apart at most")
    return far


def against(rival: Rival, count: int, times: dict[tuple[str, int], list[float]]) -> dict[str, Any] | None:
    """A rival at its best number of threads, at most `count`, with the ratios of each round."""
    usable = [n for label, n in times if label == rival.label and n <= count]
    if not usable:
        return None
    best = min(usable, key=lambda n: statistics.median(times[rival.label, n]))
    theirs = times[rival.label, best]
    return {
        "side": rival.label,
        "threads": best,
        "seconds": summary(theirs),
        "ratio": summary(b / a for a, b in zip(times[OURS, count], theirs, strict=True)),
        "difference": None,
        "note": rival.note,
    }


def duration(seconds: float) -> str:
    """Three digits with a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1.0:
            return f"{seconds * scale:.3g} {unit}" if seconds * scale < 999.5 else f"{seconds * scale:.0f} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def line(row: dict[str, Any]) -> str:
    """A row as the table shows it: our time and rate, then each rival's time and ratio with its spread."""
    seconds = row["seconds"]["median"]
    rate = ""
    if "flops" in row:
        rate = f"{row['flops'] / seconds / 1e9:7.1f} GFLOP/s"
    elif "bytes" in row:
        rate = f"{row['bytes'] / seconds / 1e9:7.1f} GB/s"
    shown = [f"{row['row']:<64} {row['threads']} thr {duration(seconds):>8} {rate:>15}"]
    for entry in row.get("rivals", ()):
        ratio, note = entry["ratio"], f", {entry['note']}" if entry["note"] else ""
        shown.append(
            f"    {entry['side'] + note:<60} {entry['threads']} thr {duration(entry['seconds']['median']):>8} "
            f"{ratio['median']:>7.2f}x  ({ratio['min']:.2f} - {ratio['max']:.2f})"
        )
    if "text" in row:
        shown.append(f"    {row['text']}")
    return "\n".join(shown)
