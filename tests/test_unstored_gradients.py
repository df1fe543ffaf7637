"""Updates that compute a kernel's gradient block by block: the bits of a stored one, and its norm without it."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet as fn
import plans
from fusednet import _native
from plans import activation, batchnorm, dense, optimizer

SGD, ADAM = ("sgd", (0.05,)), ("adam", (0.01, 0.9, 0.999, 1e-7))
CLIPS = [{}, {"clipvalue": 0.003}, {"global_clipnorm": 0.05}]


def network(*widths, normalized=True):
    """Dense - BatchNormalization - ELU for each width, then Dense 5."""
    layers = []
    for i, width in enumerate(widths):
        layers += [dense(f"d{i}", width), *([batchnorm(f"b{i}")] if normalized else []), activation(f"a{i}")]
    return [*layers, dense("out", 5)]


def build(layers, features, batch, row=SGD, *, stored, dtype="float32", **clip):
    plan = _native.Plan(
        plans.config(layers, features, batch, dtype, optimizer=optimizer(*row, **clip), gradients=stored)
    )
    plans.start(plan)
    return plan


def pair(*args, **more):
    return build(*args, stored=True, **more), build(*args, stored=False, **more)


def has_gradient(plan, name="d0/kernel"):
    try:
        plan.gradient(name)
    except KeyError:
        return False
    return True


def norm_in_float64(layers, features, x, y, weights=None):
    plan = build(layers, features, len(x), stored=True, dtype="float64", global_clipnorm=1.0)
    return plan.compute_gradients(x.astype(np.float64), y, None, weights)["norm"]


# 16 384 elements and more are worth it without slots. The batches: less than a task of the norm's step, one and a bit,
# several, more than a block of its rows; the last two only pay for layers that are large beside them.
@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: next(iter(c), "unclipped"))
@pytest.mark.parametrize(
    ("widths", "features", "rows"),
    [((131, 140), 130, 11), ((300,), 260, 33), ((600,), 701, 70), ((2400,), 2401, 290)],
    ids=str,
)
def test_same_bits_as_with_stored_gradients(widths, features, rows, clip):
    layers = network(*widths)
    stored, unstored = pair(layers, features, rows, **clip)
    assert has_gradient(stored)
    assert not has_gradient(unstored)
    assert unstored.nbytes < stored.nbytes
    x, y = plans.data(rows, features, 5, "float32")
    for step in range(2):
        results = [plan.train(x, y, None, 0, rows, rows, 1e9) for plan in (stored, unstored)]
        assert [r["status"] for r in results] == ["ok", "ok"]
        if "global_clipnorm" in clip:
            assert results[0]["norm"] == results[1]["norm"] > 0.05
            if step == 0:
                assert results[0]["norm"] == pytest.approx(norm_in_float64(layers, features, x, y), rel=2e-6)
    for name, value in plans.state(stored).items():
        np.testing.assert_array_equal(unstored.get(name), value, err_msg=name)


def test_a_larger_batch_than_the_norm_pays_for_stores_the_gradient():
    plan = build(network(140), 130, 200, stored=False, global_clipnorm=0.05)
    assert has_gradient(plan)
    x, y = plans.data(200, 130, 5, "float32")
    other = build(network(140), 130, 11, stored=False, global_clipnorm=0.05)
    for p in (plan, other):  # room for more rows changes no bit
        p.train(x, y, None, 0, 11, 11, 1e9)
    for name, value in plans.state(plan).items():
        np.testing.assert_array_equal(other.get(name), value, err_msg=name)


def test_with_slots_only_what_no_cache_holds_is_unstored():
    assert has_gradient(build(network(1500), 1400, 8, ADAM, stored=False))
    layers = network(2900, normalized=False)
    stored, unstored = pair(layers, 2901, 8, row=ADAM, global_clipnorm=0.05)
    assert not has_gradient(unstored)
    x, y = plans.data(8, 2901, 5, "float32")
    for plan in (stored, unstored):
        plan.train(x, y, None, 0, 8, 8, 1e9)
    for name in ("d0/kernel", "d0/kernel/momentum", "d0/kernel/velocity", "d0/bias"):
        np.testing.assert_array_equal(unstored.get(name), stored.get(name), err_msg=name)
    parameters = sum(int(np.prod(t["shape"])) for t in unstored.tensors())
    assert unstored.nbytes < 1.05 * 4 * 3 * parameters


def test_norm_where_the_terms_cancel():
    """A large common mean, which the gradient behind BatchNormalization does not see: in products of samples with
    samples it takes all digits."""
    features, rows = 260, 33
    layers = network(300)
    x, y = plans.data(rows, features, 5, "float32")
    x = (x + 3000).astype(np.float32)
    stored, unstored = pair(layers, features, rows, global_clipnorm=1e-3)
    want = stored.compute_gradients(x, y, None)["norm"]
    direct = np.sqrt(
        sum((stored.gradient(t["name"]).astype(np.float64) ** 2).sum() for t in stored.tensors() if t["trainable"])
    )
    assert want == pytest.approx(direct, rel=1e-9)
    got = unstored.train(x, y, None, 0, rows, rows, 1e9)["norm"]
    assert got == pytest.approx(direct, rel=1e-9)


@pytest.mark.parametrize("size", [1e25, 1e-22])
def test_norm_beyond_the_range_of_float32_squares(size):
    features, rows = 130, 11
    layers = network(140, normalized=False)
    x, y = plans.data(rows, features, 5, "float32")
    weights = np.full(rows, size)
    plan = build(layers, features, rows, stored=False, global_clipnorm=min(1.0, size * 1e-3))
    result = plan.train(x, y, None, 0, rows, rows, 1e9, weights)
    assert result["status"] == "ok"
    assert result["norm"] == pytest.approx(norm_in_float64(layers, features, x, y, weights), rel=1e-5)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: next(iter(c), "unclipped"))
def test_what_is_not_finite_changes_nothing(clip):
    plan = build(network(140, normalized=False), 130, 11, stored=False, **clip)
    x, y = plans.data(11, 130, 5, "float32")
    before = plans.state(plan)
    weights = np.full(11, 3e38)
    result = plan.train(x * 1e6, y, None, 0, 11, 11, 1e9, weights)
    assert result["status"] in ("gradient", "loss")
    for name, value in plans.state(plan).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_a_bound_far_above_the_norm_refuses_nothing():
    """|x| |dz| is beyond the limit where the gradient, behind a BatchNormalization, is far below it."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 200)) + 3000).astype(np.float32)
    y = rng.normal(size=(64, 1)).astype(np.float32)
    layers = [dense("d0", 100, use_bias=False), batchnorm("b0"), dense("out", 1)]
    results, states = [], []
    for stored in (True, False):
        config = plans.config(layers, 200, 64, "float32", optimizer=optimizer("sgd", (1e-25,)), gradients=stored)
        plan = _native.Plan(config | {"loss": plans.loss("mean_squared_error", False), "metrics": []})
        plans.start(plan)
        results.append(plan.train(x, y, None, 0, 64, 64, 1e9, np.full(64, 1e15)))
        states.append(plans.state(plan))
    assert [r["status"] for r in results] == ["ok", "ok"]
    assert results[1]["norm"] == pytest.approx(results[0]["norm"], rel=1e-9)
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value, err_msg=name)


def test_neighbours_of_a_size_that_pays_pay_too():
    for width, rows in ((4095, 512), (4096, 512), (4097, 513)):
        layers = [dense("d0", width), dense("out", 5)]
        config = plans.config(layers, width, rows, "float32", optimizer=optimizer(*ADAM, global_clipnorm=1.0))
        assert not has_gradient(_native.Plan(config | {"gradients": False})), (width, rows)


EXTRAS = {
    "decay": {"weight_decay": 0.01, "weight_decay_excluded": ["bias"]},
    "average": {"ema_momentum": 0.9},
    "overwritten by the average": {"ema_momentum": 0.9, "ema_overwrite_frequency": 2},
}


@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: next(iter(c), "unclipped"))
@pytest.mark.parametrize("extra", [*EXTRAS, "medium", "constraint", "residual", "maxout", "frozen"])
def test_same_bits_with_everything_else_that_an_update_does(extra, clip):
    layers = network(300, 150)
    config = {}
    if extra == "constraint":
        layers[0] |= {"constraints": {"kernel": plans.MAX_NORM}}
    elif extra == "residual":
        layers = [dense("d0", 260), plans.residual("r", dense("e", 260, plans.ELU), survival=0.7), *layers[3:]]
    elif extra == "maxout":
        layers[0] |= {"pieces": 2}
    elif extra == "frozen":
        layers[0] |= {"trainable": False}
    elif extra == "medium":
        config["precision"] = "medium"
    states = []
    for stored in (True, False):
        row = optimizer(*SGD, **clip, **EXTRAS.get(extra, {}))
        plan = _native.Plan(plans.config(layers, 260, 33, "float32", optimizer=row, gradients=stored, **config))
        plans.start(plan)
        assert has_gradient(plan, "d1/kernel" if extra != "residual" else "d0/kernel") == stored
        x, y = plans.data(33, 260, 5, "float32")
        for _ in range(3):
            assert plan.train(x, y, None, 0, 33, 33, 1e9)["status"] == "ok"
        states.append(plans.state(plan))
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value, err_msg=name)


def test_a_plan_that_stores_none_says_so():
    plan = build(network(140), 130, 11, stored=False)
    x, y = plans.data(11, 130, 5, "float32")
    for call in (lambda: plan.compute_gradients(x, y, None), plan.apply_gradients):
        with pytest.raises(ValueError, match="expects a plan that stores gradients"):
            call()


def test_own_loop_after_fit_goes_on_from_the_same_state():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 130)).astype(np.float32), rng.integers(0, 5, 40)
    models = []
    for _ in range(2):
        model = fn.Sequential([fn.Input((130,)), fn.layers.Dense(140, "elu"), fn.layers.Dense(5)], seed=3)
        loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(loss=loss, optimizer=fn.optimizers.SGD(0.1))
        model.fit(x, y, batch_size=20, epochs=2, verbose=0)
        models.append(model)
    own, whole = models
    own.apply_gradients(own.compute_gradients(x[:20], y[:20]))
    whole.train_on_batch(x[:20], y[:20])
    for a, b in zip(own.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: next(iter(c), "unclipped"))
def test_any_number_of_threads(clip):
    x, y = plans.data(33, 260, 5, "float32")
    states = []
    threads = _native.get_num_threads()
    try:
        for count in (1, 2, 3):
            _native.set_num_threads(count)
            plan = build(network(300, 131), 260, 33, stored=False, **clip)
            for _ in range(3):
                plan.train(x, y, None, 0, 33, 33, 1e9)
            states.append(plans.state(plan))
    finally:
        _native.set_num_threads(threads)
    for state in states[1:]:
        for name, value in state.items():
            np.testing.assert_array_equal(value, states[0][name], err_msg=name)
