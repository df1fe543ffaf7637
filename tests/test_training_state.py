"""What training keeps between steps: resumed runs, accumulated gradients, averages, decay, multipliers and rates."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import oracle_optimizers
from fusednet import constraints, layers, optimizers, regularizers
from fusednet.layers import BatchNormalization, Dense, Dropout, LayerNormalization, Maxout, Residual
from fusednet.optimizers import SGD, Adam, schedules
from gradients import LEARNED

X = np.random.default_rng(0).normal(size=(90, 6))
Y = np.random.default_rng(1).integers(0, 3, 90)


@pytest.fixture(autouse=True)
def names_from_the_beginning():
    """Two models of a test have layers of the same names, whatever ran before it."""
    fusednet.utils.clear_session()


def build(*stack, optimizer, seed=5, dtype="float64", metrics=None):
    fusednet.utils.clear_session()
    model = fusednet.Sequential([layers.Input([6]), *stack, Dense(3, "softmax", name="top")], seed=seed, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics)
    return model


def everything(dtype, optimizer):
    penalty = regularizers.L1L2(0.001, 0.002)
    inner = [Dense(9, "tanh", kernel_constraint=constraints.MaxNorm(1.0)), Dropout(0.2), Dense(8), BatchNormalization()]
    stack = [
        layers.GaussianNoise(0.1),
        layers.DropConnect(8, 0.2, activation=LEARNED[0] if LEARNED else "elu", kernel_regularizer=penalty),
        Residual(inner, 0.7, per_sample=True),
        Residual([Dense(8, activity_regularizer=penalty)], 0.5),
        Maxout(24, 2, learning_rate_multiplier=0.5),
        layers.Reshape((4, 3, 2)),
        layers.FractionalMaxPooling2D(1.5),
        layers.Flatten(),
        LayerNormalization(),
        layers.AlphaDropout(0.1),
        *(layers.Activation(name) for name in ("rrelu",) if name in fusednet.activations.names()),
    ]
    return build(*stack, optimizer=optimizer, dtype=dtype, metrics=["accuracy"])


def full(every=None):
    return Adam(
        schedules.ExponentialDecay(0.02, 3, 0.9), weight_decay=0.01, global_clipnorm=1.0, use_ema=True,
        ema_momentum=0.9, ema_overwrite_frequency=every, gradient_accumulation_steps=2,
    )  # fmt: skip


class Each(fusednet.callbacks.Callback):
    """Calls a function after each batch."""

    def __init__(self, call):
        self.call = call

    def on_train_batch_end(self, batch, logs=None):
        self.call(self.model)


class AfterEpoch(fusednet.callbacks.Callback):
    """The same after each epoch; batches are trained many at a time."""

    def __init__(self, call):
        self.call = call

    def on_epoch_end(self, epoch, logs=None):
        self.call(self.model, epoch)


def values(model):
    return {variable.name: variable.numpy() for variable in model.weights}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_run_resumed_from_a_file_is_the_whole_run(tmp_path, dtype, every, epoch):
    """With gradients waiting in the accumulators (five batches an epoch, two an update) and everything random."""

    def save(model, number):
        if number == epoch:
            assert model.plan.pending == 1 - number
            model.save(tmp_path / "half.safetensors")

    whole = everything(dtype, full(every))
    expected = whole.fit(X, Y, batch_size=20, epochs=4, verbose=0, callbacks=[AfterEpoch(save)]).history
    rest = fusednet.load_model(tmp_path / "half.safetensors")
    again = rest.fit(X, Y, batch_size=20, epochs=4, initial_epoch=epoch + 1, verbose=0).history
    for key, values_of in again.items():
        assert values_of == expected[key][epoch + 1 :], key
    assert (rest.step, rest.plan.passes, rest.plan.pending) == (whole.step, whole.plan.passes, whole.plan.pending)
    state = rest._engine.read()
    for name, value in whole._engine.read().items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


def test_batches_seen_by_callbacks_and_slices_of_many_are_the_same_bits():
    runs = [everything("float32", full(3)) for _ in range(2)]
    for model, called in zip(runs, ([], [Each(lambda model: None)]), strict=True):
        model.fit(X, Y, batch_size=20, epochs=2, verbose=0, callbacks=called)
    for name, value in values(runs[0]).items():
        np.testing.assert_array_equal(value, values(runs[1])[name], err_msg=name)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("rule", [{}, {"momentum": 0.9}, {"clipnorm": 0.05}, {"weight_decay": 0.1}], ids=str)
def test_accumulated_batches_are_one_large_batch(count, rule):
    stack = lambda: [Dense(7, "tanh", kernel_regularizer="l2"), LayerNormalization(), Maxout(5, 2)]  # noqa: E731
    many = build(*stack(), optimizer=SGD(0.1, gradient_accumulation_steps=count, **rule))
    one = build(*stack(), optimizer=SGD(0.1, **rule))
    for model, rows in ((many, 90 // count // 3), (one, 30)):
        model.fit(X, Y, batch_size=rows, epochs=2, shuffle=False, verbose=0)
        assert model.step == 6
    for name, value in values(many).items():
        np.testing.assert_allclose(value, values(one)[name], rtol=1e-11, atol=1e-13, err_msg=name)


def test_apply_gradients_accumulates_as_training_does():
    loop, fitted = (
        build(Dense(5, "elu"), Dropout(0.4), optimizer=Adam(0.1, gradient_accumulation_steps=2)) for _ in "ab"
    )
    for begin in range(0, 90, 15):
        part = slice(begin, begin + 15)
        before = values(loop)
        loop.apply_gradients(loop.compute_gradients(X[part], Y[part]))
        fitted.train_on_batch(X[part], Y[part])
        moved = any((before[name] != value).any() for name, value in values(loop).items())
        assert moved == (begin % 30 == 15)
        assert (loop.step, loop.plan.passes, loop.plan.pending) == (
            fitted.step,
            fitted.plan.passes,
            fitted.plan.pending,
        )
    for name, value in values(loop).items():
        np.testing.assert_allclose(value, values(fitted)[name], rtol=1e-12, err_msg=name)


def test_each_step_of_an_own_loop_draws_other_masks():
    model = build(Dropout(0.5), optimizer=SGD(0.0))
    seen = []
    for _ in range(3):
        gradients = model.compute_gradients(X[:5], Y[:5])
        np.testing.assert_array_equal(gradients["top/kernel"], model.compute_gradients(X[:5], Y[:5])["top/kernel"])
        model.apply_gradients(gradients)
        seen.append(gradients["top/kernel"])
    assert (seen[0] != seen[1]).any()
    assert (seen[1] != seen[2]).any()


@pytest.mark.parametrize("every", [None, 1, 4])
@pytest.mark.parametrize("momentum", [0.0, 0.7, 1.0])
def test_averages_and_when_they_become_the_weights(every, momentum):
    options = {"use_ema": True, "ema_momentum": momentum, "ema_overwrite_frequency": every}
    model = build(Dense(5, "tanh"), optimizer=SGD(0.5, **options))
    plain = build(Dense(5, "tanh"), optimizer=SGD(0.5))
    averages: dict[str, np.ndarray] = {}

    def look(model):
        for name, value in values(plain).items():
            old = averages.get(name, value)
            averages[name] = momentum * old + (1 - momentum) * value
        if every and model.step % every == 0:
            plain.set_weights(list(averages.values()))
        for name, value in values(plain).items():
            np.testing.assert_allclose(model.plan.get(name), value, rtol=1e-12, err_msg=name)
            np.testing.assert_allclose(model.plan.get(f"{name}/average"), averages[name], rtol=1e-12, err_msg=name)

    for begin in range(0, 90, 10):
        part = slice(begin, begin + 10)
        model.train_on_batch(X[part], Y[part])
        plain.train_on_batch(X[part], Y[part])
        look(model)
    trained = values(model)
    model.fit(X, Y, epochs=0, verbose=0)  # has not trained
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, trained[name])
    model._engine.use_averages()  # as at the end of training
    for name, value in values(model).items():
        np.testing.assert_allclose(value, averages[name], rtol=1e-12, err_msg=name)


def test_the_average_of_a_layer_that_is_unfrozen_begins_at_its_weights():
    model = build(Dense(5, "tanh", name="a", trainable=False), optimizer=SGD(0.1, use_ema=True, ema_momentum=0.9))
    model.fit(X, Y, verbose=0)
    kernel = model.get_layer("a").kernel.numpy()
    model.get_layer("a").trainable = True
    model.fit(X, Y, epochs=0, verbose=0)
    np.testing.assert_array_equal(model.get_layer("a").kernel.numpy(), kernel)
    model.fit(X, Y, batch_size=90, verbose=0)
    assert np.abs(model.get_layer("a").kernel.numpy() - kernel).max() < 0.1


def one_step(optimizer, *stack):
    """Weights before and after a step, and its gradients."""
    model = build(*stack, optimizer=optimizer)
    gradients, before = model.compute_gradients(X[:20], Y[:20]), values(model)
    model.train_on_batch(X[:20], Y[:20])
    return before, values(model), gradients


def test_weight_decay_and_what_it_spares():
    rule = SGD(0.1, weight_decay=0.5, weight_decay_excluded=["bias", "norm/"])
    stack = [Dense(5, name="a"), BatchNormalization(name="norm"), Dense(4, name="b", learning_rate_multiplier=2.0)]
    before, after, gradients = one_step(rule, *stack)
    for name, g in gradients.items():
        rate = 0.2 if name.startswith("b/") else 0.1
        decay = 0.0 if "bias" in name or "norm/" in name else 0.5
        np.testing.assert_allclose(after[name], before[name] * (1 - rate * decay) - rate * g, rtol=1e-12, atol=1e-15)


RULES = [kind for kind in vars(optimizers).values() if isinstance(kind, type)]
RULES = [kind for kind in RULES if issubclass(kind, optimizers.Optimizer) and kind is not optimizers.Optimizer]


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_multipliers_are_those_of_the_learning_rate(kind):
    bare = [one_step(kind(learning_rate=rate), Dense(5, name="a"))[1]["a/kernel"] for rate in (0.03, 0.0)]
    stacks = [[Dense(5, name="a", learning_rate_multiplier=m)] for m in (3.0, 0.0)]
    for want, stack in zip(bare, stacks, strict=True):
        np.testing.assert_allclose(one_step(kind(learning_rate=0.01), *stack)[1]["a/kernel"], want, rtol=1e-12)


@pytest.mark.parametrize("clip", [{"clipvalue": 0.05}, {"clipnorm": 0.1}, {"global_clipnorm": 0.2}], ids=str)
def test_clipping_sees_the_penalties(clip):
    penalised = {"kernel_regularizer": regularizers.L1L2(0.1, 0.2), "activity_regularizer": "l2"}
    before, after, gradients = one_step(SGD(1.0, **clip), Dense(5, "tanh", **penalised))
    clipped = oracle_optimizers.clip(list(gradients.values()), **clip)
    assert max(np.abs(a - b).max() for a, b in zip(gradients.values(), clipped, strict=True)) > 0.01
    for name, g in zip(gradients, clipped, strict=True):
        np.testing.assert_allclose(after[name], before[name] - g, rtol=1e-12, atol=1e-15, err_msg=name)


def test_constraints_hold_after_each_step():
    def holds(model):
        w = values(model)
        assert (w["a/bias"] >= 0).all()
        assert (np.linalg.norm(w["a/kernel"], axis=0) <= 0.5 + 1e-12).all()
        np.testing.assert_allclose(np.linalg.norm(w["m/kernel"], axis=0), 1, rtol=1e-6)
        norms = np.linalg.norm(w["r/kernel"], axis=0)
        assert ((norms > 0.3 - 1e-6) & (norms < 0.4 + 1e-6)).all()
        np.testing.assert_allclose(np.linalg.norm(w["n/gamma"]), 1, rtol=1e-6)
        seen.append(w)

    seen: list = []
    stack = [
        Dense(70, "tanh", name="a", kernel_constraint=constraints.MaxNorm(0.5), bias_constraint="non_neg"),
        Maxout(8, 3, name="m", kernel_constraint="unit_norm"),
        Residual([Dense(8, name="r", kernel_constraint=constraints.MinMaxNorm(0.3, 0.4))]),
        LayerNormalization(name="n", gamma_constraint="unit_norm"),
    ]
    model = build(*stack, optimizer=Adam(0.5, use_ema=True, ema_overwrite_frequency=3))
    model.fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=[Each(holds)])
    assert len(seen) == 18
    assert (seen[3]["a/bias"] == 0).any()


@pytest.mark.parametrize("count", [None, 2])
def test_a_schedule_goes_by_updates(count):
    rule = schedules.PiecewiseConstantDecay([2, 4], [0.5, 0.1, 0.0])
    model = build(optimizer=SGD(rule, gradient_accumulation_steps=count))
    one = build(optimizer=SGD(1.0))
    for number in range(12):
        part = slice(number * 7, number * 7 + 7)
        assert model.plan.learning_rate == rule(number // (count or 1))
        before = values(model)["top/kernel"]
        one.set_weights(list(values(model).values()))
        model.train_on_batch(X[part], Y[part])
        if count is None:
            one.train_on_batch(X[part], Y[part])
            step = values(one)["top/kernel"] - before
            np.testing.assert_allclose(values(model)["top/kernel"], before + rule(number) * step, rtol=1e-12)
    model.optimizer.get_config()
    with pytest.raises(TypeError, match="follows"):
        model.optimizer.learning_rate = 0.1


def test_compiling_again_starts_the_optimizer_anew():
    model = everything("float64", full())
    model.fit(X[:60], Y[:60], batch_size=20, verbose=0)
    assert (model.step, model.plan.pending, model.plan.passes) == (1, 1, 3)
    kept = values(model)
    model.compile(full(), "sparse_categorical_crossentropy")
    assert (model.step, model.plan.pending, model.plan.passes) == (0, 0, 3)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, kept[name])
    for name, value in model._engine.read().items():
        if name.endswith(("average", "accumulator", "momentum", "velocity")):
            assert not value.any(), name


@pytest.mark.parametrize("change", ["a larger batch", "a layer frozen and trained again"])
def test_a_new_plan_goes_on_where_the_old_one_was(change):
    """In the middle of an accumulation, with averages and masks."""
    one, other = (everything("float64", full()) for _ in "ab")
    for begin in range(0, 90, 15):
        part = slice(begin, begin + 15)
        one.train_on_batch(X[part], Y[part])
        other.train_on_batch(X[part], Y[part])
        if begin != 30:
            continue
        assert other.plan.pending == 1
        if change == "a larger batch":
            other.predict(X, batch_size=90)
        else:
            frozen = next(layer for layer in other.layers if type(layer.spec) is layers.Flatten)
            frozen.trainable = False
            other.predict(X)
            frozen.trainable = True
    state = other._engine.read()
    for name, value in one._engine.read().items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)
