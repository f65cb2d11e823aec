"""The transition of ⊕ over time, with a gradient of its own: the mathematics of the fast loop.

Forward, the loop holds only what depends on h(t-1); row vectors, hm = h(t-1) with dropped units:

    z_1 = hm W_1 + p_1(t),    z_l = a_{l-1} W_l + hm S_l + p_l(t),    a_l = phi(z_l),    h(t) = a_L

where p_l(t) is the projection of the input x(t) U_l + b_l, or the bias alone. Backward, the loop
holds only what dh(t-1) needs, and keeps delta_l(t) = dz_l:

    delta_l = da_l * phi'(z_l),    da_{l-1} = delta_l W_l^T
    dhm = delta_1 W_1^T + sum of delta_l S_l^T

Every gradient of a weight is then one product over all steps: dW_l = a_{l-1}^T delta_l,
dS_l = hm^T delta_l. phi may pool several numbers of z_l for each of a_l, and learn: see `pooling`.

Inside the loops time is the first axis.
"""

import dataclasses
import functools

from keras import ops

from . import backend


@dataclasses.dataclass(frozen=True)
class Transition:
    """What decides the loop: of each layer its width and the arrows into it, phi, and options.

    Attributes:
        widths: Units of each layer, the numbers of a_l; the last is H.
        fed: Of each layer, whether the projection of the input holds its share (and its bias).
        shortcut: Of each layer, whether h(t-1) reaches it past the one before.
        bias: Of each layer, whether a bias is added in the loop.
        phi: What `derivatives.of` gives of the activation.
        masked: Whether there is a mask.
        dropped: Whether there is a dropout mask on h(t-1).
        compiled: Whether XLA compiles the loops.
        parts: Into how many parts the batch is split, at most, and the least rows of a part.
        remat: Steps of a chunk of time whose a_l are computed again on the way back; None keeps
            those of all steps.
    """

    widths: tuple
    fed: tuple
    shortcut: tuple
    bias: tuple
    phi: object
    masked: bool = False
    dropped: bool = False
    compiled: bool = False
    parts: tuple = (1, 1)
    remat: int | None = None

    def reached(self):
        """Indices of the layers that h(t-1) reaches: the first, and those with a shortcut."""
        return [0, *(i for i, shortcut in enumerate(self.shortcut) if shortcut)]

    def groups(self):
        """The layers that h(t-1) reaches, in groups of those whose products with it are one.

        One large product is best where the parts of the batch keep all cores busy; otherwise XLA
        runs small ones side by side.
        """
        return [self.reached()] if self.parts[0] > 1 else [[i] for i in self.reached()]

    def fed_layers(self):
        """Indices of the layers that the projection of the input reaches."""
        return [i for i, fed in enumerate(self.fed) if fed]

    def z_widths(self):
        """Pre-activations of each layer, the numbers of z_l."""
        return [width * self.phi.pieces for width in self.widths]

    def cut(self, values, layers):
        """Cuts what stands side by side into one part for each of the layers, by index."""
        parts, start, widths = {}, 0, self.z_widths()
        for i in layers:
            parts[i] = values[..., start : start + widths[i]]
            start += widths[i]
        return parts

    def named(self, batched):
        """(projection, h, mask, dropout mask) of `run`; None for what is not there."""
        projection, h, *constants = batched
        mask = constants.pop(0) if self.masked else None
        return projection, h, mask, constants.pop(0) if self.dropped else None

    def sorted(self, flat):
        """The matrices of `groups` and W_2 ... W_L; the biases; what phi of each layer learns."""
        flat, W, S, biases, learned = list(flat), [], {}, [], []
        for i, (shortcut, bias) in enumerate(zip(self.shortcut, self.bias)):
            W.append(flat.pop(0))
            S |= {i: flat.pop(0)} if shortcut else {}
            biases += [flat.pop(0)] if bias else []
            learned.append([flat.pop(0) for _ in range(self.phi.learns)])
        S[0] = W[0]
        from_state = [_side_by_side([S[i] for i in group]) for group in self.groups()]
        return [*from_state, *W[1:]], biases, learned

    def step(self, weights, hm, projection):
        """z_1 ... z_L and a_1 ... a_L of one step, or of many that stand one after the other."""
        matrices, biases, learned = weights
        groups, arriving = self.groups(), {}
        for group, matrix in zip(groups, matrices):
            arriving |= self.cut(hm @ matrix, group)
        W = matrices[len(groups) :]
        projected = self.cut(projection, self.fed_layers())
        biases, z, a = list(biases), [], []
        for i, bias in enumerate(self.bias):
            terms = [a[-1] @ W[i - 1]] if i else []
            terms += [part[i] for part in (arriving, projected) if i in part]
            terms += [biases.pop(0)] if bias else []
            z.append(sum(terms[1:], terms[0]))
            a.append(self.phi(z[-1], *learned[i]))
        return z, a

    def step_back(self, transposed, learned, slopes, dh):
        """delta_1 ... delta_L and dhm of one step, from dh(t) and what phi' follows from."""
        groups = self.groups()
        W, deltas, da = transposed[len(groups) :], [], dh
        for i in reversed(range(len(self.widths))):
            deltas.insert(0, self.phi.back(da, slopes[i], *learned[i]))
            if i:
                da = deltas[0] @ W[i - 1]
        back = [
            _side_by_side([deltas[i] for i in group]) @ matrix
            for group, matrix in zip(groups, transposed)
        ]
        return deltas, sum(back[1:], back[0])

    def kept(self, z, a):
        """What is kept of a step for the way back, beside h(t) = a_L."""
        return list(z if self.phi.from_z else a[:-1])

    def slopes(self, h, kept):
        """What phi' of each layer follows from: z_1 ... z_L or a_1 ... a_L."""
        return list(kept) if self.phi.from_z else [*kept, h]

    def d_projection(self, deltas):
        """The gradient of the projection of the input: delta_l of the layers that it reaches."""
        return _side_by_side([deltas[i] for i in self.fed_layers()])

    def no_gradients(self, learned, dtype):
        """Zeros for the gradients of the weights, in the order of ⊕."""
        found, H = [], self.widths[-1]
        for i, width in enumerate(self.z_widths()):
            shapes = [(self.widths[i - 1] if i else H, width)]
            shapes += [(H, width)] if self.shortcut[i] else []
            shapes += [(width,)] if self.bias[i] else []
            found += [ops.zeros(shape, dtype) for shape in shapes]
            found += [ops.zeros_like(weight) for weight in learned[i]]
        return found

    def d_learned(self, slopes, deltas, learned):
        """The gradients of what phi of each layer learns, from all steps."""
        return [
            self.phi.d_weights(slope, delta, *weights)
            for slope, delta, weights in zip(slopes, deltas, learned)
        ]

    def d_weights(self, before, a, deltas, d_learned):
        """The gradients of the weights, in the order of ⊕; `before` is hm of every step."""

        def rows(x):
            return ops.reshape(x, (-1, x.shape[-1]))

        gradients = []
        for i, delta in enumerate(deltas):
            sources = [a[i - 1] if i else before]
            sources += [before] if self.shortcut[i] else []
            gradients += [ops.matmul(ops.transpose(rows(x)), rows(delta)) for x in sources]
            gradients += [ops.sum(rows(delta), axis=0)] if self.bias[i] else []
            gradients += d_learned[i]
        return gradients


def run(transition, projection, h, mask, dropout_mask, weights):
    """h at every step.

    Args:
        transition: `Transition`.
        projection: p, shape (B, T, sum of the numbers of z_l of the layers that the input feeds).
        h: h before the first step, (B, H).
        mask: Boolean (B, T), or None.
        dropout_mask: Factors of h(t-1), (B, H), or None.
        weights: Flat list: of each layer W, S, b, as far as it has them, and what phi learns.

    Returns:
        Shape (B, T, H).
    """
    constants = [] if mask is None else [ops.cast(ops.expand_dims(mask, -1), h.dtype)]
    constants += [] if dropout_mask is None else [dropout_mask]
    return _function(transition)(projection, h, *constants, *weights)


@functools.cache
def _function(transition):
    """The function of (projection, h, constants, weights) to h over time, with its gradient."""
    compiled = backend().compiled if transition.compiled else lambda function: function
    forward = compiled(functools.partial(_forward, transition))
    keeping_nothing = dataclasses.replace(transition, remat=1)
    forward_alone = compiled(functools.partial(_forward, keeping_nothing))
    loop_back = compiled(functools.partial(_loop_back, transition))
    hidden = functools.partial(_hidden, transition)
    hidden = compiled(hidden) if transition.phi.from_z else hidden
    chunks_back = compiled(functools.partial(_chunks_back, transition))
    batched = 2 + transition.masked + transition.dropped

    def in_parts(program, arguments):
        weights = transition.sorted(arguments[batched:])
        parts = backend().split(arguments[:batched], *transition.parts)
        results = [program(part, weights) for part in parts]
        return joined([hs for hs, _ in results]), [kept for _, kept in results]

    def result(*arguments):
        return in_parts(forward_alone, arguments)[0]

    def keep(*arguments):
        return in_parts(forward, arguments)

    def gradients(gradient, kept, arguments):
        weights = transition.sorted(arguments[batched:])
        matrices, _, learned = weights
        # Laid out before the loops: a product with a matrix that stands transposed in memory takes
        # up to twice as long.
        transposed = [ops.transpose(matrix) for matrix in matrices]
        found = []
        parts = backend().split([gradient, *arguments[:batched]], *transition.parts)
        for (gradient, *part), kept_of_part in zip(parts, kept):
            if transition.remat:
                found.append(chunks_back(gradient, part, kept_of_part, weights, transposed))
            else:
                # The products over all steps stay out of what XLA compiles: the backend's own are
                # faster.
                d_projection, d_h, deltas, d_learned = loop_back(
                    gradient, part, kept_of_part, transposed, learned
                )
                hs, *kept_of_part = kept_of_part
                a = [*hidden(kept_of_part, learned), hs]
                d_weights = _products(transition, part, a, deltas, d_learned)
                found.append((d_projection, d_h, d_weights))
        d_projection, d_h = (joined([part[i] for part in found]) for i in (0, 1))
        constants = [ops.zeros_like(constant) for constant in arguments[2:batched]]
        d_weights = [sum(rest, first) for first, *rest in zip(*(part[2] for part in found))]
        return [d_projection, d_h, *constants, *d_weights]

    return backend().with_gradient(result, keep, gradients)


def _forward(transition, batched, weights):
    """h at every step, (B, T, H), and what the way back needs, time first: h, then `kept`."""
    projection, h, mask, dropout_mask = transition.named(batched)

    def step(carry, inputs):
        (h,) = carry
        z, a = transition.step(weights, _dropped(h, dropout_mask), inputs[0])
        new_h = a[-1] if mask is None else ops.where(inputs[1] > 0, a[-1], h)
        kept = [] if transition.remat else transition.kept(z, a)
        return [new_h], [new_h, *kept]

    inputs = [time_first(x) for x in (projection, mask) if x is not None]
    widths = [transition.widths[-1]]
    widths += [] if transition.remat else transition.kept(transition.z_widths(), transition.widths)
    _, (hs, *kept) = backend().scan(step, [h], inputs, [(h.shape[0], width) for width in widths])
    hs_out = time_first(hs)
    return hs_out, [hs_out] if transition.remat else [hs, *kept]


def _loop_back(transition, gradient, batched, kept, transposed, learned):
    """The gradients of the projection, (B, T, n), of the first h, what phi learns; delta_l."""
    _, h, mask, dropout_mask = transition.named(batched)
    hs, *kept = kept
    slopes = transition.slopes(hs, kept)
    d_h, deltas = _deltas(
        transition, transposed, learned, dropout_mask, ops.zeros_like(h), time_first(gradient),
        slopes, time_first(mask),
    )  # fmt: skip
    d_learned = transition.d_learned(slopes, deltas, learned)
    return time_first(transition.d_projection(deltas)), d_h, deltas, d_learned


def _deltas(transition, transposed, learned, dropout_mask, d_h, gradient, slopes, mask):
    """The loop back in time from d_h after the last step: d_h before the first, and delta_l."""

    def step_back(carry, inputs):
        dh = carry[0] + inputs[0]
        passed = None if mask is None else ops.where(inputs[1] > 0, ops.zeros_like(dh), dh)
        dh = dh if mask is None else ops.where(inputs[1] > 0, dh, ops.zeros_like(dh))
        deltas, dhm = transition.step_back(transposed, learned, inputs[-len(slopes) :], dh)
        dhm = _dropped(dhm, dropout_mask)
        return [dhm if mask is None else dhm + passed], deltas

    inputs = [gradient, *([] if mask is None else [mask]), *slopes]
    shapes = [(d_h.shape[0], width) for width in transition.z_widths()]
    (d_h,), deltas = backend().scan(step_back, [d_h], inputs, shapes, reverse=True)
    return d_h, deltas


def _hidden(transition, kept, learned):
    """a_1 ... a_{L-1} of every step, from what was kept."""
    if not transition.phi.from_z:
        return kept
    return [transition.phi(z, *weights) for z, weights in zip(kept[:-1], learned)]


def _products(transition, batched, a, deltas, d_learned):
    """The gradients of the weights, from all steps at once."""
    _, h, _, dropout_mask = transition.named(batched)
    hs = a[-1]
    before = _dropped(ops.concatenate([ops.expand_dims(h, 0), hs[:-1]], axis=0), dropout_mask)
    return transition.d_weights(before, a, deltas, d_learned)


def _chunks_back(transition, gradient, batched, kept, weights, transposed):
    """As `_loop_back` and `_products`, with z_l and a_l made again, chunk by chunk of time.

    As every h(t-1) is kept, those of a chunk are products over all its steps. Where the chunks do
    not fill the time, the first reaches into the second, whose steps it masks.
    """
    projection, h, mask, dropout_mask = transition.named(batched)
    (hs,) = kept
    learned = weights[-1]
    rows, length = ops.shape(h)[0], ops.shape(gradient)[1]
    known = isinstance(length, int)
    steps = min(transition.remat, length) if known else ops.minimum(transition.remat, length)
    steps_of_first = (length - 1) % steps + 1
    filled = known and steps_of_first == steps

    def cut(x, start, size):
        """`size` steps of x from `start`, time first."""
        return time_first(ops.slice(x, (0, start, 0), (rows, size, x.shape[-1])))

    def chunk_back(carry, inputs):
        d_h, *sums = carry
        (end,) = inputs
        start = ops.maximum(end - steps, 0)
        here = functools.partial(cut, start=start, size=steps)
        before_start = ops.where(start > 0, cut(hs, ops.maximum(start - 1, 0), 1), h)
        hm = ops.concatenate([before_start, cut(hs, start, steps - 1)], axis=0)
        hm = _dropped(hm, dropout_mask)
        z, a = transition.step(weights, hm, here(projection))
        slopes = transition.slopes(a[-1], transition.kept(z, a))
        dh, unmasked = here(gradient), None if mask is None else here(mask)
        if not filled:
            own = ops.reshape(start + ops.arange(steps) < end, (-1, 1, 1))
            dh = ops.where(own, dh, ops.zeros_like(dh))
            own = ops.cast(own, h.dtype)
            unmasked = own if mask is None else own * unmasked
        d_h, deltas = _deltas(
            transition, transposed, learned, dropout_mask, d_h, dh, slopes, unmasked
        )
        d_learned = transition.d_learned(slopes, deltas, learned)
        more = transition.d_weights(hm, a, deltas, d_learned)
        sums = [total + new for total, new in zip(sums, more)]
        return [d_h, *sums], [transition.d_projection(deltas)]

    ends = ops.arange(steps_of_first, length + 1, steps, dtype="int32")
    no_sums = transition.no_gradients(learned, h.dtype)
    shape = (steps if known else None, h.shape[0], projection.shape[-1])
    (d_h, *d_weights), (d_projection,) = backend().scan(
        chunk_back, [ops.zeros_like(h), *no_sums], [ends], [shape], reverse=True
    )
    d_projection = ops.reshape(d_projection, (-1, rows, projection.shape[-1]))
    if not filled:
        d_projection = ops.concatenate(
            [d_projection[:steps_of_first], d_projection[steps:]], axis=0
        )
    return time_first(d_projection), d_h, d_weights


def _side_by_side(values):
    return values[0] if len(values) == 1 else ops.concatenate(values, axis=-1)


def joined(parts):
    """The results of the parts of a batch as those of the whole."""
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=0)


def time_first(x):
    """(B, T, n) as (T, B, n), or back."""
    return None if x is None else ops.swapaxes(x, 0, 1)


def _dropped(h, dropout_mask):
    return h if dropout_mask is None else h * dropout_mask
