"""Archives of a set of several: each is placed on its own, in any order."""

import pytest
from archive_files import write_archive
from dataset_files import write_real_iad
from folder_content import content_of

from datasets_lib.discover import recognize
from datasets_lib.download.place import Piece, place
from datasets_lib.layouts.category import DatasetError
from datasets_lib.sets import real_iad


@pytest.fixture
def piece(tmp_path):
    """Return a function that packs files as an archive of Real-IAD."""
    by_file = {archive.file: archive for archive in real_iad.ENTRY.archives}

    def pack(name, files):
        (tmp_path / "archives").mkdir(exist_ok=True)
        archive = write_archive(tmp_path / "archives" / name, "zip", files.items())
        return Piece(archive, by_file[name])

    return pack


@pytest.fixture
def pieces(tmp_path, piece):
    """Return a function that packs a tiny Real-IAD, its splits below a folder in their archive."""
    write_real_iad(tmp_path / "source", nested=False)
    images = content_of(tmp_path / "source/realiad_1024")
    splits = content_of(tmp_path / "source/realiad_jsons")

    def pack(top):
        return [
            piece("realiad_jsons.zip", {top + name: data for name, data in splits.items()}),
            piece("audiojack.zip", images),
        ]

    return pack


@pytest.mark.parametrize("top", ["", "realiad_jsons/", "realiad_jsons/realiad_jsons/"])
@pytest.mark.parametrize("order", [1, -1])
def test_splits_are_placed_before_or_after_the_images(tmp_path, pieces, top, order):
    for piece in pieces(top)[::order]:
        root = place("real_iad", [piece], tmp_path / "data")
    found = recognize(root)
    assert (found.name, list(found.categories)) == ("real_iad", ["audiojack"])
    category = real_iad.read("real_iad", "audiojack", found.categories["audiojack"])
    assert (len(category.train), len(category.test)) == (3, 3)


def test_all_at_once_gives_the_same(tmp_path, pieces):
    place("real_iad", pieces("realiad_jsons/"), tmp_path / "once")
    for piece in pieces("realiad_jsons/"):
        place("real_iad", [piece], tmp_path / "twice")
    assert content_of(tmp_path / "once/real_iad") == content_of(tmp_path / "twice/real_iad")


def test_an_archive_of_other_contents_is_refused(tmp_path, piece):
    other = piece("realiad_jsons.zip", {"realiad_jsons/readme.txt": b"no splits"})
    with pytest.raises(DatasetError, match="is not Real-IAD"):
        place("real_iad", [other], tmp_path / "data")
    assert not (tmp_path / "data/real_iad").exists()
