import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torchvision
from cifar_files import batch, pickled, write_cifar10, write_cifar100
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import edited

from datasets_lib.discover import find_datasets
from datasets_lib.layouts.category import DatasetError
from datasets_lib.resolve import resolve_callable
from datasets_lib.sets.cifar import CIFAR10_LAYOUT, CIFAR100_LAYOUT

pytestmark = [
    # NumPy 2's warning when torchvision itself reads Python 2's pickles.
    pytest.mark.filterwarnings("ignore:dtype\\(\\).*align"),
    pytest.mark.filterwarnings("ignore:numpy.core"),
]


def torchvision_reads(base, root, folder):
    """Torchvision's reader without the checksums of the official files."""
    unchecked = {
        "base_folder": folder,
        "train_list": [[name, None] for name, _ in base.train_list],
        "test_list": [[name, None] for name, _ in base.test_list],
        "meta": {**base.meta, "md5": None},
    }
    cls = type(base.__name__, (base,), unchecked)
    return cls(root, train=True), cls(root, train=False)


@pytest.mark.parametrize(
    ("write", "read", "base", "folder"),
    [
        (write_cifar10, CIFAR10_LAYOUT.read, torchvision.datasets.CIFAR10, "cifar-10-batches-py"),
        (write_cifar100, CIFAR100_LAYOUT.read, torchvision.datasets.CIFAR100, "cifar-100-python"),
    ],
    ids=["cifar10", "cifar100"],
)
def test_reads_what_torchvision_reads(tmp_path, write, read, base, folder):
    write(tmp_path / folder)
    ours = read(tmp_path)
    for split, theirs in zip(
        (ours.train, ours.test), torchvision_reads(base, tmp_path, folder), strict=True
    ):
        np.testing.assert_array_equal(split.images, theirs.data)
        assert split.labels.tolist() == theirs.targets
        assert split.classes == tuple(theirs.classes)
        assert len(split.names) == len(set(split.names)) == len(split) == len(theirs)
        assert split.images.flags.c_contiguous


@pytest.mark.parametrize(
    ("write", "folder", "name"),
    [
        (write_cifar10, "cifar10", "cifar10"),
        (write_cifar10, "cifar10/cifar-10-batches-py", "cifar10"),
        (write_cifar100, "cifar-100-python", "cifar100"),
    ],
)
def test_is_found_where_its_archive_may_have_put_it(tmp_path, write, folder, name):
    write(tmp_path / "data" / folder)
    [(found, dataset)] = find_datasets([tmp_path / "data"]).items()
    assert (found, dataset.categories) == (name, {})
    assert len(resolve_callable(dataset.reader)(dataset.root).train) >= 15


def test_a_folder_of_that_name_without_its_files_is_no_cifar(tmp_path):
    (tmp_path / "cifar100" / "train").mkdir(parents=True)
    assert find_datasets([tmp_path]) == {}
    with pytest.raises(DatasetError, match="does not hold cifar100: wanted the file meta"):
        CIFAR100_LAYOUT.read(tmp_path / "cifar100")


def test_a_name_used_twice_is_numbered(tmp_path):
    folder = write_cifar10(tmp_path / "cifar10")
    twice = batch([0, 1], filenames=[b"a.png", b"a.png"])
    (folder / "test_batch").write_bytes(pickled(twice))
    assert CIFAR10_LAYOUT.read(folder).test.names == ("test/a.png", "test/a.png#2")


def test_column_major_pixels_are_the_same_pixels(tmp_path):
    folder = write_cifar10(tmp_path / "cifar10")
    straight = CIFAR10_LAYOUT.read(folder).test.images
    content = batch(range(4), seed=9)
    content[b"data"] = np.asfortranarray(content[b"data"])
    data = pickled(content)
    assert data != (folder / "test_batch").read_bytes()
    (folder / "test_batch").write_bytes(data)
    np.testing.assert_array_equal(CIFAR10_LAYOUT.read(folder).test.images, straight)


def test_names_of_numpy_2_are_understood(tmp_path):
    folder = write_cifar10(tmp_path / "cifar10")
    straight = CIFAR10_LAYOUT.read(folder).test.images
    data = (folder / "test_batch").read_bytes()
    (folder / "test_batch").write_bytes(data.replace(b"numpy.core.", b"numpy._core."))
    np.testing.assert_array_equal(CIFAR10_LAYOUT.read(folder).test.images, straight)


REFUSED = {
    "empty": (b"", "Ran out of input"),
    "no pickle": (b"no pickle", "UnpicklingError"),
    "a list": (pickled([1, 2]), "a dictionary, found a list"),
    "no data": (pickled(batch([0], data=None)), "'data' as NoneType"),
    "data no array": (pickled(batch([0], data=[1])), "'data' as list"),
    "float": (pickled(batch([0], data=np.zeros((1, 3072), np.float32))), "float32"),
    "signed": (pickled(batch([0], data=np.zeros((1, 3072), np.int8))), "int8"),
    "narrow": (pickled(batch([0], data=np.zeros((1, 3071), np.uint8))), r"\(1, 3071\)"),
    "deep": (pickled(batch([0], data=np.zeros((1, 3, 1024), np.uint8))), r"\(1, 3, 1024\)"),
    "no images": (pickled(batch([], data=np.zeros((0, 3072), np.uint8))), r"\(0, 3072\)"),
    "short data": (pickled(batch([0])).replace(b"M\x00\x0c", b"M\x01\x0c"), "ValueError"),
    "no labels": (pickled(batch([0], labels=None)), "'labels' as a list of numbers, found nothing"),
    "text labels": (pickled(batch([0], labels=[b"0"])), "found a list of something else"),
    "few labels": (pickled(batch([0, 1], labels=[0])), "2 images, 1 labels and 2 names"),
    "few names": (pickled(batch([0, 1], filenames=[b"a"])), "2 images, 2 labels and 1 names"),
    "high label": (pickled(batch([0, 4])), "labels from 0 to 3, found labels from 0 to 4"),
    "negative label": (pickled(batch([-1, 0])), "found labels from -1 to 0"),
    "no names": (pickled(batch([0], filenames=None)), "'filenames' as a list of names"),
    "odd names": (pickled(batch([0], filenames=[b"\xff"])), "can't decode"),
}


@pytest.mark.parametrize(("data", "found"), REFUSED.values(), ids=REFUSED)
def test_refuses_by_name_what_is_no_batch(tmp_path, data, found):
    folder = write_cifar10(tmp_path / "cifar10")
    (folder / "data_batch_3").write_bytes(data)
    with pytest.raises(DatasetError, match=found) as raised:
        CIFAR10_LAYOUT.read(folder)
    message = str(raised.value)
    assert str(folder / "data_batch_3") in message
    assert "wanted" in message
    assert "Replace it" in message


@pytest.mark.parametrize("file", ["data_batch_5", "test_batch"])
def test_a_missing_file_is_named(tmp_path, file):
    folder = write_cifar10(tmp_path / "cifar10")
    (folder / file).unlink()
    with pytest.raises(DatasetError, match=f"{file} cannot be read: No such file"):
        CIFAR10_LAYOUT.read(folder)


class Touch:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_runs_nothing_that_a_file_says(tmp_path):
    folder, victim = write_cifar10(tmp_path / "cifar10"), tmp_path / "victim"
    module = b"c" + b"builtins\nopen\n"
    call = b"\x80\x02" + module + b"U" + bytes([len(str(victim))]) + str(victim).encode()
    hostile = [pickle.dumps({b"data": Touch(victim)}, protocol) for protocol in range(6)]
    hostile += [
        call + b"U\x01w\x86R.",
        b"\x80\x02cnumpy\nload\nU\x01a\x85R.",  # a name of NumPy that is no part of an array
        b"\x80\x02(ibuiltins\nopen\n.",
        b"\x80\x02(cbuiltins\nopen\nU\x01wo.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02U\x01aQ.",  # a persistent id
    ]
    for data in hostile:
        (folder / "data_batch_1").write_bytes(data)
        with pytest.raises(DatasetError, match="data_batch_1 cannot be used"):
            CIFAR10_LAYOUT.read(folder)
        assert not victim.exists()
    (folder / "data_batch_1").write_bytes(pickled(batch([0])))
    assert len(CIFAR10_LAYOUT.read(folder).train) == 13  # and nothing stays behind


@settings(
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_a_damaged_file_is_named_or_reads_as_well_formed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cifar") / "cifar10"
    write_cifar10(folder)
    path = folder / data.draw(st.sampled_from(["data_batch_2", "test_batch", "batches.meta"]))
    content = path.read_bytes()
    # The pixels are most of the bytes: aim at the rest as often.
    edge = st.sampled_from([at for at in range(len(content)) if at < 300 or at > len(content) - 90])
    places = st.one_of(edge, st.integers(0, len(content) - 1))
    path.write_bytes(data.draw(edited(content, places, longest=9)))
    try:
        read = CIFAR10_LAYOUT.read(folder)
    except DatasetError:
        return
    for split, count in ((read.train, 15), (read.test, 4)):
        assert split.images.shape == (count, 32, 32, 3)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert len(split.labels) == len(set(split.names)) == count
        assert split.labels.min() >= 0
        assert split.labels.max() < len(split.classes)


@pytest.mark.slow
@pytest.mark.real_data
def test_real_cifar100_has_its_published_statistics(real_data, tmp_path):
    unpack = real_data / "cifar100" / "unpack.py"
    subprocess.run([sys.executable, str(unpack), str(tmp_path)], check=True)
    tracemalloc.start()
    cifar = CIFAR100_LAYOUT.read(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    train, test = cifar.train, cifar.test
    assert (len(train), len(test), len(cifar.classes)) == (50_000, 10_000, 100)
    assert np.bincount(train.labels).tolist() == [500] * 100
    assert np.bincount(test.labels).tolist() == [100] * 100
    pixels = train.images.reshape(-1, 3)
    histograms = np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)])
    levels = np.arange(256) / 255
    mean = histograms @ levels / len(pixels)
    deviation = np.sqrt(histograms @ levels**2 / len(pixels) - mean**2)
    np.testing.assert_array_equal(mean.round(4), [0.5071, 0.4865, 0.4409])
    np.testing.assert_array_equal(deviation.round(4), [0.2673, 0.2564, 0.2762])
    # This copy is sorted by class: a loop that forgets to shuffle sees one class per batch.
    assert (np.diff(train.labels) >= 0).all()
    assert cifar.classes[train.labels[0]] in train.names[0]
    # The pickle's bytes and the images made of them, once each, for all of train and test.
    assert peak < 2 * 60_000 * 3072 + 30e6
