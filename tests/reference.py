"""The papers' equations in NumPy, the reference of every cell and layer.

The networks of arXiv:1312.6026, recurrent highway networks (arXiv:1607.03474), deep transitions of
GRU (arXiv:1707.07631) and LSTM steps, layer normalization (arXiv:1607.06450) and zoneout
(arXiv:1606.01305).

Row vectors, one sequence of `x` (T, D) at a time, weights as the lists that `get_weights()` gives.
Recurrent dropout is a mask `of_h` of the source of each recurrent kernel.
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


def read_plus(weights, inputs=0, layers=1, shortcut=False, input_to="first", use_bias=True):
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


def unchanged(i, z):
    """The pre-activation of map i without normalization."""
    return z


def plus(x, h, mlp, transition, phis, input_phi, of_h=1, norm=unchanged):
    """x ⊕ h: section 3.3.1, with the shortcuts of figure 2 b*; a phi for each transition layer."""
    for U, b in mlp:
        x = input_phi(x @ U + (0 if b is None else b))
    a = h = h * of_h
    for i, (U, W, S, b) in enumerate(transition):
        z = a @ W
        if U is not None:
            z = z + x @ U
        if S is not None:
            z = z + h @ S
        if b is not None:
            z = z + b
        a = phis[i](norm(i, z))
    return a


def read_highway(weights, depth, input_to="first", use_bias=True):
    """The weights W, R, b of each layer of a recurrent highway network, its gates' side by side."""
    return [
        take(weights, "W" if k == 0 or input_to == "all" else None, "R", "b" if use_bias else None)
        for k in range(depth)
    ]


def highway(x, s, layers, gates, phi, sigma, of_h=1, norm=unchanged):
    """arXiv:1607.03474, equations 6 to 9; with two gates, coupled, c = 1 - t."""
    for k, (W, R, b) in enumerate(layers):
        z = (s * of_h) @ R + (0 if W is None else x @ W) + (0 if b is None else b)
        h, t, *c = np.split(norm(k, z), gates, axis=-1)
        h, t = phi(h), sigma(t)
        s = h * t + s * (sigma(c[0]) if c else 1 - t)
    return s


def read_gru(weights, depth, reset_after=True, use_bias=True):
    """The weights of each step: of W x, of R h; or of the gates z, r and of the candidate."""
    b = "b" if use_bias else None
    steps = []
    for k in range(depth):
        W = None if k else "W"
        if reset_after:
            of_x = [None, None] if k else take(weights, W, b)
            steps.append([*of_x, *take(weights, "R", b)])
        else:
            steps.append([take(weights, W, "R", b), take(weights, W, "R", b)])
    return steps


def gru(x, h, steps, reset_after, phi, sigma, of_h=1, norm=unchanged):
    """arXiv:1707.07631, equation 8: a GRU step with x, and further ones without.

    The gated unit is that of arXiv:1406.1078, equations 5 to 8; with `reset_after` that of cuDNN.
    """
    i = 0
    for k, step in enumerate(steps):
        dropped = h * of_h
        if reset_after:
            W, b, R, c = step
            parts = [0, 0, 0]
            if k == 0:
                parts = np.split(norm(0, x @ W + (0 if b is None else b)), 3, axis=-1)
                i = 1
            of_z, of_r, of_n = np.split(norm(i, dropped @ R + (0 if c is None else c)), 3, axis=-1)
            z, r = sigma(parts[0] + of_z), sigma(parts[1] + of_r)
            n = phi(parts[2] + r * of_n)
            i += 1
        else:
            (W, R, b), (V, S, c) = step
            gates = dropped @ R + (0 if W is None else x @ W) + (0 if b is None else b)
            z, r = np.split(sigma(norm(i, gates)), 2, axis=-1)
            n = (r * dropped) @ S + (0 if V is None else x @ V) + (0 if c is None else c)
            n = phi(norm(i + 1, n))
            i += 2
        h = z * h + (1 - z) * n
    return h


def read_lstm(weights, depth, use_bias=True):
    """The weights W, R, b of each step, those of the gates i, f, g, o side by side."""
    return [take(weights, None if k else "W", "R", "b" if use_bias else None) for k in range(depth)]


def lstm(x, states, steps, phi, sigma, of_h=1, norm=unchanged):
    """arXiv:1707.07631, equation 8, with the steps of an LSTM with forget gates."""
    h, c = states
    for k, (W, R, b) in enumerate(steps):
        z = (h * of_h) @ R + (0 if W is None else x @ W) + (0 if b is None else b)
        i, f, g, o = np.split(norm(k, z), 4, axis=-1)
        c = sigma(f) * c + sigma(i) * phi(g)
        h = sigma(o) * phi(c)
    return [h, c]


def layer_norm(z, gamma, beta, epsilon=1e-5):
    """arXiv:1607.06450, equations 3 and 4."""
    deviation = np.sqrt(z.var(axis=-1, keepdims=True) + epsilon)
    return gamma * (z - z.mean(axis=-1, keepdims=True)) / deviation + beta


def zoneout(old, new, rate):
    """A state after a step in inference: its mean in training (arXiv:1606.01305, section 3.2)."""
    return rate * old + (1 - rate) * new


def read_predict(weights, layers, use_bias=True):
    """The weights of ▷, taken off the front of the list."""
    return [take(weights, "V", "b" if use_bias else None) for _ in range(layers)]


def predict(h, layers, phi):
    """▷ h: section 3.3.2."""
    for V, b in layers:
        h = phi(h @ V + (0 if b is None else b))
    return h


def run_sequence(step, x, states, mask=None, output=lambda h: h, zero_output_for_mask=False):
    """Runs `step(x(t), states)` over one sequence; a masked step keeps the states and the output.

    Returns the outputs (T, ...), of the first state, and each state at every step, (T, H).
    """
    outputs, histories = [], []
    last = np.zeros_like(output(states[0]))
    for t in range(len(x)):
        if mask is None or mask[t]:
            states = step(x[t], states)
            last = shown = output(states[0])
        else:
            shown = np.zeros_like(last) if zero_output_for_mask else last
        outputs.append(shown)
        histories.append(states)
    return np.stack(outputs), [np.stack(history) for history in zip(*histories)]
