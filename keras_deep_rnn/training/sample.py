"""Samples music and text from a trained network, one time step at a time."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..data import midi_files, midi_writer
from ..layers import NADE
from ..utils.errors import ArgumentError, Words
from ..utils.files import replacing, user_path
from ..utils.types import Log, PathLike
from ..utils.validation import number, one_of, positive_integer
from ..utils.validation import seed as checked_seed
from .evaluate import StepwiseModel
from .models import before_joint_output
from .music.piece import Piece
from .music.writers import WRITERS
from .run_folder import Run

LENGTH = {"piano_roll": 64, "characters": 500, "words": 100}
MAX_LENGTH = 100_000
# A MIDI file stores the microseconds of a quarter note in 24 bits: at most 16.8 seconds.
MIN_TEMPO, MAX_TEMPO = 4, 1000


def generate(
    run: PathLike,
    out: PathLike | None = None,
    *,
    length: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    primer: PathLike | None = None,
    primer_length: int = 16,
    tempo: float = 80.0,
    instrument: str = "organ",
    log: Log = print,
) -> list[Path]:
    """Samples music or text from a trained run and writes it.

    Args:
        run: Folder of a finished run.
        out: File to write; None: music.mid or text.txt in the run folder. The ending says what
            music is written as: `.mid`, with a picture of the same name beside it (.png), `.html`,
            a page that plays it in a browser, or `.wav`, sound.
        length: Frames or tokens to sample, at most `MAX_LENGTH`; None: `LENGTH`.
        temperature: Divisor of the logits; below 1 likely notes or tokens become more frequent,
            0 takes the likeliest.
        seed: Non-negative integer; the same seed gives the same sample.
        primer: Beginning to continue. Music: a MIDI file, or None for silence. Text: a text, or
            None for the end of a line, or for the first token of a vocabulary without it.
        primer_length: Frames of the MIDI file to use.
        tempo: Quarter notes a minute, from `MIN_TEMPO` to `MAX_TEMPO`.
        instrument: One of `midi_writer.INSTRUMENTS`.
        log: Called with the text.

    Returns:
        Paths of the written files.

    Raises:
        UserError: An argument is out of range, or a file cannot be read or written.
    """
    source = Run(run)
    facts = source.config["data"]
    kind = facts["kind"]
    endings = tuple(WRITERS) if kind == "piano_roll" else (".txt",)
    out = Path(out or source / ("music.mid" if kind == "piano_roll" else "text.txt"))
    if out.suffix not in endings:
        raise ArgumentError("out", f"with {' or '.join(endings)}", str(out), verb="end")
    if not out.parent.is_dir():
        raise ArgumentError("out", "in an existing folder", str(out), verb="lie")
    length = LENGTH[kind] if length is None else length
    sampling = {"temperature": temperature, "seed": seed}
    if kind == "piano_roll":
        begin = {"primer": primer, "primer_length": primer_length}
        sound = {"tempo": tempo, "instrument": instrument}
        piece = compose(source, length=length, **sampling, **begin, **sound)
        return WRITERS[out.suffix](piece, out)
    checked_seed("seed", seed)
    _check(length, temperature)
    begin = encode(str(primer), kind, facts["vocabulary"]) if primer else [facts["start"] or 0]
    tokens = sample_tokens(source.model(batch_size=1), length, primer=begin, **sampling)
    text = decode(tokens if primer else tokens[1:], kind, facts["vocabulary"])
    with replacing(out) as partial:
        partial.write_text(text, encoding="utf-8")
    log(text)
    return [out]


def compose(
    run: Run,
    *,
    length: int = LENGTH["piano_roll"],
    temperature: float = 1.0,
    seed: int = 0,
    primer: PathLike | None = None,
    primer_length: int = 16,
    tempo: float = 80.0,
    instrument: str = "organ",
) -> Piece:
    """Samples music from a trained run.

    Args:
        run: A finished run on music.
        length: See `generate`, as for the other arguments.
        temperature: Divisor of the logits.
        seed: The same seed gives the same piece.
        primer: MIDI file to continue, or None for silence.
        primer_length: Frames of the MIDI file to use.
        tempo: Quarter notes a minute.
        instrument: One of `midi_writer.INSTRUMENTS`.

    Returns:
        The piece, which begins with the primer.

    Raises:
        UserError: An argument is out of range, or a file cannot be read.
    """
    one_of(tuple(midi_writer.INSTRUMENTS))("instrument", instrument)
    if not MIN_TEMPO <= number("tempo", tempo) <= MAX_TEMPO:
        raise ArgumentError("tempo", f"{MIN_TEMPO} to {MAX_TEMPO} quarter notes a minute", tempo)
    checked_seed("seed", seed)
    _check(length, temperature)
    facts = run.config["data"]
    # A time step of unknown length is taken for an eighth note.
    quarter_length = facts["quarter_length"] or 0.5
    begin = None if primer is None else _primer(primer, primer_length, quarter_length)
    model = run.model(batch_size=1)
    frames = sample_music(model, length, primer=begin, temperature=temperature, seed=seed)
    return Piece(
        frames,
        title=f"{run.config['settings']['network']} on {Path(facts['name']).name}, "
        f"seed {seed}, temperature {temperature:g}",
        quarter_length=quarter_length,
        tempo=tempo,
        instrument=instrument,
        primer=0 if begin is None else len(begin),
    )


def sample_music(
    model: keras.Model,
    length: int,
    *,
    primer: np.ndarray | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Samples a piece frame by frame; the keys of a frame independently, or jointly by a NADE.

    Args:
        model: Stateful network with a batch size of 1.
        length: Number of frames to sample.
        primer: Piano-roll (P, 88) that the piece begins with; None for silence.
        temperature: Divisor of the logits; below 1 likely notes become more frequent. 0 takes the
            keys that are more likely than not, of a joint output one after another.
        seed: Non-negative integer; the same seed gives the same piece.

    Returns:
        uint8 (P + length, 88).

    Raises:
        ValueError: An argument is out of range.
    """
    _check(length, temperature)
    random, keys = np.random.default_rng(seed), model.output_shape[-1]
    before, joint = before_joint_output(model) or (model, None)
    stepwise = StepwiseModel(before)
    jointly = joint and _joint_sampler(joint, before.output_shape[-1], temperature)
    frames = [np.zeros(keys, "uint8"), *(primer if primer is not None else ())]
    for frame in frames[:-1]:
        stepwise.step(frame.astype("float32"))
    for _ in range(length):
        y = stepwise.step(frames[-1].astype("float32"))
        if jointly is None:
            frame = random.random(keys) < _probability(y.astype("float64"), temperature)
        else:
            noise = random.logistic(size=(1, keys)).astype("float32")
            drawn = jointly.predict_on_batch([y[None], noise])
            frame = keras.ops.convert_to_numpy(drawn)[0]
        frames.append(frame.astype("uint8"))
    return np.stack(frames[1:])


def sample_tokens(
    model: keras.Model,
    length: int,
    *,
    primer: Iterable[int],
    temperature: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Samples a text token by token.

    Args:
        model: Stateful network with a batch size of 1.
        length: Number of tokens to sample.
        primer: Tokens (P,) that the text continues, at least one.
        temperature: Divisor of the logits; below 1 likely tokens become more frequent. 0 takes the
            likeliest.
        seed: Non-negative integer; the same seed gives the same text.

    Returns:
        int32 (P + length,).

    Raises:
        ValueError: An argument is out of range.
    """
    _check(length, temperature)
    tokens = [int(token) for token in primer]
    if not tokens:
        raise ArgumentError("primer", "at least one token", Words("none"), verb="hold")
    random, stepwise = np.random.default_rng(seed), StepwiseModel(model)
    for token in tokens[:-1]:
        stepwise.step(np.array(token, "int32"))
    for _ in range(length):
        logits = stepwise.step(np.array(tokens[-1], "int32")).astype("float64")
        # The argmax of logits / temperature plus Gumbel noise is a sample of their softmax. Both
        # are scaled so that neither a tiny temperature nor a huge one overflows.
        noise = random.gumbel(size=logits.shape) * min(1.0, temperature)
        tokens.append(int(np.argmax(logits / max(1.0, temperature) + noise)))
    return np.array(tokens, "int32")


def encode(text: str, kind: str, vocabulary: Sequence[str]) -> list[int]:
    """Encodes a text as tokens of a vocabulary.

    Raises:
        UserError: A character or word is not in the vocabulary.

    Example:

    >>> encode("abba", "characters", ("a", "b"))
    [0, 1, 1, 0]
    """
    index = {token: i for i, token in enumerate(vocabulary)}
    if kind == "words" and "<eos>" in index:
        text = text.replace("\n", " <eos> ")
    parts = text if kind == "characters" else text.split()
    unknown = [part for part in parts if part not in index]
    if unknown:
        what = "characters" if kind == "characters" else "words"
        raise ArgumentError("primer", f"{what} of the training text", unknown[0], verb="have")
    return [index[part] for part in parts]


def decode(tokens: Iterable[int], kind: str, vocabulary: Sequence[str]) -> str:
    """Decodes tokens to a text.

    Example:

    >>> decode([1, 0, 2], "words", ("b", "a", "<eos>"))
    'a b\\n'
    """
    parts = [vocabulary[token] for token in tokens]
    if kind == "characters":
        return "".join(parts)
    return re.sub(" ?<eos> ?", "\n", " ".join(parts))


def _primer(path: PathLike, length: int, quarter_length: float) -> np.ndarray:
    """First frames of a MIDI file: the keys that sound at the beginning of each time step."""
    positive_integer("primer_length", length)
    if not user_path(path).is_file():
        raise ArgumentError("primer", "a MIDI file", str(path))
    every = max(1, round(quarter_length / midi_files.QUARTER_LENGTH))
    return midi_files.read(path)[::every][:length]


class _Sample(keras.layers.Layer):
    """Samples from a joint output of y, with noise."""

    def __init__(self, joint: NADE, temperature: float) -> None:
        super().__init__()
        self.joint, self.temperature = joint, temperature

    def call(self, y: Any, noise: Any) -> Any:
        return self.joint.sample(self.joint.parameters(y), noise, self.temperature)


def _joint_sampler(joint: NADE, width: int, temperature: float) -> keras.Model:
    """A model of a joint output's samples: Keras compiles what a model predicts."""
    y = keras.Input((width,))
    noise = keras.Input((joint.units,))
    return keras.Model([y, noise], _Sample(joint, temperature)(y, noise))


def _check(length: int, temperature: float) -> None:
    if positive_integer("length", length) > MAX_LENGTH:
        raise ArgumentError("length", f"at most {MAX_LENGTH:,}", length)
    number("temperature", temperature, least=0)


def _probability(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probability of each key."""
    if temperature == 0:
        return (logits > 0).astype("float64")
    with np.errstate(over="ignore"):  # of a tiny temperature: 0 or 1
        return 0.5 * (1 + np.tanh(0.5 * logits / temperature))
