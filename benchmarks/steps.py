"""Groups `steps`, `device`, `inference` and `scaling`: whole networks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from fusednet import _native
from fusednet.benchmarks import kernels_device, nets, targets
from fusednet.benchmarks.compare import Bench, Rival, duration, measure, summary, take_turns
from fusednet.benchmarks.nets import Net
from fusednet.benchmarks.team import OURS, SideError

EAGER = Rival("torch eager", "torch", "step")
COMPILED = Rival("torch.compile", "torch", "compiled step")
SCAN = Rival("JAX scan", "jax", "scan")
RIVALS = (
    EAGER,
    COMPILED,
    Rival("JAX jit a call", "jax", "step"),
    SCAN,
    Rival("Keras on JAX", "keras", "step"),
    Rival("scikit-learn", "sklearn", "step", compared=False, note="no BN, no clipping, ReLU for ELU"),
)
ROWS_THERE = "ours, rows on the device"
# Of the first loss and of all: Adam's first steps have the size of the learning rate whatever the gradient's, so that
# an element near zero may go either way.
TOLERANCE = {"highest": (2e-5, 1e-3), "high": (1e-3, 2e-2), "medium": (3e-2, 6e-2)}
PER_FLOP = 1.15  # what an odd neighbour may cost more
CLIFF = 2.0
_LARGE = 1e10  # operations of a step from which one number of threads and few rivals have to do
_SCALED_FLOPS, _SCALED_BYTES = 1.2e11, 3e9


def steps(bench: Bench) -> None:
    """Training steps of each network against every rival; then the networks of odd sizes beside them."""
    bench.title("steps: time of a training step; rival's time / ours, median (min - max) of interleaved rounds")
    for net in nets.QUICK if bench.quick else nets.NETS:
        if bench.wants(net.name):
            _step(bench, net)
    chosen = [net for net in nets.NEIGHBOURED if bench.wants(net.name)][: 1 if bench.quick else None]
    if chosen:
        bench.title("steps: the same with every size one more and one less; time per FLOP over that of the row")
    for net in chosen:
        neighbours(bench, net)


def _step(bench: Bench, net: Net) -> None:
    rivals: tuple[Rival, ...] = RIVALS
    if net.precision == "high":
        rivals = (replace(EAGER, note="float32"),)
    elif net.precision == "medium":
        rivals = (replace(EAGER, note="bf16 autocast"),)
    elif bench.quick or net not in nets.WATCHED:
        rivals = (EAGER, SCAN)
    elif net.flops < 1e6:
        rivals = tuple(rival for rival in RIVALS if rival is not COMPILED)  # which takes a minute to begin
    large = net.flops > _LARGE
    measure(
        bench,
        "steps",
        net.name,
        "step",
        net.work(),
        rivals,
        threads=[bench.most] if large else None,
        tolerance=TOLERANCE[net.precision],
        figures={"flops": net.flops},
    )


def neighbours(bench: Bench, net: Net) -> None:
    """The network and those of odd sizes, in turns in one process; held to 15 % per FLOP."""
    made = {name: net.near(by) for name, by in (("as it is", 0), ("one more", 1), ("one less", -1))}
    threads = bench.most
    try:
        for name, near in made.items():
            bench.team.ask(OURS, threads, "load", task=name, make="plain step", work=near.work())

        def one(name: str) -> float:
            reply = bench.team.ask(OURS, threads, "round", task=name, seconds=bench.seconds)
            return float(reply["seconds"]) / made[name].flops

        costs = take_turns(one, list(made), bench.rounds)
        for name in made:
            bench.team.ask(OURS, threads, "drop", task=name)
    except SideError as error:
        bench.skip("neighbours", net.name, str(error))
        return
    for name in ("one more", "one less"):
        ratio = summary(b / a for a, b in zip(costs["as it is"], costs[name], strict=True))
        verdict = "within 15 %" if ratio["median"] <= PER_FLOP else "MORE than 15 %"
        bench.add(
            {
                "group": "neighbours",
                "row": f"{net.name}: every size {name}",
                "threads": threads,
                "seconds": summary(cost * made[name].flops for cost in costs[name]),
                "flops": made[name].flops,
                "ratio": ratio,
                "text": f"{ratio['median']:.2f}x per FLOP ({ratio['min']:.2f} - {ratio['max']:.2f}), {verdict}",
            }
        )


def device(bench: Bench) -> None:
    """Kernels on a device; training steps, against rivals that train there with CUDA graphs or an epoch at once.

    All sides' rows lie there before the clock starts; one network is timed once more with ours in NumPy arrays. What
    has a target comes first or last, or alone.
    """
    bench.title("device: time of a training step on the device; rival's time / ours")
    names = [name for name in _native.device_names() if name != "cpu" and not _native.why_no_device(name)]
    if not names:
        bench.skip("device", "all rows", _native.why_no_device("cuda"))
    for name in names:
        if bench.targets == "only":
            _device_targets(bench, name)
            continue
        kernels_device.rates(bench, name)
        if bench.targets == "first":
            _device_beside_all(bench, name)
        for net in () if bench.quick else nets.WITHOUT_TARGET:
            _device_net(bench, net, name, _device_rivals(net))
        net = replace(nets.FROM_THE_HOST, device=name)
        there = Rival(ROWS_THERE, OURS, "device step", compared=False)
        _device_step(bench, net, f"{net.name}, rows of the host", "step", (there,))
        for net in () if bench.quick else nets.IN_PROGRAMS:
            _device_net(bench, net, name, ())
        if bench.targets == "last":
            _device_beside_all(bench, name)


def _device_rivals(net: Net) -> tuple[Rival, ...]:
    note = {"highest": "", "high": "float32", "medium": "bf16 autocast"}[net.precision]
    return (
        Rival("torch eager", "torch", "device step", note=note),
        # forward and backward pass; clipping and the fused optimizer come after them
        Rival(targets.GRAPHS, "torch", "graph step", note=note),
        Rival("JAX scan", "jax", "scan", note=note),
    )


def _device_beside_all(bench: Bench, device: str) -> None:
    """What has a target, beside all rivals."""
    kernels_device.with_targets(bench, device)
    for net in nets.NARROW_WITH_TARGET if bench.quick else nets.WITH_TARGET:
        _device_net(bench, net, device, _device_rivals(net))


def _device_targets(bench: Bench, device: str) -> None:
    """What has a target, beside the sides that it names; first what takes longest, lest no time be left for it."""

    def beside_named(nets_: tuple[Net, ...]) -> None:
        for net in nets_:
            named = tuple(rival for rival in _device_rivals(net) if rival.label == targets.GRAPHS)
            _device_net(bench, net, device, named)

    beside_named(() if bench.quick else nets.WIDE_WITH_TARGET)
    kernels_device.with_targets(bench, device)
    beside_named(nets.NARROW_WITH_TARGET)


def _device_net(bench: Bench, net: Net, device: str, rivals: tuple[Rival, ...]) -> None:
    net = replace(net, device=device)
    _device_step(bench, net, net.name, "device step", rivals)


def _device_step(bench: Bench, net: Net, name: str, make: str, rivals: tuple[Rival, ...]) -> None:
    if bench.wants(name):
        measure(
            bench,
            "device",
            name,
            make,
            net.work(),
            rivals,
            threads=[bench.most],
            tolerance=TOLERANCE[net.precision],
            figures={"flops": net.flops, "device": net.device},
        )


def inference(bench: Bench) -> None:
    """`predict` of the first network, from and to NumPy arrays."""
    bench.title("inference: time of a call of predict from and to NumPy arrays")
    rivals = [Rival("torch inference mode", "torch", "inference")]
    if not bench.quick:
        rivals.append(Rival("JAX jit", "jax", "inference"))
    for batch in (1, 50, 10_000):
        net = replace(nets.FIRST, batch=batch)
        name = f"{'-'.join(map(str, net.widths))}, predict, {batch} rows"
        if bench.wants(name):
            forward = 2.0 * batch * sum(a * b for a, b in itertools.pairwise(net.widths))
            measure(bench, "inference", name, "inference", net.work(), rivals, figures={"flops": forward})


def scaling(bench: Bench) -> None:
    """A step for each batch and width that are powers of two, and where the next costs more than it should."""
    bench.title("scaling: time of a step, width-width-width-10, BN, ELU, Adam, clip by global norm")
    widths = [1 << i for i in (range(3, 10, 3) if bench.quick else range(3, 14))]
    batches = [1 << i for i in range(0, 15, 4 if bench.quick else 1)]
    limit = _SCALED_FLOPS / (100 if bench.quick else 1)
    found: dict[tuple[int, int], dict[str, Any]] = {}
    skipped: list[str] = []
    bench.say("batch".rjust(8) + "".join(f"{f'width {width}':>12}" for width in widths))
    for batch in batches:
        shown = f"{batch:>8}"
        for width in widths:
            net = Net((width, width, width, 10), batch)
            row = _scaled(bench, net, limit) if bench.wants(net.name) else None
            if isinstance(row, str):
                skipped.append(f"batch {batch} width {width}")
                bench.left_out.append({"group": "scaling", "row": net.name, "why": row})
            elif row is not None:
                found[batch, width] = row
                bench.rows.append(row)
            shown += f"{duration(row['seconds']['median']) if isinstance(row, dict) else '-':>12}"
        bench.say(shown)
    if skipped:
        bench.say(f"  left out, of more than {limit:.2g} FLOP a step or too large: {', '.join(skipped)}")
    cliffs(bench, found)


def cliffs(bench: Bench, found: dict[tuple[int, int], dict[str, Any]]) -> None:
    """Name each size that costs more per FLOP than twice its smaller neighbour."""
    named = []
    for (batch, width), row in found.items():
        smaller = [key for key in found if (key[1] == width and key[0] < batch) or (key[0] == batch and key[1] < width)]
        for key in {max((k for k in smaller if k[axis] == (batch, width)[axis]), default=None) for axis in (0, 1)}:
            if key is not None and row["per_flop"] > CLIFF * found[key]["per_flop"]:
                ratio = row["per_flop"] / found[key]["per_flop"]
                named.append(
                    f"batch {batch} width {width} costs {ratio:.2f}x per FLOP of batch {key[0]} width {key[1]}"
                )
    bench.say(
        "\n".join(f"  cliff: {name}" for name in named)
        or "  no size costs more than twice its smaller neighbour per FLOP"
    )
    if found:
        row = {"group": "scaling", "row": f"cliffs among {len(found)} sizes", "threads": bench.most}
        bench.rows.append({**row, "cliffs": named})


def _scaled(bench: Bench, net: Net, limit: float) -> dict[str, Any] | str:
    memory = 4.0 * (4 * net.parameters + 8 * net.batch * sum(net.widths))
    if net.flops > limit:
        return f"{net.flops:.3g} FLOP a step"
    if memory > _SCALED_BYTES:
        return f"about {memory / 1e9:.3g} GB"
    try:
        bench.team.ask(OURS, bench.most, "load", task="scaled", make="plain step", work=net.work())
        times = [
            float(bench.team.ask(OURS, bench.most, "round", task="scaled", seconds=bench.seconds / 2)["seconds"])
            for _ in range(3)
        ]
        bench.team.ask(OURS, bench.most, "drop", task="scaled")
    except SideError as error:
        return str(error)
    row = {"group": "scaling", "row": net.name, "threads": bench.most, "seconds": summary(times), "flops": net.flops}
    return {**row, "batch": net.batch, "width": net.widths[0], "per_flop": min(times) / net.flops}
