"""Groups `jobs` and `threads`: whole processes, their memory, and what a busy core or a second thread does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fusednet.benchmarks import nets
from fusednet.benchmarks.compare import LEAST, Bench, Rival, against, measure, summary, take_turns
from fusednet.benchmarks.team import OURS, SideError

RECIPES = ("batchnorm", "clipping")
_SCRIPT = "torch script"
SCRIPT = Path(__file__).with_name("job_torch.py")
FREE_TIMES = 2.2
PEAK_MB = 60.0


def jobs(bench: Bench) -> None:
    """The two MNIST recipes from process start to exit, then memory."""
    bench.title("jobs: from process start to exit; torch script's time / ours")
    folder = mnist(bench.data)
    for recipe in RECIPES[:1] if bench.quick else RECIPES:
        name = f"fusednet train --recipe {recipe}, MNIST, 5 epochs with validation"
        if not bench.wants(name):
            continue
        if folder is None:
            bench.skip("jobs", name, "no MNIST: give --data DIR, or set FUSEDNET_DATA to a folder that holds mnist/")
        else:
            _recipe(bench, name, recipe, folder)
    _memory(bench)


def mnist(given: str | None) -> Path | None:
    """The folder with the four IDX files: the one given, or mnist/ in the one that FUSEDNET_DATA names."""
    base = os.environ.get("FUSEDNET_DATA")
    folders = [Path(given)] if given else [Path(base, "mnist"), Path(base)] if base else []
    return next((folder for folder in folders if list(folder.glob("train-images*"))), None)


def run(command: list[str], threads: int) -> tuple[float, float]:
    """Seconds of a process from start to exit, and its peak memory in bytes."""
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "FUSEDNET_NUM_THREADS")
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **dict.fromkeys(counts, str(threads))}
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise SideError(f"ended with {process.returncode}: {' '.join(last)[:200]}")
    return seconds, usage.ru_maxrss * 1024.0


def _recipe(bench: Bench, name: str, recipe: str, folder: Path) -> None:
    """Ours at the most threads, the script at each number, of which the best counts."""
    script = [sys.executable, str(SCRIPT), str(folder), recipe]
    with tempfile.TemporaryDirectory() as out:
        ours = [sys.executable, "-m", "fusednet", "train", "--data", str(folder), "--recipe", recipe, "--quiet"]
        commands = {(OURS, bench.most): [*ours, "--out", out]}
        if "torch" not in bench.team.absent:
            commands |= {(_SCRIPT, count): script for count in bench.threads}
        peaks = dict.fromkeys(commands, 0.0)

        def one(key: tuple[str, int]) -> float:
            seconds, peak = run(commands[key], key[1])
            peaks[key] = max(peaks[key], peak)
            return seconds

        try:
            times = take_turns(one, list(commands), 1 if bench.quick else LEAST)
        except SideError as error:
            bench.skip("jobs", name, str(error))
            return
    entry = against(Rival(_SCRIPT, "torch", ""), bench.most, times)
    if entry is not None:
        entry["peak_bytes"] = peaks[_SCRIPT, entry["threads"]]
        entry["note"] = f"peak {entry['peak_bytes'] / 1e6:.0f} MB"
    peak = peaks[OURS, bench.most]
    row = {"group": "jobs", "row": name, "threads": bench.most, "seconds": summary(times[OURS, bench.most])}
    rivals = [] if entry is None else [entry]
    bench.add({**row, "rivals": rivals, "peak_bytes": peak, "text": f"peak memory {peak / 1e6:.0f} MB"})


def _memory(bench: Bench) -> None:
    name = f"memory, {nets.FIRST.name}"
    if bench.wants(name):
        command = [sys.executable, "-m", "fusednet.benchmarks.job_memory"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            bench.skip("jobs", name, done.stderr.strip().splitlines()[-1])
        else:
            found = json.loads(done.stdout)
            above, added = (found["peak"] - found["data"]) / 1e6, (found["peak"] - found["before"]) / 1e6
            text = f"peak {above:.1f} MB above the data, imports included; {added:.1f} MB since before the model"
            note(bench, "jobs", name, text, {**found, "above_data_mb": above, "below": PEAK_MB})
    name = f"plan of {nets.LARGE.name}"
    if bench.wants(name) and not bench.quick:
        try:
            work = nets.LARGE.work()
            found = bench.team.ask(OURS, bench.most, "load", task="plan", make="plan bytes", work=work)["results"][0]
            bench.team.ask(OURS, bench.most, "drop", task="plan")
        except SideError as error:
            bench.skip("jobs", name, str(error))
            return
        state = 4.0 * nets.LARGE.parameters * 3
        hidden = sum(nets.LARGE.widths[1:-1])
        # inputs; of a hidden layer the product, the output and its gradient; of the last one two; scratch of a thread
        most = state + 4.0 * nets.LARGE.batch * (nets.LARGE.widths[0] + 3 * hidden + 2 * nets.LARGE.widths[-1])
        most = 1.01 * most + 2e6
        text = f"{found / 1e6:.0f} MB, of which parameters x (1 + slots) are {state / 1e6:.0f} MB"
        note(bench, "jobs", name, text, {"plan_mb": found / 1e6, "state_mb": state / 1e6, "below": most / 1e6})


def note(bench: Bench, group: str, name: str, text: str, values: dict[str, Any]) -> None:
    """A row that is no time."""
    bench.rows.append({"group": group, "row": name, "threads": bench.most, "text": text, **values})
    bench.say(f"{name}\n    {text}")


def threads(bench: Bench) -> None:
    """A core taken by another process, and two Python threads that train two models."""
    bench.title("threads: with one core taken by a busy process; two models in two Python threads")
    usable = sorted(os.sched_getaffinity(0))
    net = nets.FIRST
    name = f"{net.name}, one core busy"
    if bench.wants(name):
        if bench.most < 2 or len(usable) < 2:
            bench.skip("threads", name, "needs two threads on two cores")
        else:
            _busy(bench, name, usable[0])
    name = f"{net.name}, two models at once"
    if bench.wants(name):
        pair = {"net": net.work()}
        other = Rival("one after the other", OURS, "pair", {**pair, "at_once": False})
        measure(bench, "threads", name, "pair", {**pair, "at_once": True}, (other,), threads=[bench.most])


def _busy(bench: Bench, name: str, core: int) -> None:
    code = f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"
    hog = subprocess.Popen([sys.executable, "-c", code])
    try:
        bench.team.ask(OURS, bench.most, "load", task="busy", make="step", work=nets.FIRST.work())

        def one(key: str) -> float:
            os.kill(hog.pid, signal.SIGCONT if key == "busy" else signal.SIGSTOP)
            time.sleep(0.05)
            return float(bench.team.ask(OURS, bench.most, "round", task="busy", seconds=4 * bench.seconds)["seconds"])

        times = take_turns(one, ["free", "busy"], bench.rounds)
        bench.team.ask(OURS, bench.most, "drop", task="busy")
    except SideError as error:
        bench.skip("threads", name, str(error))
        return
    finally:
        hog.kill()
        hog.wait()
    ratio = summary(b / a for a, b in zip(times["free"], times["busy"], strict=True))
    text = f"{ratio['median']:.2f}x its free time ({ratio['min']:.2f} - {ratio['max']:.2f}), {FREE_TIMES} allowed"
    row = {"group": "threads", "row": name, "threads": bench.most, "seconds": summary(times["busy"])}
    bench.add({**row, "ratio": ratio, "text": text})
