"""Serving signatures of an exported model: inputs, outputs, checks, computation.

Shapes: B batch, T time steps, D input features, S all states side by side, V units of y. A model of
tokens takes x (B, T) and x_t (B,), int32. Every tensor has the batch first, none is a scalar, and
no input has the name of an output.

    serving_default   x                                       y
    padded            x, lengths                              y
    prefill           x, lengths, state                       y, next_state
    step              x_t, state                              y_t, next_state
    initial_state     rows                                    state
    generate          x_t, state, steps, temperature, seed    samples, next_state

The inputs of a signature are not optional. `serving_default` takes x alone, which every client can
send; rows of different lengths go to `padded`. `prefill` has no form without `lengths`: a server
that pads the requests of a batch would change the state after a row's last step.

Of a model with a joint output, y are the parameters of its `NADE` for the frame after x. There are
no probabilities of single keys; `serving_default` and `padded` also give `log_probability` (B, T),
of each frame of x given those before it. It is 0 of the first frame, which nothing predicts: a
piece begins with a frame of silence.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, cast

import keras
import tensorflow as tf

from ...layers import NADE
from ...recurrence.tensorflow import as_exported
from ...utils.errors import ArgumentError, Words
from . import input_checks
from .eligibility import takes_tokens, tokens_of
from .sampling import draw_frame, draw_joint_frame, draw_tokens
from .streaming import StreamingModel

WHOLE, PADDED, GENERATE = "serving_default", "padded", "generate"
STREAMING = ("prefill", "step", "initial_state")
SIGNATURES = (WHOLE, PADDED, *STREAMING, GENERATE)
# {name: (shape, dtype)}, and these of {signature: {"inputs" or "outputs": ...}}.
Tensors = dict[str, tuple[tuple[int | None, ...], str]]
Specification = dict[str, dict[str, Tensors]]
# The functions that turn logits into probabilities, and how a sample of each is fed back.
PROBABILITIES = {"sigmoid": draw_frame, "softmax": draw_tokens}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an export.

    Attributes:
        signatures: Names out of `SIGNATURES`; None for all that the model can have.
        probabilities: `"sigmoid"` or `"softmax"` where y are logits of such; None for neither.
        tokens: How many tokens a model of tokens takes; None for what its layers say.
        max_steps: The most steps that one request may generate.
        jit_compile: Whether XLA compiles the signatures.
        nade: The `NADE` whose parameters y are; None for other outputs.
    """

    signatures: tuple[str, ...] | None = None
    probabilities: str | None = None
    tokens: int | None = None
    max_steps: int = 10_000
    jit_compile: bool = False
    nade: NADE | None = None


class ServingSignatures:
    """The functions that are served for a model.

    Args:
        model: A model that `eligibility.exportable` accepts.
        options: `Options`.
        offered: Names of the signatures that the format can have.
        checked: Whether the functions check their inputs; other formats than a SavedModel have no
            operations for that.

    Attributes:
        names: The signatures that there are.
        specification: For each, {"inputs": {name: (shape, dtype)}, "outputs": the same}; an open
            size in a shape is None.
        streaming: The `StreamingModel`.

    Raises:
        UserError: A signature was requested that the model or the format cannot have.
    """

    def __init__(
        self,
        model: keras.Model,
        options: Options = Options(),
        *,
        offered: Sequence[str] = SIGNATURES,
        checked: bool = True,
    ) -> None:
        self.model, self.options, self._checked = model, options, checked
        self.streaming = StreamingModel(model)
        self.is_text = takes_tokens(model)
        known = tokens_of(model) if self.is_text else None
        self.tokens = options.tokens or known
        self.length: int | None = model.inputs[0].shape[1]
        self.last_only = len(model.outputs[0].shape) == 2
        if self.is_text and self.tokens is None:
            raise ArgumentError(
                "vocabulary",
                "given for a model of tokens without an Embedding",
                hint=": how many tokens it takes is not known.",
            )
        if self.tokens is not None and known is not None and self.tokens > known:
            raise ArgumentError(
                "vocabulary",
                f"at most the {known} tokens that the model takes",
                Words(self.tokens),
                verb="have",
            )
        self.names = self._names(offered)
        self.specification = {name: self._specified(name) for name in self.names}

    def functions(self) -> dict[str, Any]:
        """{name: tf.function} of every signature."""
        return {name: self._function(name) for name in self.names}

    @property
    def units(self) -> int:
        """V."""
        return self.model.outputs[0].shape[-1]

    @property
    def features(self) -> int | None:
        """D, None for a model of tokens."""
        return None if self.is_text else self.model.inputs[0].shape[-1]

    @property
    def batching(self) -> bool:
        """Whether a server may batch requests to `serving_default`, padded to one length.

        Where a later step changes an earlier output, they would get other numbers.
        """
        return self.length is not None or ("step" in self.names and not self.last_only)

    @property
    def scores_frames(self) -> bool:
        """Whether there is `log_probability`: y says how likely the next x is."""
        return self.options.nade is not None and self._no_feedback() is None

    def log_probability(
        self, x: tf.Tensor, y: tf.Tensor, lengths: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """`log_probability` (B, T) of each frame of x given those before it, where there is one.

        Args:
            x: Frames (B, T, D).
            y: Parameters of the frame after each (B, T, V).
            lengths: int32 (B,), beyond which it is 0.
        """
        if not self.scores_frames:
            return {}
        with as_exported():
            found = cast(NADE, self.options.nade).log_prob(y[:, :-1], x[:, 1:])
        found = tf.pad(tf.cast(found, "float32"), [[0, 0], [1, 0]])
        if lengths is not None:
            found = tf.where(tf.sequence_mask(lengths, tf.shape(found)[1]), found, 0.0)
        return {"log_probability": found}

    def _names(self, offered: Sequence[str]) -> tuple[str, ...]:
        no_step = self.streaming.unsupported_reason
        reasons: dict[str, str | None] = dict.fromkeys((*STREAMING, GENERATE), no_step)
        reasons[PADDED] = no_step if self.length is not None else None
        reasons[GENERATE] = no_step or self._no_feedback()
        requested = self.options.signatures
        if requested is None:
            if self.length is None and no_step is not None:
                mend = f"pass signatures=({WHOLE!r}, {PADDED!r}) to serve whole sequences alone."
                hint = f", which this one does not: {no_step}; {mend}"
                raise ArgumentError("model", "a step", hint=hint, verb="have")
            return tuple(name for name in offered if reasons.get(name) is None)
        for name in requested:
            if name not in offered:
                listed = ", ".join(map(repr, offered))
                raise ArgumentError("signatures", f"out of {listed}", name)
            if reasons.get(name) is not None:
                hint = f": {reasons[name]}."
                raise ArgumentError("signatures", repr(name), hint=hint, verb="not have")
        return tuple(name for name in offered if name in requested or name == WHOLE)

    def _no_feedback(self) -> str | None:
        """Why the outputs cannot be fed back as inputs; None if they can."""
        probabilities, nade = self.options.probabilities, self.options.nade
        units = self.units if nade is None else nade.units
        if probabilities is None and nade is None:
            return "`probabilities` does not say of what y are the logits"
        if self.last_only:
            return "the model gives the last step alone"
        if self.is_text != (probabilities == "softmax"):
            return "what is drawn from y is not what the model takes"
        if self.is_text and self.tokens is not None and units > self.tokens:
            return f"y has {units} units for {self.tokens} tokens"
        if not self.is_text and units != self.features:
            return f"y has {units} units for {self.features} features"
        return None

    def _specified(self, name: str) -> dict[str, Tensors]:
        """What a signature takes and gives; see `specification`."""
        features = () if self.is_text else (self.features,)
        of_x = "int32" if self.is_text else "float32"
        state = (None, self.streaming.size), "float32"
        y = (None, *self.model.outputs[0].shape[1:]), "float32"
        integers = ((None,), "int32")
        tensors = {
            "x": ((None, self.length, *features), of_x),
            "x_t": ((None, *features), of_x),
            "lengths": integers,
            "state": state,
            "next_state": state,
            "rows": integers,
            "steps": integers,
            "seed": integers,
            "temperature": ((None,), "float32"),
            "y": y,
            "probabilities": y,
            "log_probability": ((None, self.length), "float32"),
            "y_t": ((None, self.units), "float32"),
            "probabilities_t": ((None, self.units), "float32"),
            "samples": ((None, None, *features), of_x),
        }
        given, returned = {
            WHOLE: (["x"], ["y"]),
            PADDED: (["x", "lengths"], ["y"]),
            "prefill": (["x", "lengths", "state"], ["y", "next_state"]),
            "step": (["x_t", "state"], ["y_t", "next_state"]),
            "initial_state": (["rows"], ["state"]),
            GENERATE: (["x_t", "state", "steps", "temperature", "seed"], ["samples", "next_state"]),
        }[name]
        if self.options.probabilities and returned[0] in ("y", "y_t"):
            returned = [*returned, returned[0].replace("y", "probabilities")]
        if self.scores_frames and name in (WHOLE, PADDED):
            returned = [*returned, "log_probability"]
        return {
            "inputs": {tensor: tensors[tensor] for tensor in given},
            "outputs": {tensor: tensors[tensor] for tensor in returned},
        }

    def _function(self, name: str) -> Any:
        compute = getattr(self, f"_{name}")
        if self.options.jit_compile and name != GENERATE:
            # The checks stay outside: XLA leaves them out.
            compute = tf.function(compute, jit_compile=True, autograph=False)
        taken = self.specification[name]["inputs"]

        def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            given = dict(zip(taken, inputs))
            if self._checked:
                given = self._check(given)
            return compute(**given)

        specs = [tf.TensorSpec(shape, dtype, name=n) for n, (shape, dtype) in taken.items()]
        return tf.function(serve, input_signature=specs, autograph=False)

    def _check(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The inputs, after the checks that `docs/export.md` lists."""
        checks, finite = input_checks.same_rows(inputs), ["state", "temperature"]
        for name in ("x", "x_t"):
            if name in inputs and self.is_text and self.tokens is not None:
                checks.append(input_checks.within(name, inputs[name], self.tokens - 1))
        if not self.is_text:
            finite += ["x", "x_t"]
        if "x" in inputs:
            checks.append(input_checks.some_steps("x", inputs["x"]))
        if "lengths" in inputs:
            checks.append(
                input_checks.within("lengths", inputs["lengths"], tf.shape(inputs["x"])[1])
            )
        if "steps" in inputs:
            checks.append(input_checks.within("steps", inputs["steps"], self.options.max_steps))
            checks.append(input_checks.not_negative("temperature", inputs["temperature"]))
        # Else the computation starts beside them, and allocates for steps beyond the cap.
        with tf.control_dependencies(checks):
            return {
                name: input_checks.finite(name, value) if name in finite else tf.identity(value)
                for name, value in inputs.items()
            }

    def _serving_default(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        y = self.streaming.whole(x)
        return {**self._outputs(y), **self.log_probability(x, y)}

    def _padded(self, x: tf.Tensor, lengths: tf.Tensor) -> dict[str, tf.Tensor]:
        y = self.streaming.whole(x, lengths)
        return {**self._outputs(y, lengths), **self.log_probability(x, y, lengths)}

    def _prefill(self, x: tf.Tensor, lengths: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
        y, state = self.streaming.prefill(x, lengths, state)
        return {**self._outputs(y, lengths), "next_state": state}

    def _step(self, x_t: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
        y, state = self.streaming.step(x_t, state)
        outputs = self._outputs(y)
        return {**{f"{name}_t": value for name, value in outputs.items()}, "next_state": state}

    def _initial_state(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"state": self.streaming.initial_state(tf.shape(rows)[0])}

    def _generate(
        self,
        x_t: tf.Tensor,
        state: tf.Tensor,
        steps: tf.Tensor,
        temperature: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        # `generate` exists only with one of them.
        if self.options.nade is not None:
            draw = functools.partial(draw_joint_frame, self.options.nade)
        else:
            draw = PROBABILITIES[cast(str, self.options.probabilities)]
        most = tf.reduce_max(tf.concat([steps, [0]], 0))
        # An array of no elements cannot be stacked.
        samples = tf.TensorArray(x_t.dtype, size=most + 1, element_shape=x_t.shape)
        samples = samples.write(most, tf.zeros_like(x_t))

        def one_step(
            i: tf.Tensor, x_t: tf.Tensor, state: tf.Tensor, samples: Any
        ) -> tuple[Any, ...]:
            y, new_state = self.streaming.step(x_t, state)
            drawn = draw(tf.cast(y, "float32"), temperature, seed, i)
            goes_on = i < steps
            goes_on_here = goes_on if self.is_text else goes_on[:, None]
            state = tf.where(goes_on[:, None], new_state, state)
            x_t = tf.where(goes_on_here, drawn, x_t)
            return i + 1, x_t, state, samples.write(i, tf.where(goes_on_here, x_t, 0))

        _, _, state, samples = tf.while_loop(
            lambda i, *_: i < most, one_step, (0, x_t, state, samples)
        )
        axes = [1, 0] if self.is_text else [1, 0, 2]
        return {"samples": tf.transpose(samples.stack()[:most], axes), "next_state": state}

    def _outputs(self, y: tf.Tensor, lengths: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """y and its probabilities, 0 beyond each row's length."""
        y = tf.cast(y, "float32")
        outputs = {"y": y}
        if self.options.probabilities:
            outputs["probabilities"] = getattr(tf.nn, self.options.probabilities)(y)
        if lengths is None or self.last_only:
            return outputs
        counts = tf.sequence_mask(lengths, tf.shape(y)[1])[:, :, None]
        return {name: tf.where(counts, value, 0.0) for name, value in outputs.items()}
