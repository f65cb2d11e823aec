"""The deep transition as one persistent GPU kernel, which keeps its weights on the chip.

A loop of small products pays for the launch of each and reads all weights in every step. Here the
program (i, j) keeps columns j of all weights, for the rows i of the batch. Programs exchange a_l(t)
through global memory that is initialized with the bits `UNSET`: a reader spins until none is left.
That costs one round trip where a barrier costs two or three. All programs must be resident at once,
see `persistent.layout`.

A product over K is P products over K / P, added at the end.
"""

import triton
import triton.language as tl

from .persistent import padded as _padded

INTERPRETED = triton.knobs.runtime.interpret
padded = triton.constexpr_function(_padded)


@triton.constexpr_function
def name_of(phi, layer):
    """The name of the activation of a layer."""
    return phi.split(",")[layer]


@triton.constexpr_function
def source_width(widths, layer):
    """The width of the source of W_l: h of the first layer, else a_(l-1)."""
    return widths[layer - 1]


@triton.constexpr_function
def kernel_offset(widths, shortcut, layer):
    """The offset of W_l in all W_l, S_l."""
    count = 0
    for i in range(layer):
        count += widths[i - 1] * widths[i]
        if shortcut and i > 0:
            count += widths[-1] * widths[i]
    return count


@triton.constexpr_function
def padded_sum(widths, layer):
    """The sum of the padded widths of the layers before a layer."""
    return sum(widths[i] + -widths[i] % 16 for i in range(layer))


@triton.constexpr_function
def sum_of(widths, count):
    """The sum of the widths of the first layers."""
    return sum(widths[:count])


@triton.jit
def wait_for(bits, offsets, mask):
    """The bits at some offsets, once none of them is `UNSET`."""
    found = tl.load(bits + offsets, mask=mask, other=0, volatile=True)
    while tl.max((found == -1).to(tl.int32)) > 0:
        found = tl.load(bits + offsets, mask=mask, other=0, volatile=True)
    return found


@triton.jit
def publish(bits, offsets, value, mask, dtype: tl.constexpr):
    """Stores numbers for `wait_for`; NaN gets other bits than `UNSET`."""
    nan: tl.constexpr = 0x7FFF if dtype == tl.bfloat16 else 0x7FFFFFFF
    found = value.to(dtype).to(bits.dtype.element_ty, bitcast=True)
    found = tl.where(value == value, found, nan).to(bits.dtype.element_ty)
    tl.store(bits + offsets, found, mask=mask)


@triton.jit
def tile(matrix, k, n, rows, columns, along, across):
    """A tile of a matrix, padded with zeros."""
    inside = (k < rows) & (n < columns)
    return tl.load(matrix + k * along + n * across, mask=inside, other=0.0)


@triton.jit
def coordinates(K: tl.constexpr, P: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Where a program computes, and what both loops start from.

    Returns:
        The rows of the batch, (BM,); the same and the columns, to index what is written, (BM, 1)
        and (1, BN); rows and k, to index the sources of P products, (1, BM, 1) and (P, 1, K / P);
        zeros for the sums of P products, (P, BM, BN); a zero of 64 bits.
    """
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, P)[:, None, None] * (K // P) + tl.arange(0, K // P)[None, None, :]
    none = tl.zeros((P, BM, BN), tl.float32)
    long = tl.zeros((), tl.int64)
    return rows, rows[:, None], columns[None, :], rows[None, :, None], k, none, long


@triton.jit
def tiles(
    w, WIDTHS: tl.constexpr, SHORTCUT: tl.constexpr, TRANSPOSED: tl.constexpr,
    K: tl.constexpr, P: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """The columns of all W_l and of all S_l that a program keeps, (P, K / P, BN) each."""
    H: tl.constexpr = WIDTHS[len(WIDTHS) - 1]
    n = (tl.program_id(1) * BN + tl.arange(0, BN))[None, None, :]
    k = tl.arange(0, P)[:, None, None] * (K // P) + tl.arange(0, K // P)[None, :, None]
    ws = ()
    ss = ()
    for l in tl.static_range(len(WIDTHS)):
        width = WIDTHS[l]
        source = source_width(WIDTHS, l)
        matrix = w + kernel_offset(WIDTHS, SHORTCUT, l)
        shortcut = matrix + source * width
        if TRANSPOSED:
            ws = ws + (tile(matrix, k, n, width, source, 1, width),)
            if SHORTCUT and l > 0:
                ss = ss + (tile(shortcut, k, n, width, H, 1, width),)
        else:
            ws = ws + (tile(matrix, k, n, source, width, width, 1),)
            if SHORTCUT and l > 0:
                ss = ss + (tile(shortcut, k, n, H, width, width, 1),)
    return ws, ss


@triton.jit
def product(u, w, total, PRECISION: tl.constexpr):
    """`total` plus the products of the P parts."""
    if PRECISION == "interpreted":  # the interpreter cannot multiply 16-bit numbers
        return total + tl.dot(u.to(tl.float32), w.to(tl.float32))
    return tl.dot(u, w, total, input_precision=PRECISION)


@triton.jit
def activated(z, NAME: tl.constexpr):
    """phi(z)."""
    if NAME == "tanh":
        return 2.0 / (1.0 + tl.exp(-2.0 * z)) - 1.0
    elif NAME == "sigmoid":
        return 1.0 / (1.0 + tl.exp(-z))
    else:
        return tl.where(z < 0.0, 0.0, z)


@triton.jit
def slope(a, NAME: tl.constexpr):
    """phi'(z) from a = phi(z)."""
    a = a.to(tl.float32)
    if NAME == "tanh":
        return 1.0 - a * a
    elif NAME == "sigmoid":
        return a * (1.0 - a)
    else:
        return (a > 0.0).to(tl.float32)


@triton.jit
def forward(
    p, w, mask, h_unset, a_unset, T, B, h, a,
    WIDTHS: tl.constexpr, RECEIVES_INPUT: tl.constexpr, PHI: tl.constexpr, SHORTCUT: tl.constexpr,
    MASKED: tl.constexpr, K: tl.constexpr, P: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """The forward loop: h(t) of all steps.

    Args:
        p: p_l of each layer one after the other: (T, B, n_l) where x feeds it, else (n_l,).
        w: W_l (n_(l-1), n_l), and S_l (H, n_l) after it, of each layer one after the other.
        mask: (T, B); not read unless MASKED.
        h_unset, a_unset: The inputs that `h` and `a` alias.
        T, B: Steps and rows.
        h: Bits (T + 1, B, H padded): h(0), then `UNSET`.
        a: Bits (T, B, n_l padded) of each layer but the last one after the other: `UNSET`.
    """
    L: tl.constexpr = len(WIDTHS)
    dtype: tl.constexpr = w.dtype.element_ty
    H: tl.constexpr = WIDTHS[L - 1]
    WIDE: tl.constexpr = padded(H)
    rows, r, c, u_r, u_k, none, long = coordinates(K, P, BM, BN)

    ws, ss = tiles(w, WIDTHS, SHORTCUT, False, K, P, BN)

    before = tl.zeros((BM, BN), tl.float32)
    if MASKED:
        mine = (r < B) & (c < WIDE)
        before = (
            tl.load(h + r * WIDE + c, mask=mine, other=0).to(dtype, bitcast=True).to(tl.float32)
        )
    for step in range(T):
        t = long + step
        # Loaded while h(t-1) is awaited.
        zs = ()
        at_p = p
        for l in tl.static_range(L):
            if RECEIVES_INPUT[l]:
                place = (t * B + r) * WIDTHS[l] + c
            else:
                place = c + 0 * r
            z = tl.load(at_p + place, mask=(r < B) & (c < WIDTHS[l]), other=0.0)
            zs = zs + (z.to(tl.float32),)
            if RECEIVES_INPUT[l]:
                at_p += (long + T) * B * WIDTHS[l]
            else:
                at_p += WIDTHS[l]
        if MASKED:
            live = tl.load(mask + t * B + rows, mask=rows < B, other=0.0)
        u = wait_for(h + t * B * WIDE, u_r * WIDE + u_k, (u_r < B) & (u_k < WIDE))
        u = u.to(dtype, bitcast=True)
        value = activated(zs[0] + tl.sum(product(u, ws[0], none, PRECISION), 0), name_of(PHI, 0))
        for l in tl.static_range(1, L):
            wide = padded(WIDTHS[l - 1])
            at = a + (long + T) * B * padded_sum(WIDTHS, l - 1) + t * B * wide
            publish(at, r * wide + c, value, (r < B) & (c < wide), dtype)
            total = none
            if SHORTCUT:
                total = product(u, ss[l - 1], total, PRECISION)
            v = wait_for(at, u_r * wide + u_k, (u_r < B) & (u_k < wide)).to(dtype, bitcast=True)
            total = product(v, ws[l], total, PRECISION)
            value = activated(zs[l] + tl.sum(total, 0), name_of(PHI, l))
        if MASKED:
            value = tl.where(live[:, None] > 0, value, before)
            before = value
        publish(h + (t + 1) * B * WIDE, r * WIDE + c, value, (r < B) & (c < WIDE), dtype)


@triton.jit
def backward(
    g, w, mask, h, a, d_unset, d_first_unset, T, B, d, d_first,
    WIDTHS: tl.constexpr, PHI: tl.constexpr, SHORTCUT: tl.constexpr, MASKED: tl.constexpr,
    K: tl.constexpr, P: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The backward loop: the gradients dz_l(t) of all steps and dh(0).

    Args:
        g: The gradient of h(1), ..., h(T) from outside the loop, (T, B, H).
        w, mask, T, B: See `forward`.
        h: h(1), ..., h(T), (T, B, H).
        a: a_l, (T, B, n_l) of each layer but the last one after the other.
        d_unset, d_first_unset: The inputs that `d` and `d_first` alias.
        d: Bits (T, B, n_l padded) of each layer one after the other: `UNSET`.
        d_first: (B, H), for dh(0).
    """
    L: tl.constexpr = len(WIDTHS)
    dtype: tl.constexpr = w.dtype.element_ty
    H: tl.constexpr = WIDTHS[L - 1]
    rows, r, c, u_r, u_k, none, long = coordinates(K, P, BM, BN)

    ws, ss = tiles(w, WIDTHS, SHORTCUT, True, K, P, BN)

    mine = (r < B) & (c < H)
    last = (long + T - 1) * B
    g_t = tl.load(g + (last + r) * H + c, mask=mine, other=0.0)
    h_t = tl.load(h + (last + r) * H + c, mask=mine, other=0.0)
    live = tl.zeros((BM,), tl.float32)
    if MASKED:
        live = tl.load(mask + last + rows, mask=rows < B, other=0.0)
    dh = none
    passed = tl.zeros((BM, BN), tl.float32)
    for step in range(T):
        t = long + T - 1 - step
        values = ()
        for l in tl.static_range(L - 1):
            at_a = a + (long + T) * B * sum_of(WIDTHS, l) + (t * B + r) * WIDTHS[l] + c
            values = values + (tl.load(at_a, mask=(r < B) & (c < WIDTHS[l]), other=0.0),)
        total = g_t.to(tl.float32) + tl.sum(dh, 0) + passed
        dh = none
        if MASKED:
            passed = tl.where(live[:, None] > 0, 0.0, total)
            total = tl.where(live[:, None] > 0, total, 0.0)
        delta = total * slope(h_t, name_of(PHI, L - 1))
        for l in tl.static_range(L - 1, -1, -1):
            wide = padded(WIDTHS[l])
            at = d + (long + T) * B * padded_sum(WIDTHS, l) + t * B * wide
            publish(at, r * wide + c, delta, (r < B) & (c < wide), dtype)
            if l == 0:  # prefetch for the next step
                next_ = tl.maximum(t - 1, 0) * B
                g_t = tl.load(g + (next_ + r) * H + c, mask=mine, other=0.0)
                h_t = tl.load(h + (next_ + r) * H + c, mask=mine, other=0.0)
                if MASKED:
                    live = tl.load(mask + next_ + rows, mask=rows < B, other=0.0)
            u = wait_for(at, u_r * wide + u_k, (u_r < B) & (u_k < wide)).to(dtype, bitcast=True)
            if l == 0:
                dh = product(u, ws[0], dh, PRECISION)
            else:
                found = tl.sum(product(u, ws[l], none, PRECISION), 0)
                delta = found * slope(values[l - 1], name_of(PHI, l - 1))
                if SHORTCUT:
                    dh = product(u, ss[l - 1], dh, PRECISION)
    tl.store(d_first + r * H + c, (tl.sum(dh, 0) + passed).to(dtype), mask=mine)
