"""Where Keras or PyTorch means something else by a name that we share, and what the comparisons do about it."""

from __future__ import annotations

# By key: the peer, what differs, what the test does. docs/agreement.md has this table.
CONVENTIONS: dict[str, tuple[str, str, str]] = {
    "adapt": ("Keras", "`Normalization.adapt` takes its statistics in float32.", "Tolerance 3e-7."),
    "accuracy": (
        "Keras",
        "The class `Accuracy` asks for equal values.",
        'Keras gets the class that `"accuracy"` stands for in `compile`.',
    ),
    "hinge": (
        "Keras",
        "0 becomes -1 where a whole batch is of 0 and 1; here every 0 does.",
        "Targets are of one kind, 0 and 1 or -1 and 1.",
    ),
    "saturated": (
        "Keras",
        "Probabilities are clipped to 1e-7 behind a softmax or sigmoid layer too, where ours are those of the logits.",
        "Keras gets the logits.",
    ),
    "smoothing": ("Keras", "No label smoothing for integer labels.", "Keras gets one-hot rows."),
    "updates": (
        "Keras",
        "Under gradient accumulation schedules count batches; ours count updates.",
        "Keras gets a schedule of the number of updates.",
    ),
    "average": (
        "Keras",
        "Under gradient accumulation the average of the weights moves with each batch; ours with each update.",
        "Keras gets the batches of an update joined.",
    ),
    "statistics": (
        "PyTorch",
        "BatchNormalization's momentum is 1 minus ours; its moving variance is unbiased, divided by n - 1.",
        "1 - momentum; the moving variance is multiplied by (n - 1) / n where batches have entered it.",
    ),
    "softplus": ("PyTorch", "Softplus is x itself above a threshold of 20.", "threshold = 100."),
    "features": (
        "PyTorch",
        'The reduction "sum" is over samples and features; ours is over samples of the mean over features.',
        "PyTorch's sum is divided by the number of outputs.",
    ),
    "class weights": (
        "PyTorch",
        "The mean over weighted classes divides by the sum of weights; ours by the number of rows, as Keras's.",
        "PyTorch's sum is divided by the number of rows.",
    ),
    "velocity": (
        "PyTorch",
        "The learning rate multiplies the velocity; in ours it is inside, v = momentum * v - rate * g.",
        "The same while the rate is constant; else the velocity is multiplied by old / new rate.",
    ),
    "epsilon, RMSprop": ("PyTorch", "Epsilon is outside of the root, ours inside.", "epsilon = 0."),
    "epsilon, Adagrad": ("PyTorch", "Epsilon is outside of the root, ours inside.", "epsilon = 0."),
    "epsilon, Adam": (
        "PyTorch",
        'Epsilon is added to the corrected root, ours to the root as it is ("epsilon hat" of the paper).',
        "epsilon = 0.",
    ),
    "epsilon, Adamax": ("PyTorch", "Epsilon is added to the gradient's magnitude, ours to the norm.", "epsilon = 0."),
    "Nadam": (
        "PyTorch",
        "The momentum's discount changes with 0.96**(t / 250), as in the paper, ours with 0.96**t, as in Keras.",
        "momentum_decay = 1.",
    ),
    "clipping": (
        "PyTorch",
        "A norm is scaled by limit / (norm + 1e-6), ours by limit / norm.",
        "PyTorch's limit is multiplied by (norm + 1e-6) / norm.",
    ),
    "weight decay": (
        "PyTorch",
        "`weight_decay` is a penalty of weight_decay / 2 * sum(w**2) unless decoupled; ours is always decoupled.",
        "Ours gets regularizers.L2(weight_decay / 2).",
    ),
    "milestones": (
        "PyTorch",
        "A milestone is the first step of the new rate; Keras's and our boundary the last of the old.",
        "Milestones are boundaries + 1.",
    ),
}
