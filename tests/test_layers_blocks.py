"""Residual blocks: what is inside them, and the survival probabilities of stochastic depth."""

from __future__ import annotations

import pytest

import fusednet
from fusednet import layers
from fusednet.layers import Dense, Flatten, Input, MaxPooling2D, Normalization, Reshape, Residual, stochastic_depth


def block(**options):
    inner = Residual([Dense(4, "relu", name="c")], name="inner")
    return Residual([Dense(8, "relu", name="a"), layers.Dropout(0.5, name="b"), Dense(4, name="d"), inner], **options)


def test_leaves_and_names():
    leaves = [(leaf.name, shape) for leaf, shape in block(name="r").leaves((4,))]
    assert leaves == [("a", (4,)), ("b", (8,)), ("d", (8,)), ("c", (4,))]
    assert list(block(name="r").names()) == ["r", "a", "b", "d", "inner", "c"]
    assert block().weight_specs((4,)) == []
    dense = Dense(3)
    assert list(dense.leaves((4,))) == [(dense, (4,))]
    assert list(dense.names()) == [dense.name]


def test_what_the_plan_reads():
    native = block(survival_probability=0.75, per_sample=True, name="r").native((4,))
    inside = native.pop("layers")
    assert native == {"kind": "residual", "name": "r", "trainable": True, "survival": 0.75, "per_sample": True}
    assert [entry["name"] for entry in inside] == ["a", "b", "d", "inner"]
    assert inside[0] == Dense(8, "relu", name="a").native((4,))
    assert inside[3]["layers"] == [Dense(4, "relu", name="c").native((4,))]
    images = Residual([Reshape((4, 4)), MaxPooling2D(3, 1, "same", name="p"), Flatten()]).native((16,))
    assert [(entry["name"], entry["height"]) for entry in images["layers"]] == [("p", 4)]


def test_frozen_blocks_freeze_what_is_inside():
    def trainable(layer):
        return [leaf.trainable for leaf, _ in layer.leaves((4,))]

    assert trainable(block()) == [True] * 4
    frozen = block(trainable=False, name="r")
    assert trainable(frozen) == [False] * 4
    assert not any(entry["trainable"] for entry in frozen.native((4,))["layers"][3]["layers"])
    assert trainable(Residual.from_config(frozen.get_config())) == [False] * 4
    assert trainable(frozen.with_trainable(True)) == [True] * 4
    given = Dense(4, name="a")
    Residual([given], trainable=False)
    assert given.trainable


def test_a_configuration_holds_the_layers():
    config = block(survival_probability=0.5, name="r").get_config()
    assert [entry["class"] for entry in config["layers"]] == ["Dense", "Dropout", "Dense", "Residual"]
    again = Residual.from_config(config)
    assert again.get_config() == config
    assert again.native((4,)) == block(survival_probability=0.5, name="r").native((4,))
    config["layers"][0]["class"] = "Dens"
    with pytest.raises(ValueError, match=r"\[Residual\] layer class expects one of .*did you mean 'Dense'"):
        Residual.from_config(config)


def test_a_model_tells_shapes_counts_and_names(capsys):
    model = fusednet.Sequential([Input([4]), block(name="r"), Dense(2, name="top")], name="net")
    assert model.output_shape == (None, 2)
    model.summary()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {line[0]: line[-1] for line in lines if len(line) > 2 and line[1].startswith("(")}
    assert rows == {"r": "96", "a": "40", "b": "0", "d": "36", "inner": "20", "c": "20", "top": "10", "Layer": "#"}
    assert ["Total", "params:", "106"] in [line[:3] for line in lines]
    for name in ("a", "c", "inner", "r"):
        with pytest.raises(ValueError, match=f"different names, got '{name}' twice"):
            model.add(Dense(2, name=name))
    with pytest.raises(ValueError, match="different names, got 'd' twice"):
        model.add(Residual([Dense(2, name="d")], name="new"))
    assert len(model.layers) == 2


def test_the_summary_indents_layers_inside(capsys):
    fusednet.Sequential([block(name="r", input_shape=[4])]).summary()
    known = capsys.readouterr().out
    fusednet.Sequential([block(name="r")]).summary()
    for text in (known, capsys.readouterr().out):
        assert "\nr (Residual) " in text
        assert "\n  inner (Residual) " in text
        assert "\n    c (Dense) " in text


def test_arrays_are_named_after_the_layers_inside():
    model = fusednet.Sequential([block(name="r", input_shape=[4])])
    found = {tensor.name: tensor.shape for tensor in model._engine.tensors()}
    assert found == {
        "a/kernel": (4, 8), "a/bias": (8,), "d/kernel": (8, 4), "d/bias": (4,), "c/kernel": (4, 4), "c/bias": (4,),
    }  # fmt: skip
    assert [variable.name for variable in model.get_layer("r").weights] == list(found)
    model.get_layer("r").trainable = False
    assert model.trainable_weights == []


def test_the_shape_of_the_first_layer_inside_is_the_block_s():
    model = fusednet.Sequential([Residual([Dense(4, input_shape=[4])])])
    assert model.input_shape == (None, 4)


def test_validate_reaches_inside():
    with pytest.raises(ValueError, match=r"\[Normalization 'n'\] expects adapt"):
        Residual([Normalization(name="n"), Dense(4)]).validate()
    block().validate()


MODEL = fusednet.Sequential([Dense(3, input_shape=[3])])
BAD = {
    "shape": (
        lambda: Residual([Dense(8, name="a"), Dense(5, name="b")], name="r").output_shape((4,)),
        ValueError,
        r"\[Residual 'r'\] expects a branch that gives back .*\(n, 4\), got \(n, 5\) after \[Dense 'b'\]",
    ),
    "shape inside": (
        lambda: Residual([Dense(4, input_shape=[3], name="a")]).output_shape((4,)),
        ValueError,
        r"\[Dense 'a'\] expects input_shape \(4,\) at its place, got \(3,\)",
    ),
    "images": (lambda: Residual([Dense(4)]).output_shape((2, 2)), ValueError, r"put Flatten"),
    "none": (lambda: Residual([]), ValueError, r"\[Residual\] layers expects at least one layer"),
    "no list": (lambda: Residual(Dense(3), name="r"), TypeError, r"\[Residual 'r'\] layers expects a list"),
    "text": (lambda: Residual("relu"), TypeError, r"list of layers, got 'relu'"),
    "no layer": (lambda: Residual(["relu"]), TypeError, r"in no model, got 'relu'"),
    "of a model": (lambda: Residual(MODEL.layers), TypeError, r"in no model"),
    "input": (lambda: Residual([Input([3])]), TypeError, r"in no model, got <InputLayer"),
    "twice": (
        lambda: Residual([Dense(3, name="a"), Dense(3, name="a")]),
        ValueError,
        r"different names, got 'a' twice",
    ),
    "nested twice": (lambda: Residual([block(), Dense(3, name="c")]), ValueError, r"got 'c' twice"),
    "its own name": (lambda: Residual([Dense(3, name="a")], name="a"), ValueError, r"got 'a' twice"),
    "survival 0": (lambda: Residual([Dense(3)], 0.0), ValueError, r"survival_probability expects a number above 0"),
    "survival": (lambda: Residual([Dense(3)], 1.5, name="r"), ValueError, r"'r'\] survival_probability .*got 1\.5"),
    "blocks": (lambda: stochastic_depth(0), ValueError, r"\[stochastic_depth\] blocks expects a positive integer"),
    "last": (lambda: stochastic_depth(3, 0.0), ValueError, r"\[stochastic_depth\] last .*at most 1, got 0\.0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    make, error, match = BAD[case]
    with pytest.raises(error, match=match):
        make()


def test_survival_falls_linearly_with_depth():
    assert stochastic_depth(1) == [0.5]
    assert stochastic_depth(2, 1.0) == [1.0, 1.0]
    rates = stochastic_depth(54)
    assert rates[-1] == 0.5
    assert rates == pytest.approx([1 - number / 54 * (1 - 0.5) for number in range(1, 55)], abs=0)
    assert rates[0] == pytest.approx(1 - 1 / 108)
    blocks = [Residual([Dense(4)], rate) for rate in stochastic_depth(3)]
    assert [block.survival_probability for block in blocks] == stochastic_depth(3)
