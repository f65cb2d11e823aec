"""TensorFlow Datasets builders of the data sets in the catalogue.

Importing this module registers them, so `tfds.load("jsb_chorales")` works too. Prepared data is in
ArrayRecord files, which `builder.as_data_source()` reads without TensorFlow.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow_datasets as tfds

from .. import files
from ..catalogue import ENTRIES, Entry
from ..dataset import KEYS, Splits
from ..dataset import VERSION as PREPARATION
from . import chorales, penn_treebank, polyphonic

Examples: TypeAlias = Iterator[tuple[int, dict[str, np.ndarray]]]
Facts: TypeAlias = dict[str, Any]


# TFDS is not annotated: the arguments of its classes are unknown to type checkers.
class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # pyright: ignore
    """Builder of one entry of the catalogue: its pieces, or its text, in order."""

    VERSION = tfds.core.Version(PREPARATION)
    RELEASE_NOTES = {PREPARATION: "First preparation."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "See docs/data.md: files are needed only without network access."
    progress = True

    def _info(self) -> tfds.core.DatasetInfo:
        entry = ENTRIES[self.name]
        if entry.kind == "piano_roll":
            sequence = tfds.features.Tensor(shape=(None, KEYS), dtype=np.uint8, encoding="zlib")
        else:
            sequence = tfds.features.Tensor(shape=(None,), dtype=np.int32, encoding="zlib")
        return self.dataset_info_from_configs(
            description=entry.title,
            features=tfds.features.FeaturesDict({"sequence": sequence}),
            citation=entry.citation,
            license=entry.licence,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        splits, facts = self._make(dl_manager)
        self.info.metadata.update(facts)
        return {split: self._generate_examples(sequences) for split, sequences in splits.items()}

    def _make(self, dl_manager: tfds.download.DownloadManager) -> tuple[Splits, Facts]:
        raise NotImplementedError

    def _generate_examples(self, sequences: list[np.ndarray]) -> Examples:
        for i, sequence in enumerate(sequences):
            yield i, {"sequence": sequence}

    def _paths(self, dl_manager: tfds.download.DownloadManager) -> list[Path]:
        entry = ENTRIES[self.name]
        try:
            paths = files.manual_files(entry, dl_manager.manual_dir)
        except AssertionError:  # the folder does not exist or is empty
            paths = None
        return paths or files.downloaded_files(entry, dl_manager.download)


class BachChorales(_Builder):
    """Bach's chorales from music21's corpus."""

    def _make(self, dl_manager: tfds.download.DownloadManager) -> tuple[Splits, Facts]:
        splits, checksum = chorales.build(self.progress)
        return splits, {"checksum": checksum}


class _Music(_Builder, skip_registration=True):  # pyright: ignore
    def _make(self, dl_manager: tfds.download.DownloadManager) -> tuple[Splits, Facts]:
        (path,) = self._paths(dl_manager)
        read = polyphonic.read_mat if path.suffix == ".mat" else polyphonic.read_pickle
        splits = read(path)
        files.verify_frames(path, ENTRIES[self.name], splits)
        return splits, {"checksum": files.sha256(path)}


class _Text(_Builder, skip_registration=True):  # pyright: ignore
    def _make(self, dl_manager: tfds.download.DownloadManager) -> tuple[Splits, Facts]:
        paths = self._paths(dl_manager)
        splits, vocabulary = penn_treebank.read(paths, ENTRIES[self.name].kind)
        return splits, {"checksum": files.combined_sha256(paths), "vocabulary": vocabulary}


class JsbChorales(_Music):
    """Bach's chorales in the split of the literature."""


class Nottingham(_Music):
    """Folk tunes with chords."""


class Musedata(_Music):
    """Orchestral and piano classics."""


class PianoMidi(_Music):
    """Classical piano."""


class PtbChar(_Text):
    """Penn Treebank, characters."""


class PtbWord(_Text):
    """Penn Treebank, words."""


def make(entry: Entry, data_dir: Path) -> tfds.core.DatasetBuilder:
    """Makes the builder of an entry of the catalogue, with prepared data in `data_dir`."""
    return tfds.builder_cls(entry.name)(data_dir=data_dir, file_format="array_record")
