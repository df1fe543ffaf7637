"""Run as a program, by test_device_library.py: models on the emulated device whose large products a stand-in for
cuBLASLt does. Prints what it was asked and how far the results are from the CPU's, as JSON.

Arguments: the stand-in's path, bits of the epilogues that it lacks, networks."""

from __future__ import annotations

import ctypes
import json
import sys

import numpy as np

import fusednet
from fusednet.layers import ELU, BatchNormalization, Dense
from fusednet.optimizers import SGD

ROWS, FEATURES = 130, 131
NETS = {
    "bias": lambda: [Dense(129, "relu"), Dense(130, "relu"), Dense(5, "softmax")],
    "no bias": lambda: [Dense(129, "relu", use_bias=False), Dense(130, "relu", use_bias=False), Dense(5, "softmax")],
    "elu": lambda: [Dense(129, "elu"), Dense(130, "leaky_relu"), Dense(5, "softmax")],
    "batchnorm": lambda: [Dense(129), BatchNormalization(), ELU(), Dense(130, "relu"), Dense(5, "softmax")],
}


class Library:
    def __init__(self, path: str, lacks: int) -> None:
        library = ctypes.CDLL(path)
        self.calls = ctypes.c_int.in_dll(library, "fake_calls")
        self.epilogues = (ctypes.c_int * 4096).in_dll(library, "fake_epilogues")
        ctypes.c_int.in_dll(library, "fake_lacks").value = lacks
        self.seen = 0

    def asked(self) -> list[int]:
        """The epilogues of the products since the last call."""
        first, self.seen = self.seen, self.calls.value
        return [self.epilogues[i % 4096] for i in range(first, self.seen)]


def made(net: str, device: str) -> fusednet.Sequential:
    model = fusednet.Sequential(NETS[net](), seed=5)
    model.build([FEATURES])
    model.compile(SGD(0.1, global_clipnorm=1.0), "sparse_categorical_crossentropy", device=device)
    return model


def farthest(got, want, least: float = 1e-3) -> float:
    """Relative to the largest of each array, where that is not rounding alone."""
    pairs = zip(got, want, strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), least)) for a, b in pairs)


def refused(precision: str) -> list[str]:
    """The layers that steps name whose rows overflow in the second one, among steps of one launch each that follow."""
    fusednet.set_float32_matmul_precision(precision)
    names = []
    for device in ("cpu", "cuda_emulated"):
        layers = [Dense(129, "elu", name="first"), Dense(130, "elu", name="second"), Dense(5, "softmax")]
        model = fusednet.Sequential(layers, seed=5)
        model.build([FEATURES])
        model.compile(SGD(1e-3), "sparse_categorical_crossentropy", device=device)
        x = np.random.default_rng(1).normal(size=(8 * ROWS, FEATURES)).astype(np.float32)
        x[5 * ROWS : 6 * ROWS] *= 1e34
        second = model.layers[1]
        second.set_weights([second.get_weights()[0] * 1e5, second.get_weights()[1]])
        try:
            model.fit(x, np.zeros(8 * ROWS, int), batch_size=ROWS, shuffle=False, verbose=0)
        except fusednet.NonFiniteError as error:
            names.append(f"{error.where} in step {error.step}")
    fusednet.set_float32_matmul_precision("highest")
    return names


def main() -> None:
    library = Library(sys.argv[1], int(sys.argv[2]))
    g = np.random.default_rng(0)
    x, y = g.normal(size=(3 * ROWS - 50, FEATURES)).astype(np.float32), g.integers(0, 5, 3 * ROWS - 50)
    found: dict[str, object] = {}
    for net in sys.argv[3:]:
        here = made(net, "cpu")
        gradients = here.compute_gradients(x[:ROWS], y[:ROWS]).values()
        history = here.fit(x, y, batch_size=ROWS, epochs=2, verbose=0).history
        for precision in ("highest", "high", "medium"):
            fusednet.set_float32_matmul_precision(precision)
            there = made(net, "cuda_emulated")
            case: dict[str, object] = {}
            found[f"{net}, {precision}"] = case
            case["gradients"] = farthest(there.compute_gradients(x[:ROWS], y[:ROWS]).values(), gradients)
            case["epilogues"] = library.asked()
            again = there.fit(x, y, batch_size=ROWS, epochs=2, verbose=0).history
            case["loss"] = farthest([np.array(again["loss"])], [np.array(history["loss"])])
            case["weights"] = farthest(there.get_weights(), here.get_weights(), 0.1)
            case["programmed"] = there.plan.programmed
            case["products"] = str(there.plan).split("products: ")[1].splitlines()[0]
            library.asked()
        fusednet.set_float32_matmul_precision("highest")
        there = made(net, "cuda_emulated")
        checks = fusednet.check_gradients(there, x[:ROWS], y[:ROWS], max_elements=2, inputs=True)
        found[f"{net}, float64"] = {"checks": bool(checks), "epilogues": sorted(set(library.asked()))}
    broken = x[:ROWS].copy()
    broken[7, 3] = np.nan
    rows = made("bias", "cuda_emulated").predict(broken, batch_size=ROWS, check_finite=False, verbose=0)
    found["nan"] = bool(np.isnan(rows[7]).all()) and bool(np.isfinite(np.delete(rows, 7, axis=0)).all())
    found["refused"] = [refused(precision) for precision in ("highest", "high", "medium")]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
