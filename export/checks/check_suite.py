"""Checks of an exported version through any runner of its signatures.

Needs numpy alone, because it also runs in processes that have neither Keras nor this package: see
`check_process.py`. `run(signature, inputs)`, {name: array} to {name: array}, raises `Rejected` for
an InvalidArgument, and any other exception for any other failure.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

# {name: array}, and a function that runs the signature of a name on them.
Arrays = dict[str, np.ndarray]
Runner = Callable[[str, Arrays], Arrays]

# Relative to the largest output. A product of one row or step may be summed in another order than
# that of many: some units in the last place, which the recurrence propagates.
TOLERANCE = {"float32": 1e-5, "float16": 8 * 2.0**-10, "bfloat16": 8 * 2.0**-7}
# The same sizes in the same graph: nearly always equal bit for bit.
GOLDEN_TOLERANCE = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 1e-2}
ROWS, STEPS = 3, 7


class Rejected(Exception):
    """The model answered InvalidArgument."""


class Failed(Exception):
    """A failed check; the message names it and its finding."""


class Suite:
    """The checks of one export.

    Args:
        run: Runs a signature, as above.
        record: The content of export.json.

    Attributes:
        difference: The largest difference of a golden output, after `golden`.
    """

    def __init__(self, run: Runner, record: dict[str, Any]) -> None:
        self.run, self.record = run, record
        self.signatures = record["signatures"]
        self.random = np.random.default_rng(1)
        self.difference = 0.0

    def all(self) -> dict[str, str]:
        """Runs every check that the signatures allow; returns {check: its result}."""
        found = {"golden": self.golden()}
        if "padded" in self.signatures:
            found["padding"] = self.padding()
        if "step" in self.signatures:
            found["step by step"] = self.step_by_step()
        if "prefill" in self.signatures:
            found["prefill in pieces"] = self.prefill_in_pieces()
        if "generate" in self.signatures:
            found["generate"] = self.generate()
        found["bad inputs"] = self.bad_inputs()
        return found

    def golden(self) -> str:
        """Golden inputs give the golden outputs, twice the same."""
        cases = self.record["golden"]
        for case in cases:
            name = case["signature"]
            inputs, outputs = (decoded(case[way]) for way in ("inputs", "outputs"))
            got = self._run("golden", name, inputs)
            again = self._run("golden", name, inputs)
            if not all(np.array_equal(got[n], again[n]) for n in got):
                raise Failed(f"golden: {name} gives other numbers when it is asked again")
            if sorted(got) != sorted(outputs):
                raise Failed(f"golden: {name} gives {sorted(got)} instead of {sorted(outputs)}")
            for output, expected in outputs.items():
                what = f"golden: {output} of {name}"
                difference = self._same(what, got[output], expected, GOLDEN_TOLERANCE)
                self.difference = max(self.difference, difference)
        return f"{len(cases)} cases, largest difference {self.difference:.3g}"

    def padding(self) -> str:
        """Padding beyond a row's length changes no output, and its own outputs are 0."""
        x = self._x(ROWS, STEPS)
        lengths = np.array([STEPS, 2, 4], "int32")
        padded = self._whole(x, lengths)
        other = x.copy()
        for row, length in enumerate(lengths):
            other[row, length:] = self._x(1, STEPS - length)[0]
        if not np.array_equal(self._whole(other, lengths), padded):
            raise Failed("padding: what stands beyond a row's length changes the outputs")
        for row, length in enumerate(lengths):
            alone = self._whole(x[row : row + 1, :length])[0]
            got = padded[row]
            if got.ndim == 2:
                if np.any(got[length:]):
                    raise Failed("padding: outputs beyond a row's length are not 0")
                got = got[:length]
            self._same(f"padding: a row of {length} in a batch of {STEPS} steps", got, alone)
        return f"rows of {', '.join(map(str, lengths))} steps in one batch as each alone"

    def step_by_step(self) -> str:
        """Steps from the initial state give the outputs of the whole sequence."""
        x, lengths = self._x(ROWS, STEPS), np.full(ROWS, STEPS, "int32")
        whole = self._whole(x)
        state, outputs = self._first(ROWS), []
        for t in range(STEPS):
            result = self._run("step by step", "step", {"x_t": x[:, t], "state": state})
            state = result["next_state"]
            outputs.append(result["y_t"])
        y = np.stack(outputs, axis=1) if whole.ndim == 3 else outputs[-1]
        what = "step by step: a layer looks at more than one step, or the states are not all:"
        self._same(f"{what} y", y, whole)
        if "prefill" in self.signatures:
            inputs = self._prefill(x, lengths, self._first(ROWS))
            filled = self._run("step by step", "prefill", inputs)
            self._same("step by step: prefill against whole", filled["y"], whole)
            self._same(f"{what} next_state", state, filled["next_state"])
        return f"{STEPS} steps as the whole sequence"

    def prefill_in_pieces(self) -> str:
        """Pieces whose rows end at different places give the outputs of the whole sequence."""
        x, state = self._x(ROWS, STEPS), self._first(ROWS)
        lengths = np.array([STEPS, 5, 3], "int32")
        name = "prefill in pieces"
        whole = self._run(name, "prefill", self._prefill(x, lengths, state))
        outputs = []
        for start, end in ((0, 3), (3, STEPS)):
            here = np.clip(lengths - start, 0, end - start).astype("int32")
            result = self._run(name, "prefill", self._prefill(x[:, start:end], here, state))
            state = result["next_state"]
            outputs.append(result["y"])
        if whole["y"].ndim == 3:
            self._same(f"{name}: y", np.concatenate(outputs, axis=1), whole["y"])
        self._same(f"{name}: next_state", state, whole["next_state"])
        return "two pieces as one"

    def generate(self) -> str:
        """Samples of a row do not depend on the other rows of its batch."""
        steps = np.minimum([4, 6, 0], self.record["max_steps"]).astype("int32")
        inputs = {
            "x_t": self._x(ROWS, 1)[:, 0],
            "state": self._first(ROWS),
            "steps": steps,
            "temperature": np.array([1, 0.5, 1], "float32"),
            "seed": np.array([11, -12, 13], "int32"),
        }
        together = self._run("generate", "generate", inputs)
        if together["samples"].shape[:2] != (ROWS, max(steps)):
            raise Failed(f"generate: samples have shape {together['samples'].shape}")
        for row in range(ROWS):
            alone = {name: value[row : row + 1] for name, value in inputs.items()}
            alone = self._run("generate", "generate", alone)
            got, own = together["samples"][row], alone["samples"][0]
            if not np.array_equal(got[: steps[row]], own) or np.any(got[steps[row] :]):
                raise Failed(f"generate: row {row} gives other samples beside others than alone")
            what = "generate: next_state of a row alone"
            self._same(what, alone["next_state"][0], together["next_state"][row])
        return "each row alone as beside others"

    def bad_inputs(self) -> str:
        """Bad inputs end in InvalidArgument."""
        cases = list(self._bad_inputs())
        for what, name, inputs in cases:
            try:
                self.run(name, inputs)
            except Rejected:
                continue
            except Exception as error:
                raise Failed(f"bad inputs: {what} for {name} ended in {error!r}") from error
            raise Failed(f"bad inputs: {what} for {name} was answered")
        return f"{len(cases)} rejected"

    def _bad_inputs(self) -> Iterator[tuple[str, str, Arrays]]:
        """(what is bad, signature, inputs)."""
        good = {
            case["signature"]: decoded(case["inputs"])
            for case in self.record["golden"]
            if case["inputs"][next(iter(case["inputs"]))]["shape"][0] == ROWS
        }
        for name, inputs in good.items():
            for tensor, value in inputs.items():
                for what, bad in self._bad(tensor, value, alone=len(inputs) == 1):
                    yield f"`{tensor}` {what}", name, {**inputs, tensor: bad}

    def _bad(self, tensor: str, value: np.ndarray, alone: bool) -> Iterator[tuple[str, np.ndarray]]:
        """(what is bad, values) in place of the good values of an input."""
        if not alone:
            yield "of another batch", value[:1]
        if tensor in ("x", "x_t") and self.record["tokens"]:
            for token in (-1, self.record["tokens"], 2**31 - 1):
                yield f"with the token {token}", _with_first(value, token)
        elif value.dtype.kind == "f":
            for number in (np.nan, np.inf):
                yield f"with {number}", _with_first(value, number)
            if value.ndim > 1:
                yield "of another width", value[..., :-1]
        if tensor == "x":
            yield "without a step", value[:, :0]
        if tensor == "lengths":
            for length in (-1, 2**31 - 1):
                yield f"of {length}", _with_first(value, length)
        if tensor == "steps":
            for steps in (-1, self.record["max_steps"] + 1):
                yield f"of {steps}", _with_first(value, steps)
        if tensor == "temperature":
            yield "below 0", _with_first(value, -0.5)

    def _x(self, rows: int, steps: int) -> np.ndarray:
        if self.record["tokens"]:
            return self.random.integers(0, self.record["tokens"], (rows, steps)).astype("int32")
        x = self.random.uniform(-1, 1, (rows, steps, self.record["features"]))
        return x.astype("float32")

    def _first(self, rows: int) -> np.ndarray:
        if "initial_state" not in self.signatures:
            return np.zeros((rows, self.record["state"]), "float32")
        given = {"rows": np.zeros(rows, "int32")}
        return self._run("initial_state", "initial_state", given)["state"]

    def _whole(self, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        if lengths is None:
            return self._run("whole sequence", "serving_default", {"x": x})["y"]
        return self._run("padding", "padded", {"x": x, "lengths": lengths})["y"]

    @staticmethod
    def _prefill(x: np.ndarray, lengths: np.ndarray, state: np.ndarray) -> Arrays:
        return {"x": x, "lengths": lengths, "state": state}

    def _run(self, check: str, name: str, inputs: Arrays) -> Arrays:
        try:
            return self.run(name, inputs)
        except Exception as error:
            raise Failed(f"{check}: {name} does not run: {reason(error)}") from error

    def _same(
        self,
        what: str,
        got: np.ndarray,
        expected: np.ndarray,
        tolerances: Mapping[str, float] = TOLERANCE,
    ) -> float:
        """The largest difference, which must be within the tolerance."""
        if got.shape != expected.shape:
            raise Failed(f"{what} has shape {got.shape} instead of {expected.shape}")
        if not got.size:
            return 0.0
        got, expected = got.astype("float64"), expected.astype("float64")
        difference = float(np.max(np.abs(got - expected)))
        tolerance = tolerances[self.record["precision"]]
        if not difference <= tolerance * max(1.0, float(np.max(np.abs(expected)))):
            raise Failed(f"{what} differs by {difference:.3g}")
        return difference


def reason(error: Exception) -> str:
    """The message of a TensorFlow error, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    # Before it come the places in the Python code where the graph was made.
    where = ("Graph execution error:", "Detected at node", "File ", "<stack traces", "[[{{node")
    kept = [line for line in lines if line and not line.startswith(where)]
    return re.sub(r"^\{\{.*?\}\} ", "", (kept or [type(error).__name__])[0])


def decoded(case: Mapping[str, Mapping[str, Any]]) -> Arrays:
    """Decodes the arrays of export.json: {name: array}."""
    return {
        name: np.frombuffer(
            base64.b64decode(array["base64"]), np.dtype(array["dtype"]).newbyteorder("<")
        )
        .reshape(array["shape"])
        .astype(array["dtype"])
        for name, array in case.items()
    }


def _with_first(value: np.ndarray, number: float) -> np.ndarray:
    bad = value.copy()
    bad.flat[0] = number
    return bad
