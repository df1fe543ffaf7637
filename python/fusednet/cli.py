"""The command `fusednet`: train, check, catalogue, bench, info."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fusednet
from fusednet import _catalogue_report, _figures, _plot, _saving, catalogue, recipes
from fusednet.models import Sequential
from fusednet.recipes import Recipe

Array = NDArray[Any]
_MNIST_VALIDATION = 5000  # the first training images
_DIGITS_VALIDATION = 180
_CHECK_ROWS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failed check, 2 for an error, 130 for Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("fusednet: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output is gone
        return 2
    except (ValueError, TypeError, OSError, ArithmeticError, MemoryError) as error:
        print(f"fusednet: error: {str(error) or type(error).__name__}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fusednet", description="Train dense neural networks in compiled code.")
    parser.add_argument("--version", action="version", version=f"fusednet {fusednet.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network on the embedded digits or on IDX files")
    train.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with the four IDX files of MNIST (default: digits)"
    )
    train.add_argument("--recipe", default="batchnorm", choices=list(recipes.RECIPES), help="default: batchnorm")
    train.add_argument("--epochs", type=int, metavar="N", help="default: the recipe's")
    train.add_argument("--batch-size", type=int, metavar="N", help="default: the recipe's")
    train.add_argument("--learning-rate", type=float, metavar="RATE", help="default: the recipe's")
    train.add_argument("--seed", type=int, default=42, metavar="N", help="default: 42")
    train.add_argument("--out", type=Path, default=Path("fusednet-run"), metavar="DIR", help="default: ./fusednet-run")
    train.add_argument("--quiet", action="store_true", help="no progress, only the result")
    train.set_defaults(run=_train)

    shown = commands.add_parser("catalogue", help="print every row with figures computed then and there")
    shown.add_argument("--kind", choices=catalogue.KINDS, help="only the rows of this kind")
    form = shown.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the same as JSON")
    form.add_argument("--markdown", action="store_true", help="the page docs/catalogue.md, without figures")
    shown.set_defaults(run=_catalogue)

    bench = commands.add_parser("bench", help="time training steps, kernels and whole jobs beside other libraries")
    bench.add_argument(
        "groups", nargs="*", metavar="GROUP", help="steps, device, inference, kernels, scaling, jobs, threads"
    )
    bench.add_argument("--quick", action="store_true", help="fewer rows and shorter rounds: two minutes")
    bench.add_argument("--only", default="", metavar="TEXT", help="rows whose name contains this")
    bench.add_argument("--rivals", metavar="NAMES", help="among torch,jax,keras,sklearn (default: those installed)")
    bench.add_argument(
        "--targets",
        default="first",
        metavar="WHEN",
        help="rows on a device that have a target: first, last, or only those, beside what the targets name",
    )
    bench.add_argument("--rounds", type=int, metavar="N", help="turns of each side (default: 7, quick 3)")
    bench.add_argument("--threads", type=int, nargs="+", metavar="N", help="default: 1 2")
    bench.add_argument("--data", metavar="DIR", help="folder with MNIST's IDX files (default: FUSEDNET_DATA's mnist)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="the record of the run")
    bench.add_argument("--plots", type=Path, metavar="DIR", help="pictures; needs matplotlib")
    bench.set_defaults(run=_bench)

    info = commands.add_parser("info", help="show version, instruction sets, threads and devices")
    info.set_defaults(run=_info)

    check = commands.add_parser("check", help="hold a model's gradients against numerical ones")
    source = check.add_mutually_exclusive_group()
    source.add_argument("model", nargs="?", type=Path, metavar="MODEL_FILE", help="a compiled and saved model")
    source.add_argument("--recipe", choices=list(recipes.RECIPES), help="default: batchnorm")
    check.add_argument("--elements", type=int, default=200, metavar="N", help="compared in each array (default: 200)")
    check.add_argument("--seed", type=int, default=42, metavar="N", help="default: 42")
    check.set_defaults(run=_check)
    return parser


def _catalogue(options: argparse.Namespace) -> int:
    if options.markdown:
        print(_catalogue_report.markdown(), end="")
        return 0
    report = _catalogue_report.report(options.kind)
    print(report.json() if options.json else report)
    return 0 if report else 1


def _bench(options: argparse.Namespace) -> int:
    from fusednet.benchmarks import run  # here, since no other command needs it

    run.run(
        options.groups,
        rounds=options.rounds,
        threads=options.threads,
        quick=options.quick,
        only=options.only,
        rivals=options.rivals,
        targeted=options.targets,
        data=options.data,
        json_file=options.json,
        plots=options.plots,
    )
    return 0


def _info(options: argparse.Namespace) -> int:
    print(fusednet.show_config())
    return 0


def _train(options: argparse.Namespace) -> int:
    fusednet.show_config()  # a bad FUSEDNET_ISA is told before anything is done
    recipe = recipes.get(options.recipe)
    (x, y), held, test, source = _data(options.data)
    epochs = options.epochs or (recipe.digits_epochs if options.data is None else recipe.epochs)
    batch = options.batch_size or recipe.batch_size
    for name in ("epochs", "batch_size"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} expects at least 1, got {getattr(options, name)}")
    model = recipe.build(x.shape[1:], seed=options.seed, learning_rate=options.learning_rate)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.quiet:
        print(f"{recipe.name}: {recipe.summary}")
        print(f"{source}: {len(x)} images to train on, {len(held[0])} to validate, {len(test[0])} to test")
        model.summary()
    _plot.prepare()
    start = time.perf_counter()
    verbose: str | int = 0 if options.quiet else "auto"
    history = model.fit(x, y, batch_size=batch, epochs=epochs, validation_data=held, verbose=verbose)
    seconds = time.perf_counter() - start
    values = model.evaluate(*test, batch_size=batch, verbose=0, return_dict=True)
    model_path = options.out / "model.safetensors"
    model.save(model_path)
    metrics_path = options.out / "metrics.json"
    metrics = _metrics(recipe, model, options, source, batch, history.history, values, seconds)
    _saving.write_atomically(metrics_path.absolute(), (json.dumps(metrics, indent=2) + "\n").encode())
    picture = options.out / "learning_curve.png"
    if _plot.available():
        _plot.learning_curve(history.history, picture, f"{recipe.name} on {source}")
        shown = str(picture)
    else:
        shown = "not drawn: it needs matplotlib, pip install 'fusednet[plot]'"
    print(f"trained {epochs} epochs in {seconds:.2f} s")
    print(f"validation accuracy  {history.history['val_accuracy'][-1]:.4f}")
    print(f"test accuracy        {values['accuracy']:.4f}")
    print(f"model                {model_path}")
    print(f"metrics              {metrics_path}")
    print(f"learning curve       {shown}")
    return 0


def _data(folder: Path | None) -> tuple[tuple[Array, Array], tuple[Array, Array], tuple[Array, Array], str]:
    """Training, validation and test parts with pixels in 0 .. 1, and the name of the data."""
    if folder is None:
        (x, y), (x_test, y_test) = fusednet.datasets.load_digits()
        count, top, source = _DIGITS_VALIDATION, 16.0, "UCI digits"
    else:
        (x, y), (x_test, y_test) = fusednet.datasets.load_idx(folder)
        count, top, source = _MNIST_VALIDATION, 255.0, str(folder)
        if len(x) <= count:
            raise ValueError(
                f"--data expects more than {count} training images, the first of which validate, got {len(x)}"
            )
    x, x_test = (np.divide(part, top, dtype=np.float32) for part in (x, x_test))
    return (x[count:], y[count:]), (x[:count], y[:count]), (x_test, y_test), source


def _metrics(
    recipe: Recipe,
    model: Sequential,
    options: argparse.Namespace,
    source: str,
    batch: int,
    history: dict[str, list[float]],
    test: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    config = fusednet.show_config()
    return {
        "recipe": recipe.name,
        "data": source,
        "seed": options.seed,
        "batch_size": batch,
        "learning_rate": model.optimizer.learning_rate if model.optimizer is not None else None,
        "epochs": model.epochs_trained,
        "steps": model.step,
        "seconds": seconds,
        "history": history,
        "test": test,
        "fusednet": config.version,
        "kernels": config.isa["used"],
        "threads": config.threads,
        "machine": config.machine,
    }


def _check(options: argparse.Namespace) -> int:
    if options.model is not None:
        model = fusednet.load_model(options.model)
    else:
        model = recipes.get(options.recipe or "batchnorm").build((28, 28), seed=options.seed)
    x, y = _random_batch(model, options.seed)
    report = fusednet.check_gradients(model, x, y, inputs=True, max_elements=options.elements, seed=options.seed)
    print(report)
    return 0 if report else 1


def _random_batch(model: Sequential, seed: int) -> tuple[Array, Array]:
    """Inputs in 0 .. 1 and targets that suit the model's loss."""
    generator = np.random.default_rng(seed)
    x = generator.random((_CHECK_ROWS, *(size or 1 for size in model.input_shape[1:])))
    return x, _figures.targets(model, generator, _CHECK_ROWS)
