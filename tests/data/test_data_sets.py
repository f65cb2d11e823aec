"""Named data sets: published numbers, checksums, downloads and manual downloads."""

import dataclasses
import functools
import hashlib
import http.server
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from keras_deep_rnn import data
from keras_deep_rnn.data import catalogue, files, pickle_files
from keras_deep_rnn.data.builders import penn_treebank, polyphonic
from keras_deep_rnn.data.dataset import VERSION
from keras_deep_rnn.utils.errors import UserError

SPLITS = ("train", "validation", "test")


def object_array(pieces):
    """What MATLAB calls a cell array."""
    cells = np.empty((1, len(pieces)), object)
    cells[0] = [None] * len(pieces)
    for i, piece in enumerate(pieces):
        cells[0, i] = piece
    return cells


def random_splits(seed=0):
    random = np.random.default_rng(seed)
    return {
        split: [random.integers(0, 2, (length, 88)).astype("uint8") for length in lengths]
        for split, lengths in zip(SPLITS, [(9, 4, 12), (5, 3), (6, 7)], strict=True)
    }


def write_mat(path, splits):
    cells = {
        key: object_array(splits[s]) for s, key in zip(SPLITS, polyphonic.MAT_KEYS, strict=True)
    }
    scipy.io.savemat(path, cells, do_compression=True)


def frames_sha256(splits):
    return hashlib.sha256(b"".join(p.tobytes() for s in SPLITS for p in splits[s])).hexdigest()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """`nottingham` with a small file of its own, in `folder`; returns (folder, splits)."""
    folder = tmp_path / "manual"
    folder.mkdir()
    splits = random_splits()
    write_mat(folder / "Nottingham.mat", splits)
    entry = catalogue.ENTRIES["nottingham"]
    file = dataclasses.replace(entry.files[0], sha256=files.sha256(folder / "Nottingham.mat"))
    entry = dataclasses.replace(
        entry, files=(file,), sizes=(3, 2, 2), frames_sha256=frames_sha256(splits)
    )
    monkeypatch.setitem(catalogue.ENTRIES, "nottingham", entry)
    return folder, splits


def assert_same(dataset, splits):
    for split in SPLITS:
        assert len(dataset.splits[split]) == len(splits[split])
        for one, other in zip(dataset.splits[split], splits[split], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "pieces", "frames", "train_lengths"),
    [
        ("jsb_chorales", (229, 76, 77), (13807, 4602, 4725), (25, 57, 129)),
        ("nottingham", (694, 173, 170), (176561, 45513, 44463), (40, 255, 1788)),
        ("musedata", (524, 135, 124), (245202, 82755, 64339), (9, 237, 3457)),
    ],
)
def test_published_music(name, pieces, frames, train_lengths, data_path, tmp_path):
    dataset = data.load(name, manual_dir=data_path, data_dir=tmp_path, progress=False)
    assert tuple(len(dataset.splits[split]) for split in SPLITS) == pieces
    assert tuple(sum(map(len, dataset.splits[split])) for split in SPLITS) == frames
    lengths = [len(piece) for piece in dataset.splits["train"]]
    assert (min(lengths), int(np.median(lengths)), max(lengths)) == train_lengths
    (file,) = catalogue.ENTRIES[name].files
    assert dataset.checksum == file.sha256
    assert_same(
        dataset, polyphonic.read_mat(files.manual_files(catalogue.ENTRIES[name], data_path)[0])
    )


def test_published_text(data_path, tmp_path):
    tokens = {"ptb_char": (5017482, 393042, 442423), "ptb_word": (929589, 73760, 82430)}
    for name, counts in tokens.items():
        dataset = data.load(name, manual_dir=data_path, data_dir=tmp_path, progress=False)
        assert tuple(len(dataset.splits[split][0]) for split in SPLITS) == counts
        assert dataset.features == {"ptb_char": 50, "ptb_word": 10_000}[name]
        assert dataset.splits["train"][0].dtype == np.int32
        counts = np.bincount(dataset.splits["train"][0], minlength=dataset.features)
        nats = unigram_nats(counts, dataset.splits["test"][0])
        # The unigram of the training split, without smoothing, on the test split.
        if name == "ptb_char":
            assert nats / np.log(2) == pytest.approx(4.346, abs=0.001)
        else:
            assert np.exp(nats) == pytest.approx(639.3, abs=0.1)


def unigram_nats(counts, tokens):
    return -np.log(counts[tokens] / counts.sum()).mean()


def test_text_reads_back(data_path, tmp_path):
    dataset = data.load("ptb_char", manual_dir=data_path, data_dir=tmp_path, progress=False)
    text = "".join(dataset.vocabulary[i] for i in dataset.splits["test"][0])
    paths = files.manual_files(catalogue.ENTRIES["ptb_char"], data_path)
    assert text == "\n".join(line.strip() for line in paths[2].read_text().split("\n"))
    assert dataset.vocabulary[dataset.start] == "\n"


def test_tokens_of_sentences(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, text in zip(paths, (" a bc \n a \n", " bc \n", " a a \n"), strict=True):
        path.write_text(text)
    splits, vocabulary = penn_treebank.read(paths, "characters")
    assert ["".join(vocabulary[i] for i in splits[s][0]) for s in SPLITS] == [
        "a bc\na\n",
        "bc\n",
        "a a\n",
    ]
    splits, vocabulary = penn_treebank.read(paths, "words")
    assert vocabulary == ["<eos>", "a", "bc"]
    assert splits["train"][0].tolist() == [1, 2, 0, 1, 0]


def test_a_name_as_a_path(small, tmp_path):
    folder, splits = small
    dataset = data.load(Path("nottingham"), manual_dir=folder, data_dir=tmp_path, progress=False)
    assert_same(dataset, splits)
    with pytest.raises(UserError, match="got 'notingham'; did you mean 'nottingham'"):
        data.load(Path("notingham"))


def test_manual_files_are_prepared_once(small, tmp_path):
    folder, splits = small
    made = data.load(
        "nottingham", manual_dir=folder.parent, data_dir=tmp_path / "p", progress=False
    )
    again = data.load("nottingham", data_dir=tmp_path / "p", progress=False)
    for dataset in (made, again):
        assert_same(dataset, splits)
        assert dataset.checksum == files.sha256(folder / "Nottingham.mat")
        assert dataset.splits["train"][0].dtype == np.uint8


def test_tfds_alone(small, tmp_path):
    """A user of TFDS alone gets the same, with the file in its folder for manual downloads."""
    import tensorflow_datasets as tfds

    import keras_deep_rnn.data.builders.builders  # noqa: F401

    folder, splits = small
    builder = tfds.builder("nottingham", data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    source = builder.as_data_source("train")
    for example, piece in zip(source, splits["train"], strict=True):
        np.testing.assert_array_equal(example["sequence"], piece)


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def online(small, monkeypatch):
    """The small `nottingham` behind an address; returns (folder served, splits)."""
    folder, splits = small
    handler = functools.partial(Files, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        entry = catalogue.ENTRIES["nottingham"]
        url = f"http://127.0.0.1:{server.server_port}/Nottingham.mat"
        file = dataclasses.replace(entry.files[0], url=url)
        monkeypatch.setitem(
            catalogue.ENTRIES, "nottingham", dataclasses.replace(entry, files=(file,))
        )
        yield folder, splits
        server.shutdown()


def test_online(online, tmp_path):
    _, splits = online
    assert_same(data.load("nottingham", data_dir=tmp_path, progress=False), splits)


def test_a_corrupt_download_is_not_cached(online, tmp_path):
    folder, splits = online
    good = (folder / "Nottingham.mat").read_bytes()
    (folder / "Nottingham.mat").write_bytes(good[:-100])
    with pytest.raises(UserError, match="expected sha256"):
        data.load("nottingham", data_dir=tmp_path, progress=False)
    (folder / "Nottingham.mat").write_bytes(good)
    assert_same(data.load("nottingham", data_dir=tmp_path, progress=False), splits)


def test_not_found_online(online, tmp_path):
    (online[0] / "Nottingham.mat").unlink()
    with pytest.raises(
        UserError, match=r"answers 404.*Download manually: Nottingham\.mat from http"
    ):
        data.load("nottingham", data_dir=tmp_path, progress=False)


@pytest.mark.slow
def test_without_a_network_the_answer_comes_at_once(tmp_path, monkeypatch):
    """A server that accepts and then says nothing is the slowest of all networks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        entry = catalogue.ENTRIES["musedata"]
        url = f"http://127.0.0.1:{server.getsockname()[1]}/MuseData.mat"
        file = dataclasses.replace(entry.files[0], url=url)
        monkeypatch.setitem(
            catalogue.ENTRIES, "musedata", dataclasses.replace(entry, files=(file,))
        )
        begin = time.monotonic()
        with pytest.raises(UserError) as error:
            data.load("musedata", data_dir=tmp_path, progress=False)
        assert time.monotonic() - begin < 5
    line = str(error.value)
    assert "\n" not in line
    assert "Download manually: MuseData.mat" in line
    assert "`manual_dir` (--manual-dir)" in line


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:-9] + b"\1" + b[-8:]])
def test_a_corrupt_manual_file(small, tmp_path, damage):
    folder, _ = small
    data.load("nottingham", manual_dir=folder, data_dir=tmp_path / "p", progress=False)
    path = folder / "Nottingham.mat"
    path.write_bytes(damage(path.read_bytes()))
    for prepared in ("p", "new"):  # also where a good file was prepared before
        with pytest.raises(
            UserError, match=r"Nottingham\.mat is not the published Nottingham\.mat"
        ):
            data.load("nottingham", manual_dir=folder, data_dir=tmp_path / prepared, progress=False)


def test_no_manual_file(tmp_path):
    with pytest.raises(UserError, match=r"not in .*Download manually: ptb\.train\.txt from http"):
        data.load("ptb_word", manual_dir=tmp_path, data_dir=tmp_path, progress=False)
    with pytest.raises(
        UserError, match=r"`manual_dir` must be an existing folder, got '.*nowhere'"
    ):
        data.load("ptb_word", manual_dir=tmp_path / "nowhere", data_dir=tmp_path, progress=False)


def as_original_pickle(splits):
    """The bytes of a pickle as Python 2 and NumPy 1 wrote it: protocol 2, 8-bit strings."""
    put = bytearray(b"\x80\x02}(")
    for split, key in zip(SPLITS, polyphonic.PICKLE_KEYS, strict=True):
        put += b"U" + bytes([len(key)]) + key.encode() + b"]("
        for piece in splits[split]:
            put += b"]("
            for frame in piece:
                put += b"("
                for pitch in np.flatnonzero(frame) + 21:
                    put += b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02i8K\x00K\x01tR"
                    put += b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
                    put += b"U\x08" + struct.pack("<q", pitch) + b"tR"
                put += b"t"
            put += b"e"
        put += b"e"
    return bytes(put + b"u.")


def test_original_pickle(small, tmp_path):
    folder, splits = small
    (folder / "Nottingham.mat").unlink()
    (folder / "Nottingham.pickle").write_bytes(as_original_pickle(splits))
    assert_same(
        data.load("nottingham", manual_dir=folder, data_dir=tmp_path, progress=False), splits
    )


def test_pickle_of_other_pieces(small, tmp_path):
    folder, splits = small
    (folder / "Nottingham.mat").unlink()
    splits["test"][0][2, 5] ^= 1
    (folder / "Nottingham.pickle").write_bytes(as_original_pickle(splits))
    with pytest.raises(UserError, match="not the published nottingham: expected frames of sha256"):
        data.load("nottingham", manual_dir=folder, data_dir=tmp_path, progress=False)
    splits["test"].pop()
    (folder / "Nottingham.pickle").write_bytes(as_original_pickle(splits))
    with pytest.raises(UserError, match=r"expected \(3, 2, 2\) pieces"):
        data.load("nottingham", manual_dir=folder, data_dir=tmp_path, progress=False)


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code(small, tmp_path):
    folder, _ = small
    (folder / "Nottingham.mat").unlink()
    for module in ("", "numpy"):
        evil = Touch(tmp_path / "ran") if not module else np.random.default_rng
        (folder / "Nottingham.pickle").write_bytes(pickle.dumps({"train": evil}))
        with pytest.raises(UserError, match=r"it imports .*, which is not allowed\.$"):
            data.load("nottingham", manual_dir=folder, data_dir=tmp_path / "p", progress=False)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("cut", [0, 1, 30, 1000])
def test_a_pickle_cut_off(small, tmp_path, cut):
    _, splits = small
    path = tmp_path / "cut.pickle"
    path.write_bytes(as_original_pickle(splits)[:cut])
    with pytest.raises(UserError, match="Cannot read") as error:
        polyphonic.read_pickle(path)
    assert "\n" not in str(error.value)


def test_wrong_name():
    with pytest.raises(UserError, match="got 'jsb_chorale'; did you mean 'jsb_chorales'"):
        data.load("jsb_chorale")
    with pytest.raises(UserError, match="did you mean 'ptb_word'"):
        data.describe("ptb_words")
    with pytest.raises(UserError, match="`name` must be the name of a data set or a path, got 3"):
        data.load(3)


def test_data_dir_that_cannot_be_written(small, tmp_path):
    (tmp_path / "file").write_text("")
    expected = r"`data_dir` must be a folder in which nottingham can be prepared, got .*file': Not"
    with pytest.raises(UserError, match=expected):
        data.load("nottingham", manual_dir=small[0], data_dir=tmp_path / "file", progress=False)


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("write() failed: No space left on device; writing x\nmore lines"),
    ],
)
def test_full_disk(small, tmp_path, monkeypatch, error):
    from keras_deep_rnn.data.builders import builders

    def fail(self, sequences):
        raise error
        yield

    monkeypatch.setattr(builders.Nottingham, "_generate_examples", fail)
    with pytest.raises(UserError, match=r"can be prepared, got .*: No space left on device\.$"):
        data.load("nottingham", manual_dir=small[0], data_dir=tmp_path / "p", progress=False)
    monkeypatch.undo()
    assert not list((tmp_path / "p" / "nottingham").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_of_many_that_prepare_at_once_one_does(fails, small, tmp_path, monkeypatch, capfd):
    """The others wait and take what it has made; where it fails, the next one prepares."""
    from keras_deep_rnn.data.builders import builders

    original, begun, loaded, failed = builders.Nottingham._make, [], [], []

    def make(self, dl_manager):
        begun.append(self)
        time.sleep(0.3)  # while the others come
        if fails and len(begun) == 1:
            raise RuntimeError("killed")
        return original(self, dl_manager)

    def load():
        try:
            loaded.append(
                data.load(
                    "nottingham", manual_dir=small[0], data_dir=tmp_path / "p", progress=False
                )
            )
        except UserError as error:
            failed.append(str(error))

    monkeypatch.setattr(builders.Nottingham, "_make", make)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(begun), len(loaded), len(failed)) == ((2, 3, 1) if fails else (1, 4, 0))
    for dataset in loaded:
        assert_same(dataset, small[1])
    assert {path.name for path in (tmp_path / "p").iterdir()} == {"downloads", "nottingham"}
    waiting = f"nottingham is in use by process {os.getpid()} on "
    written = capfd.readouterr().err  # of several threads, so that lines may run together
    assert written.count(waiting) == 3
    assert written.count(", which prepares it: waiting for it.") == 3


def test_a_failure_without_a_message(small, tmp_path, monkeypatch):
    from keras_deep_rnn.data.builders import builders

    def fail(self, dl_manager):
        raise RuntimeError

    monkeypatch.setattr(builders.Nottingham, "_make", fail)
    with pytest.raises(UserError, match=r"can be prepared, got .*: RuntimeError\.$"):
        data.load("nottingham", manual_dir=small[0], data_dir=tmp_path / "p", progress=False)


def test_a_pickle_whose_error_has_many_lines(tmp_path, monkeypatch):
    def fail(path):
        raise ValueError("first\nsecond")

    monkeypatch.setattr(pickle_files, "load", fail)
    (tmp_path / "a.pickle").write_bytes(b"")
    with pytest.raises(UserError, match=r"under train, valid, test: first\.$"):
        polyphonic.read_pickle(tmp_path / "a.pickle")


def test_corrupt_prepared_data(small, tmp_path):
    data.load("nottingham", manual_dir=small[0], data_dir=tmp_path, progress=False)
    (record,) = (tmp_path / "nottingham").rglob("*-train.array_record*")
    record.write_bytes(record.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"is corrupt \(\w+\): delete this folder"):
        data.load("nottingham", data_dir=tmp_path, progress=False)


def test_describe(small, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert data.names()[0] == "bach_chorales"
    assert {data.describe(name)["name"] for name in data.names()} == set(data.names())
    before = data.describe("nottingham")
    assert before["folder"] == tmp_path / "nottingham" / VERSION
    assert not before["prepared"]
    assert data.load("nottingham", manual_dir=small[0], progress=False).version == VERSION
    assert data.describe("nottingham")["prepared"]


def test_importing_is_light():
    code = (
        "import keras_deep_rnn.data, sys\n"
        "keras_deep_rnn.data.describe('ptb_char')\n"
        "heavy = {'tensorflow_datasets', 'music21', 'pretty_midi'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("hidden", "name", "line"),
    [
        ("tensorflow_datasets", "jsb_chorales", "`tensorflow-datasets` is not installed: pip"),
        ("importlib_resources", "jsb_chorales", "pip install 'keras-deep-rnn[data]'"),
        ("array_record", "jsb_chorales", "pip install 'keras-deep-rnn[data]'"),
        ("music21", "bach_chorales", "pip install 'keras-deep-rnn[music]'"),
    ],
)
def test_missing_extra(hidden, name, line, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(UserError, match=re.escape(line)):
        data.load(name, data_dir=tmp_path, progress=False)
