"""The two recipes of `fusednet train` on MNIST as a PyTorch script would have them; imports nothing of fusednet.

python job_torch.py DIR RECIPE: five epochs on slices of shuffled tensors, validation after each, then the test set.
"""

from __future__ import annotations

import gzip
import itertools
import sys
from pathlib import Path

import numpy as np


def idx(folder: Path, name: str) -> np.ndarray:
    path = folder / name
    raw = gzip.decompress((folder / f"{name}.gz").read_bytes()) if not path.exists() else path.read_bytes()
    sizes = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sizes)


def main() -> None:
    import torch
    from torch import nn

    folder, recipe = Path(sys.argv[1]), sys.argv[2]

    def part(prefix: str) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = idx(folder, f"{prefix}-images-idx3-ubyte"), idx(folder, f"{prefix}-labels-idx1-ubyte")
        return torch.from_numpy(x.reshape(len(x), -1) / np.float32(255)), torch.from_numpy(y.astype(np.int64))

    (x, y), (x_test, y_test) = part("train"), part("t10k")
    x_held, y_held, x, y = x[:5000], y[:5000], x[5000:], y[5000:]
    torch.manual_seed(42)
    normed, widths = recipe == "batchnorm", (784, 300, 100, 10)
    layers: list[nn.Module] = []
    for k, c in itertools.pairwise(widths):
        dense = nn.Linear(k, c, bias=not normed)
        nn.init.xavier_uniform_(dense.weight)
        if not normed:
            nn.init.zeros_(dense.bias)
        layers.append(dense)
        if normed:
            layers.append(nn.BatchNorm1d(c, eps=1e-3, momentum=0.1))
        if c != widths[-1]:
            layers.append(nn.ELU() if normed else nn.ReLU())
    model = nn.Sequential(*layers)
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.01, fused=True)
    cost = nn.CrossEntropyLoss(reduction="sum" if normed else "mean")

    def accuracy(x: torch.Tensor, y: torch.Tensor) -> float:
        model.eval()
        with torch.inference_mode():
            right = sum(int((model(x[i : i + 500]).argmax(1) == y[i : i + 500]).sum()) for i in range(0, len(x), 500))
        model.train()
        return right / len(x)

    for epoch in range(5):
        order = torch.randperm(len(x))
        for i in range(0, len(x), 50):
            rows = order[i : i + 50]
            optimizer.zero_grad(set_to_none=True)
            cost(model(x[rows]), y[rows]).backward()
            if not normed:
                nn.utils.clip_grad_value_(parameters, 1.0)
            optimizer.step()
        print(f"epoch {epoch + 1}: validation accuracy {accuracy(x_held, y_held):.4f}", flush=True)
    print(f"test accuracy {accuracy(x_test, y_test):.4f}")


if __name__ == "__main__":
    main()
