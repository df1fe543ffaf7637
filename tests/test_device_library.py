"""Models whose large products a library does: what it is asked for each, and the CPU's results. On the emulated device,
by a stand-in for cuBLASLt that computes on the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from devices import DEVICES
from stand_in import BIAS, BIAS_GRADIENT_A, PLAIN, RELU, RELU_BIAS, TESTS, compile_stand_in

pytestmark = pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")
# where rounding turns a ReLU off, all of its gradient is an error
GRADIENTS = {"highest": 1e-5, "high": 1e-5, "medium": 0.5}
PRODUCTS = {
    "highest": "float32",
    "high": "where they are large, three of TF32 ('high')",
    "medium": "where they are large, bfloat16 ('medium')",
}
WEIGHTS = {"highest": 1e-6, "high": 1e-6, "medium": 2e-2}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """What library_models.py prints of so many networks."""
    library = compile_stand_in(tmp_path_factory.mktemp("library"))

    def run(*nets, epilogues="", lacks=0, programs=""):
        named = {
            "FUSEDNET_CUBLASLT": str(library),
            "FUSEDNET_CUBLASLT_EPILOGUES": epilogues,
            "FUSEDNET_PROGRAMS": programs,
        }
        command = [sys.executable, TESTS / "library_models.py", library, str(lacks), *nets]
        done = subprocess.run(command, env={**os.environ, **named}, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run


def check(found, first, second, sums=(), biased=True):
    """`first` and `second`: the forward epilogues of the two large layers, then the layers whose bias's gradient comes
    with dW. Backward: dW and dx of the second layer, dW of the first, whose dx nobody wants."""
    for precision, tolerance in GRADIENTS.items():
        (case,) = [c for name, c in found.items() if name.endswith(f", {precision}")]
        assert case["gradients"] <= tolerance, case
        assert max(case["weights"], case["loss"]) <= WEIGHTS[precision], case
        assert case["programmed"] == 0
        assert case["products"] == PRODUCTS[precision]
        if precision == "high":
            forward = [[BIAS if biased else PLAIN, PLAIN, RELU if e & RELU else PLAIN] for e in (first, second)]
            want = [*forward[0], *forward[1], *[PLAIN] * 9]
        else:
            with_sums = sums if precision == "highest" else ()
            dw = [BIAS_GRADIENT_A if layer in with_sums else PLAIN for layer in (2, 1)]
            want = [first, second, dw[0], PLAIN, dw[1]]
        assert case["epilogues"] == want, case
    (case,) = [c for name, c in found.items() if name.endswith(", float64")]
    assert case["checks"]
    assert case["epilogues"] == sorted({first, second, PLAIN} | ({BIAS_GRADIENT_A} if sums else set()))


@pytest.mark.parametrize(
    ("net", "first", "second", "sums"),
    [
        ("bias", RELU_BIAS, RELU_BIAS, (1, 2)),
        ("no bias", RELU, RELU, ()),
        ("elu", BIAS, BIAS, (1, 2)),
        ("batchnorm", BIAS, RELU_BIAS, (1, 2)),
    ],
)
def test_all_that_it_has(models, net, first, second, sums):
    check(models(net, epilogues="relu sums"), first, second, sums, biased=net != "no bias")


def test_without_being_asked(models):
    """No ReLU of the library's, which would make 0 of NaN; and no program, which the library is no part of."""
    found = models("bias", programs="1")
    assert found["nan"]
    check(found, BIAS, BIAS)


def test_the_layer_that_overflows_is_named(models):
    """Its products go on after a step is refused; what is said of that step is not made of them."""
    assert models()["refused"] == [["second in step 6"] * 2] * 3


def test_a_library_that_lacks_them(models):
    found = models("bias", epilogues="relu sums", lacks=RELU | BIAS_GRADIENT_A)
    assert found["nan"]
    check(found, BIAS, BIAS)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_without_a_library_the_plan_says_float32(precision):
    ask = f"""import fusednet
fusednet.set_float32_matmul_precision({precision!r})
model = fusednet.Sequential([fusednet.layers.Dense(2, input_shape=[3])])
model.compile("sgd", "mse", device="cuda_emulated")
print(model.plan)"""
    environment = {**os.environ, "FUSEDNET_CUBLASLT": ""}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    why = "" if precision == "highest" else f" ({precision!r} asked; no library for large products is in use)"
    assert f"products: float32{why}\n" in done.stdout
