"""Whole epochs of `Model.fit` on sequences of different lengths, in buckets and plainly padded."""

import keras
import numpy as np

from keras_deep_rnn import DeepTransitionRNN, DeepTransitionRNNCell
from keras_deep_rnn.data import load
from keras_deep_rnn.data.batching import PieceBatches
from keras_deep_rnn.training.networks import preset

from .network import RATE, naive, ours

SEQUENCES = 256  # of the random data


class PaddedBatches(PieceBatches):
    """Batches of sequences in random order, padded to the longest of each batch."""

    def __len__(self):
        return -(-len(self._pairs) // self.batch_size)

    def _batches(self):
        random = np.random.default_rng([self.seed, self.epoch if self.shuffle else 0])
        order = random.permutation(len(self._pairs))
        members = [order[i * self.batch_size :][: self.batch_size] for i in range(len(self))]
        batches = [(max(len(self._pairs[i][1]) for i in some), some) for some in members]
        # As in `PieceBatches`, the first two differ in length: `fit` takes for fixed what they
        # share.
        other = next((i for i, (length, _) in enumerate(batches) if length != batches[0][0]), 0)
        batches[1], batches[other or 1] = batches[other or 1], batches[1]
        return batches


def pieces(case):
    """The sequences: Nottingham's training set, or random ones with lengths from T/4 to T."""
    if case.data != "random":
        return load("nottingham", manual_dir=case.data, progress=False).splits["train"]
    rng = np.random.default_rng(case.seed)
    lengths = rng.integers(case.T // 4, case.T + 1, SEQUENCES)
    return [(rng.random((length, case.D)) < 0.05).astype("uint8") for length in lengths]


def make(name, case):
    """A function that trains one epoch and gives the loss.

    Args:
        name: "ours" or "naive", then ", buckets" or ", padded".
        case: The case. On Nottingham the network has the sizes of the paper's table 1, and each
            epoch shuffles anew, so that padded batches have ever new lengths. On random data the
            lengths stay, so that all is compiled in the first epoch.
    """
    who, how = name.split(", ")
    shuffle = case.data != "random"
    batches = {"buckets": PieceBatches, "padded": PaddedBatches}[how](
        pieces(case), case.B, kind="piano_roll", shuffle=shuffle, seed=case.seed
    )
    keras.utils.set_random_seed(case.seed)
    if shuffle:
        arguments = {**preset("nottingham", "dts_rnn"), "shortcut": True}
        layer = {
            "ours": lambda: DeepTransitionRNN(**arguments, return_sequences=True),
            "naive": lambda: keras.layers.RNN(
                DeepTransitionRNNCell(**arguments), return_sequences=True
            ),
        }[who]()
    else:
        layer = {"ours": ours, "naive": naive}[who](case)
    inputs = keras.Input((None, case.D), name="x")
    outputs = keras.layers.Dense(case.D, activation="sigmoid")(layer(inputs))
    model = keras.Model({"x": inputs}, outputs)
    loss = keras.losses.BinaryCrossentropy(reduction="mean_with_sample_weight")
    model.compile(keras.optimizers.SGD(RATE), loss)
    return lambda: model.fit(batches, verbose=0, shuffle=False).history["loss"][0]
