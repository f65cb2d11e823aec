"""The paper's equations (arXiv:1312.6026) in NumPy: what every cell and layer is held against.

Row vectors, one sequence of `x` (T, D) at a time, weights as the lists that `get_weights()` gives.
"""

import numpy as np

PHI = {
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "relu": lambda z: np.maximum(z, 0),
    "linear": lambda z: z,
}


def take(weights, *names):
    """Takes the next arrays off `weights`, one for each name that is not None."""
    return [weights.pop(0) if name else None for name in names]


def read_plus(
    weights, inputs=0, layers=1, shortcut=False, input_to="first", use_bias=True
):
    """The weights of ⊕ in their documented order, taken off the front of the list."""
    mlp = [take(weights, "U", "b" if use_bias else None) for _ in range(inputs)]
    transition = [
        take(
            weights,
            "U" if number == 1 or input_to == "all" else None,
            "W",
            "S" if number > 1 and shortcut else None,
            "b" if use_bias else None,
        )
        for number in range(1, layers + 1)
    ]
    return mlp, transition


def plus(x, h, mlp, transition, phi, input_phi=None):
    """x ⊕ h: section 3.3.1, with the shortcuts of figure 2 b*."""
    for U, b in mlp:
        x = (input_phi or phi)(x @ U + (0 if b is None else b))
    a = h
    for U, W, S, b in transition:
        z = a @ W
        if U is not None:
            z = z + x @ U
        if S is not None:
            z = z + h @ S
        if b is not None:
            z = z + b
        a = phi(z)
    return a


def read_predict(weights, layers, use_bias=True):
    """The weights of ▷, taken off the front of the list."""
    return [take(weights, "V", "b" if use_bias else None) for _ in range(layers)]


def predict(h, layers, phi):
    """▷ h: section 3.3.2."""
    for V, b in layers:
        h = phi(h @ V + (0 if b is None else b))
    return h


def over_time(step, x, h, mask=None, output=lambda h: h, zero_output_for_mask=False):
    """Runs `step(x(t), h)` over one sequence; a masked step keeps h and repeats the output.

    Returns the outputs (T, ...), and h at every step (T, H).
    """
    outputs, states = [], []
    last = np.zeros_like(output(h))
    for t in range(len(x)):
        if mask is None or mask[t]:
            h = step(x[t], h)
            last = shown = output(h)
        else:
            shown = np.zeros_like(last) if zero_output_for_mask else last
        outputs.append(shown)
        states.append(h)
    return np.stack(outputs), np.stack(states)
