"""Time one training step of a dense network: fusednet's `fit` against torch's eager loop, in turn, in one process.

A step is forward, loss, backward, clipping and update of one batch; both sides start from the same weights and see the
same batches, and their losses over the first steps are compared before anything is timed. torch gets its batches
ready-made; fusednet's time contains the gathering of shuffled rows and its Python call. Run it as

    python benchmarks/training_step.py --threads 1
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import fusednet as fn


@dataclass(frozen=True)
class Net:
    """Dense - BatchNorm - ELU for each hidden width, then Dense; softmax cross-entropy, global-norm clipping."""

    widths: tuple[int, ...]
    batch: int
    optimizer: str
    batchnorm: bool = True

    @property
    def name(self) -> str:
        norm = "BN, ELU" if self.batchnorm else "ELU"
        return f"{'-'.join(map(str, self.widths))}, {norm}, {self.optimizer}, batch {self.batch}"


NETS = (
    Net((784, 300, 100, 10), 50, "adam"),
    Net((784, 300, 100, 10), 50, "sgd"),
    Net((64, 64, 64, 2), 32, "adam"),
    Net((37, 211, 97, 3), 19, "adam"),
    Net((1024, 1024, 1024, 10), 256, "adam"),
)
CLIP = 1.0


def fusednet_model(net: Net) -> fn.Sequential:
    layers: list[object] = [fn.Input(shape=(net.widths[0],))]
    for units in net.widths[1:-1]:
        layers.append(fn.layers.Dense(units))
        if net.batchnorm:
            layers.append(fn.layers.BatchNormalization())
        layers.append(fn.layers.Activation("elu"))
    layers.append(fn.layers.Dense(net.widths[-1], activation="softmax"))
    model = fn.Sequential(layers, seed=1)
    kind = fn.optimizers.Adam if net.optimizer == "adam" else fn.optimizers.SGD
    model.compile(
        loss="sparse_categorical_crossentropy", optimizer=kind(learning_rate=1e-3, global_clipnorm=CLIP), metrics=[]
    )
    return model


class TorchNet:
    """The same network and step in torch, its fused optimizer where it has one."""

    def __init__(self, net: Net, weights: list[np.ndarray]) -> None:
        modules: list[torch.nn.Module] = []
        given = iter(weights)
        for i, (k, c) in enumerate(zip(net.widths[:-1], net.widths[1:], strict=True)):
            dense = torch.nn.Linear(k, c)
            dense.weight.data = torch.from_numpy(next(given).T.copy())
            dense.bias.data = torch.from_numpy(next(given).copy())
            modules.append(dense)
            if i == len(net.widths) - 2:
                break
            if net.batchnorm:
                modules.append(torch.nn.BatchNorm1d(c, eps=1e-3, momentum=0.01))
                for _ in range(4):
                    next(given)
            modules.append(torch.nn.ELU())
        self.model = torch.nn.Sequential(*modules)
        self.parameters = list(self.model.parameters())
        if net.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(self.parameters, lr=1e-3, eps=1e-7, fused=True)
        else:
            self.optimizer = torch.optim.SGD(self.parameters, lr=1e-3, fused=True)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        return loss


def validate(net: Net, x: np.ndarray, y: np.ndarray, steps: int = 5) -> float:
    """Largest relative difference of the two losses over the first steps; raises if they are not the same training.

    The first loss is the forward pass alone. Later ones drift apart by rounding: Adam's first steps have the size of
    the learning rate whatever the gradient's, so an element near zero may go either way.
    """
    model = fusednet_model(net)
    rival = TorchNet(net, model.get_weights())
    worst = 0.0
    for i in range(steps):
        rows = slice(i * net.batch, (i + 1) * net.batch)
        ours = float(np.ravel(model.train_on_batch(x[rows], y[rows]))[0])
        theirs = float(rival.step(torch.from_numpy(x[rows]), torch.from_numpy(y[rows]).long()).detach())
        difference = abs(ours - theirs) / abs(theirs)
        worst = max(worst, difference)
        if difference > (1e-5 if i == 0 else 1e-2):
            raise SystemExit(f"{net.name}: in step {i + 1} the losses are {ours} and {theirs}: not the same training")
    return worst


def seconds(action: Callable[[], object]) -> float:
    """Time of one call, after a pause in which the other side's idle threads stop spinning on the second core."""
    time.sleep(0.4)
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(net: Net, rounds: int) -> dict[str, object]:
    rng = np.random.default_rng(0)
    flops = 6.0 * net.batch * sum(a * b for a, b in zip(net.widths[:-1], net.widths[1:], strict=True))
    flops -= 2.0 * net.batch * net.widths[0] * net.widths[1]
    steps = int(np.clip(20e9 / flops / 10, 10, 400))
    x = rng.standard_normal((steps * net.batch, net.widths[0]), dtype=np.float32)
    y = rng.integers(0, net.widths[-1], len(x)).astype(np.int32)
    difference = validate(net, x, y)

    model = fusednet_model(net)
    rival = TorchNet(net, model.get_weights())
    batches = [
        (torch.from_numpy(x[i : i + net.batch]), torch.from_numpy(y[i : i + net.batch]).long())
        for i in range(0, len(x), net.batch)
    ]

    def ours() -> object:
        return model.fit(x, y, batch_size=net.batch, epochs=1, verbose=0)

    def theirs() -> None:
        for xb, yb in batches:
            rival.step(xb, yb)

    ours()
    theirs()
    pairs = [(seconds(ours) / steps, seconds(theirs) / steps) for _ in range(rounds)]
    ratios = sorted(b / a for a, b in pairs)
    a = statistics.median(p[0] for p in pairs)
    b = statistics.median(p[1] for p in pairs)
    return {
        "net": net.name,
        **asdict(net),
        "loss_difference": difference,
        "mflop": flops / 1e6,
        "fusednet_us": a * 1e6,
        "torch_us": b * 1e6,
        "gflops": flops / a / 1e9,
        "ratio": statistics.median(ratios),
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
    }


def commit() -> str:
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of both sides")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds, whose medians are printed")
    parser.add_argument("--only", default="", help="nets whose name contains this")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    fn.set_num_threads(args.threads)

    print(f"float32, {args.threads} thread(s), torch {torch.__version__}, fusednet {fn.__version__}, {cpu_name()}")
    print(f"{'net':<50} {'fusednet µs':>12} {'GFLOP/s':>8} {'torch µs':>10} {'ratio':>6}  (min-max)")
    rows = []
    for net in NETS:
        if args.only not in net.name:
            continue
        row = measure(net, args.rounds)
        rows.append(row)
        print(
            f"{row['net']:<50} {row['fusednet_us']:12.0f} {row['gflops']:8.1f} {row['torch_us']:10.0f} "
            f"{row['ratio']:6.2f}  ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})",
            flush=True,
        )
    if args.json:
        record = {
            "cpu": cpu_name(),
            "threads": args.threads,
            "commit": commit(),
            "torch": torch.__version__,
            "fusednet": fn.__version__,
            "config": str(fn.show_config()),
            "rows": rows,
        }
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
