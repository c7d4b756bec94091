"""The ideas of the lecture, in its order, and the lessons that show them. This file does not import torch."""

from __future__ import annotations

LECTURE: dict[str, dict[str, tuple[str, ...]]] = {  # part of the lecture -> idea -> lessons
    "What machine learning is": {
        "Machine learning is looking for a function": ("functions",),
        "A number is looked for: regression": ("three_steps", "regression_table"),
        "A choice among classes is looked for: classification": ("classification",),
        "Something with parts is looked for: structured learning": ("structured",),
    },
    "Three steps": {
        "A function with unknowns, its loss, its optimisation": ("three_steps",),
        "Gradient descent; the step size is chosen by hand": ("learning_rate",),
        "Descent ends after a number of epochs, below a loss, or where the gradient vanishes": ("stopping",),
        "Local minima: are they the real problem?": ("local_minima", "saddle", "biggest_problem"),
    },
    "Better functions": {
        "Look back further: the price of 7, 28 and 56 days": ("windows",),
        "A line is too simple: any curve is a constant and a sum of pieces": ("piecewise",),
        "A sigmoid is a soft piece: what c, b and w change": ("sigmoid_shapes",),
        "A hard sigmoid is two relus": ("hard_sigmoid",),
        "Batch, update, epoch": ("batch_size",),
        "More units": ("widths",),
        "More layers: deep learning": ("depths",),
        "Why deep and not wide?": ("deep_or_wide", "why_deep"),
        "Better on known data, worse on new data: overfitting": ("widths", "depths", "extrapolation"),
    },
    "How the gradient is computed": {
        "Forward, backward, update: backpropagation": ("backprop",),
    },
    "Kinds of learning": {
        "Self-supervised learning: most data have no labels": ("self_supervised",),
        "Reinforcement learning: nobody knows the right answer, but there is a reward": ("reinforcement",),
    },
    "Questions about a trained model": {
        "Anomaly detection: can it say that it does not know?": ("anomaly",),
        "Explainable models: why this answer?": ("explain",),
        "Attacks on models: can it be fooled?": ("attack",),
        "Domain adaptation: the test data are of another kind": ("domain",),
        "Network compression: the same with less": ("compress",),
        "Life-long learning: one task after the other": ("lifelong",),
        "Meta learning: learning to learn": ("meta",),
    },
}
