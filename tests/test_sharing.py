"""Whether a plan's steps are shared among threads: the decision alone, with times made up here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fusednet import _native

US = 1000
Machine = Callable[[bool], tuple[int, bool]]  # shared: nanoseconds of a step, whether the workers were there


def steady(shared: int, single: int) -> Machine:
    return lambda is_shared: (shared if is_shared else single, is_shared)


def taken(single: int) -> Machine:
    """The workers' core is another's: the caller does all by itself."""
    return lambda is_shared: (single, False)


def run(sharing: _native.Sharing, machine: Machine, steps: int, rows: int = 32) -> list[bool]:
    """Which of so many steps were shared."""
    found = []
    for _ in range(steps):
        shared = sharing.begin(rows)
        sharing.end(*machine(shared))
        found.append(shared)
    return found


@pytest.mark.parametrize("single", [9 * US, 27 * US, 700 * US, 4900 * US])
def test_shared_where_it_pays(single: int) -> None:
    """But for trials, at most 5 in 32 steps at first, and 5 in half a second of steps later."""
    sharing = _native.Sharing()
    machine = steady(single * 6 // 10, single)
    assert run(sharing, machine, 200).count(False) <= 15
    run(sharing, machine, 200_000)
    a_second = run(sharing, machine, 10**9 // single)
    assert a_second.count(False) <= 20


@pytest.mark.parametrize("shared", [27 * US, 80 * US])
def test_not_shared_where_it_does_not_pay(shared: int) -> None:
    """A gain of less than a twentieth is none; trials cost two hundredths at most."""
    sharing = _native.Sharing()
    single = 27 * US
    assert run(sharing, steady(shared, single), 400)[-300:].count(True) <= 15
    lost = run(sharing, steady(shared, single), 100_000).count(True) * (shared - single)
    assert lost <= 0.02 * 100_000 * single


def test_core_taken_for_a_while_changes_nothing() -> None:
    sharing = _native.Sharing()
    run(sharing, steady(400 * US, 700 * US), 300)
    assert all(run(sharing, taken(700 * US), 5000)[10:])
    assert run(sharing, steady(400 * US, 700 * US), 2000).count(False) <= 20


@pytest.mark.parametrize("late", [3000 * US, 60_000 * US])
def test_worker_that_was_late_does_not_count(late: int) -> None:
    sharing = _native.Sharing()
    run(sharing, steady(400 * US, 700 * US), 31)
    run(sharing, lambda is_shared: (late, False), 500)
    assert run(sharing, steady(400 * US, 700 * US), 100).count(False) == 10  # two trials


def test_back_soon_after_cores_were_slow_together() -> None:
    """However long two threads were slower than one, 60 ms after that has ended steps are shared again."""
    sharing = _native.Sharing()
    run(sharing, steady(1500 * US, 700 * US), 20_000)
    after = run(sharing, steady(400 * US, 700 * US), 200)
    assert after[60_000 // 700 :].count(False) <= 10


@pytest.mark.parametrize(("before", "after"), [((400, 700), (850, 700)), ((850, 700), (400, 500))])
def test_found_out_soon_when_times_change(before: tuple[int, int], after: tuple[int, int]) -> None:
    """Long after the last change trials are far between; a step that takes another time brings one."""
    sharing = _native.Sharing()
    run(sharing, steady(before[0] * US, before[1] * US), 20_000)
    found = run(sharing, steady(after[0] * US, after[1] * US), 400)
    assert found[45:].count(after[0] < after[1]) >= 300


def test_uneven_steps_bring_no_trials() -> None:
    sharing = _native.Sharing()
    noise = np.random.default_rng(0).exponential(0.3, 200_000).tolist()

    def uneven(is_shared: bool) -> tuple[int, bool]:
        return int((400 if is_shared else 700) * US * (1 + noise.pop())), is_shared

    run(sharing, uneven, 20_000)
    assert run(sharing, uneven, 100_000).count(False) <= 1000


def test_trial_waits_for_the_workers() -> None:
    """A trial of sharing while the core is taken ends when there is something to compare."""
    sharing = _native.Sharing()
    run(sharing, steady(80 * US, 27 * US), 100)
    run(sharing, taken(27 * US), 10_000)
    assert run(sharing, steady(80 * US, 27 * US), 100).count(True) <= 20


def test_one_slow_step_is_no_finding() -> None:
    sharing = _native.Sharing()
    times = iter(range(10**9))
    machine = steady(400 * US, 700 * US)

    def uneven(is_shared: bool) -> tuple[int, bool]:
        ns, helped = machine(is_shared)
        return (ns if next(times) % 3 else 5 * ns), helped

    assert run(sharing, uneven, 10_000).count(False) <= 200


def test_a_step_that_lost_its_core_changes_nothing() -> None:
    sharing = _native.Sharing()
    machine = steady(80 * US, 27 * US)
    run(sharing, machine, 100)
    for _ in range(100):
        run(sharing, lambda _: (6000 * US, True), 1)
        assert run(sharing, machine, 500).count(True) <= 20


def test_sizes_of_a_kind_go_together() -> None:
    """To the next power of two, by the time of a row: the last rows of an epoch, calls of ever other sizes."""
    sharing = _native.Sharing()
    rows = np.random.default_rng(0).integers(64, 128, 5000)
    found = [run(sharing, steady(2 * US * n, US * n), 1, rows=n)[0] for n in rows.tolist()]
    assert found[100:].count(True) <= 100
    found = [run(sharing, steady(US * n, 2 * US * n), 1, rows=n)[0] for n in rows.tolist()]
    assert found[2000:].count(False) <= 60


@pytest.mark.parametrize("rows", [64, 4096])
def test_another_kind_starts_anew(rows: int) -> None:
    sharing = _native.Sharing()
    run(sharing, steady(80 * US, 27 * US), 100)
    found = run(sharing, steady(400 * US, 700 * US), 300, rows=rows)
    assert all(found[:32])
    assert found.count(False) <= 15


@pytest.mark.parametrize("other", [1, 16, 64, 1 << 40])
def test_sizes_in_turns_are_found_out_apart(other: int) -> None:
    """As calls of `predict` may have them: one kind pays, the other does not."""
    sharing = _native.Sharing()
    pays, does_not = steady(400 * US, 700 * US), steady(80 * US, 27 * US)
    found: dict[int, list[bool]] = {32: [], other: []}
    for _ in range(400):
        found[32] += run(sharing, pays, 1)
        found[other] += run(sharing, does_not, 1, rows=other)
    assert found[32].count(False) <= 25
    assert found[other][100:].count(True) <= 25


def test_long_steps_are_always_shared() -> None:
    sharing = _native.Sharing()
    assert all(run(sharing, steady(9000 * US, 6000 * US), 1000))
