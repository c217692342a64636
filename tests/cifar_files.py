"""CIFAR files as Python 2's cPickle wrote them: protocol 2, strings of bytes."""

import io
import pickle
import struct

import numpy as np


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which Python 3 cannot do."""

    def save_string(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_string}  # noqa: RUF012


def pickled(content):
    """The bytes of a pickle of dictionaries, lists, integers, byte strings and arrays."""
    stream = io.BytesIO()
    _Python2Pickler(stream, protocol=2).dump(content)
    return stream.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def batch(labels, /, key=b"labels", seed=0, **other):
    """A batch's dictionary; ``other`` replaces entries by name, None drops one."""
    rng = np.random.default_rng([seed, len(labels)])
    content = {
        b"batch_label": b"training batch",
        key: list(labels),
        b"data": rng.integers(0, 256, (len(labels), 3072)).astype(np.uint8),
        b"filenames": [f"thing_s_{seed}{number:05d}.png".encode() for number in range(len(labels))],
    }
    content.update({name.encode(): value for name, value in other.items()})
    return {key: value for key, value in content.items() if value is not None}


def write_cifar10(folder, classes=4):
    """Five training batches of three images and a test batch of four, in the official layout."""
    folder.mkdir(parents=True)
    for number in range(1, 6):
        labels = [(number + place) % classes for place in range(3)]
        (folder / f"data_batch_{number}").write_bytes(pickled(batch(labels, seed=number)))
    (folder / "test_batch").write_bytes(pickled(batch(range(classes), seed=9)))
    names = [f"class{label}".encode() for label in range(classes)]
    meta = {b"num_cases_per_batch": 3, b"label_names": names, b"num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickled(meta))
    return folder


def write_cifar100(folder, classes=300):
    """Two images a class to train on, one to test on; labels need two bytes, memos four."""
    folder.mkdir(parents=True)
    coarse = {"coarse_labels": [0] * (2 * classes)}
    labels = [*range(classes), *range(classes)]
    (folder / "train").write_bytes(pickled(batch(labels, b"fine_labels", **coarse)))
    (folder / "test").write_bytes(pickled(batch(range(classes), b"fine_labels", seed=1)))
    names = [f"class{label}".encode() for label in range(classes)]
    meta = {b"fine_label_names": names, b"coarse_label_names": [b"thing"]}
    (folder / "meta").write_bytes(pickled(meta))
    return folder
