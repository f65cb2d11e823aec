"""Changes at random of bytes and of JSON."""

import copy

INTEGERS = (-1, 0, 1, 3, 100, 10**6, 2**31 - 1, -(2**31))
WRONG_NUMBERS = (*INTEGERS, float("nan"), float("inf"), 1e38, 0.5)
WRONG_VALUES = (None, True, "x", [], {}, [[]], 1e400, 10**30, -0.0, *WRONG_NUMBERS)


def broken_bytes(draw, data):
    """`data` with some of its bytes changed, lost, doubled or moved."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        if not data:
            break
        start = draw.randrange(len(data))
        end = min(len(data), start + draw.choice((1, 1, 2, 4, 16)))
        kind = draw.randrange(6)
        if kind == 0:
            data[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[start:end] = draw.randbytes(end - start)
        elif kind == 2:
            del data[start:end]
        elif kind == 3:
            data[start:start] = data[start:end]
        elif kind == 4:
            data[start:start] = draw.randbytes(end - start)
        elif draw.random() < 0.2:
            del data[start:]
    return bytes(data)


def broken_json(draw, body):
    """An object of JSON in which some values or names are not what they should be."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        place = body
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw.choice(keys)
            if isinstance(place[key], (dict, list)) and draw.random() < 0.8:
                place = place[key]
                continue
            kind = draw.randrange(4)
            if kind == 0:
                del place[key]
            elif kind == 1 and isinstance(place, list):
                place.insert(key, copy.deepcopy(place[key]))
            elif kind == 1:
                name = draw.choice(("", "y", "instances", "inputs", "signature_name"))
                place[name] = copy.deepcopy(place[key])
            else:
                place[key] = copy.deepcopy(draw.choice(WRONG_VALUES))
            break
    return body
