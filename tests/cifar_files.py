"""CIFAR files as Python 2's cPickle wrote them: protocol 2, byte strings, everything memoised."""

import struct

import numpy as np


class Python2Pickler:
    """Writes the opcodes one by one, so that the reader is tested against another writer."""

    def __init__(self):
        self.out = bytearray(b"\x80\x02")
        self.memo = 0

    def put(self):
        self.memo += 1
        small = self.memo < 256
        self.out += b"q" + bytes([self.memo]) if small else b"r" + struct.pack("<I", self.memo)

    def value(self, value):
        if isinstance(value, bytes):
            small = len(value) < 256
            size = b"U" + bytes([len(value)]) if small else b"T" + struct.pack("<i", len(value))
            self.out += size + value
            self.put()
        elif isinstance(value, int):
            self.out += self._integer(value)
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, list):
            self.out += b"]"
            self.put()
            for start in range(0, len(value), 1000):  # cPickle's batches
                self._items([[item] for item in value[start : start + 1000]], b"a", b"e")
        else:
            self.out += b"}"
            self.put()
            self._items(list(value.items()), b"s", b"u")

    def _items(self, items, one, many):
        self.out += b"(" if len(items) > 1 else b""
        for item in items:
            for part in item:
                self.value(part)
        self.out += many if len(items) > 1 else one

    @staticmethod
    def _integer(value):
        if 0 <= value < 256:
            return b"K" + bytes([value])
        if 0 <= value < 65536:
            return b"M" + struct.pack("<H", value)
        return b"J" + struct.pack("<i", value)

    def _array(self, array):
        self.out += b"cnumpy.core.multiarray\n_reconstruct\n"
        self.put()
        self.out += b"cnumpy\nndarray\n"
        self.put()
        self.out += b"K\x00\x85"
        self.put()
        self.value(b"b")
        self.out += b"\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"(K\x01" + b"".join(self._integer(n) for n in array.shape)
        self.out += {1: b"\x85", 2: b"\x86", 3: b"\x87"}[array.ndim] + b"cnumpy\ndtype\n"
        self.put()
        self.value(array.dtype.str[1:].encode())
        self.out += b"K\x00K\x01\x87R"
        self.put()
        self.out += b"(K\x03U\x01" + array.dtype.str[:1].encode()
        self.out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        column_major = array.flags.fnc
        self.out += b"\x88" if column_major else b"\x89"
        self.value(array.tobytes("F" if column_major else "C"))
        self.out += b"tb"


def pickled(content):
    """The bytes of a pickle of dictionaries, lists, integers, byte strings and arrays."""
    pickler = Python2Pickler()
    pickler.value(content)
    return bytes(pickler.out) + b"."


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
