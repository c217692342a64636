"""Whatever is done to an archive: it is refused by name or unpacks to its bytes, and no trace."""

import io
import tarfile
import warnings
import zipfile

import pytest
from archive_files import KINDS, TAR_MODES, content_of, tar_info, write_archive, write_tar, zip_info
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from mutations import emptied, flipped, mutated, truncated, with_wrong_header

from datasets_lib.download import archive_member
from datasets_lib.download.unpack import DamagedArchiveError, UnsafeArchiveError, unpack

FILES = {
    "set/a.png": bytes(range(256)) * 4,
    "set/ü/b.png": b"\x89PNG" * 100,
    "set/empty": b"",
    "set/labels.csv": b"image,label\n" * 60,
}
FOLDERS = ["set", "set/void"]
HOSTILE_NAMES = [
    "../out",
    "set/../../out",
    "/out",
    "C:\\out",
    "set\\out",
    "set/A.PNG",
    "set/a.png",
    "set/a.png/x",
    "SET/other",
    "set/u\u0308/b.png",
    "set/a\nb",
    "n" * 300,
    "set/" * 400 + "x",
]
LINKS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
TAR_HEADERS = range(2 * 512)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The bytes of an undamaged archive of each kind."""
    folder = tmp_path_factory.mktemp("originals")
    return {
        kind: write_archive(folder / kind, kind, FILES.items(), FOLDERS).read_bytes()
        for kind in KINDS
    }


@pytest.fixture
def places(tmp_path_factory):
    return lambda: tmp_path_factory.mktemp("place")


def damaged(content, kind):
    """Damage of the bytes; a plain tar has checksums of its headers alone."""
    if kind == "tar":
        return st.one_of(
            truncated(content),
            flipped(content, where=TAR_HEADERS),
            emptied(content),
            with_wrong_header(content),
        )
    return mutated(content)


def unpack_and_look(place, archive):
    """Whether it unpacked; nothing else may have happened either way."""
    store = place / "store"
    refusal = None
    try:
        unpack(archive, store / "target")
    except (UnsafeArchiveError, DamagedArchiveError) as error:
        refusal = str(error)
    assert sorted(path.name for path in place.iterdir()) == ["archive", "store"]
    if refusal is not None:
        assert str(archive) in refusal
        assert list(store.iterdir()) == []
        return False
    assert [path.name for path in store.iterdir()] == ["target"]
    assert content_of(store / "target") == FILES
    folders = [path.name for path in (store / "target").rglob("*") if path.is_dir()]
    assert sorted(folders) == ["set", "void", "ü"]
    return True


def thorough(examples):
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@thorough(140)
@given(data=st.data())
def test_damaged_bytes(originals, places, data):
    place = places()
    kind = data.draw(st.sampled_from(KINDS))
    archive = place / "archive"
    archive.write_bytes(data.draw(damaged(originals[kind], kind)))
    event("unpacked" if unpack_and_look(place, archive) else "refused")


@thorough(45)
@given(
    kind=st.sampled_from(KINDS),
    hostile=st.sampled_from([*HOSTILE_NAMES, *LINKS]),
    at=st.integers(0, len(FILES)),
)
def test_a_hostile_member_among_others(places, kind, hostile, at):
    place = places()
    write_with(place / "archive", kind, hostile, at)
    assert not unpack_and_look(place, place / "archive")


@thorough(15)
@given(kind=st.sampled_from(KINDS), order=st.permutations(list(FILES)))
def test_swapped_members(places, kind, order):
    place = places()
    swapped_files = [(name, FILES[name]) for name in order]
    write_archive(place / "archive", kind, swapped_files, FOLDERS)
    assert unpack_and_look(place, place / "archive")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_a_bomb_among_others(places, monkeypatch, kind):
    monkeypatch.setattr(archive_member, "_HARMLESS_BYTES", 1 << 20)
    place = places()
    files = {**FILES, "zeros": bytes(4 << 20)}
    write_archive(place / "archive", kind, files.items(), FOLDERS)
    assert not unpack_and_look(place, place / "archive")


def write_with(path, kind, hostile, at):
    """An archive that has a member more, with a hostile name or of a hostile type."""
    files = list(FILES.items())
    if isinstance(hostile, bytes):
        (write_zip_with_link if kind == "zip" else write_tar_with_link)(path, kind, hostile)
        return
    files.insert(at, (hostile, b"hostile"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a duplicate name in a zip
        if kind == "zip":
            write_archive(path, kind, files)
        else:
            write_tar(path, kind, files, form=tarfile.PAX_FORMAT)


def write_zip_with_link(path, kind, _hostile):
    write_archive(path, kind, FILES.items())
    info = zip_info("set/link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")


def write_tar_with_link(path, kind, hostile):
    with tarfile.open(path, TAR_MODES[kind]) as archive:
        for name, content in FILES.items():
            archive.addfile(tar_info(name, size=len(content)), io.BytesIO(content))
        archive.addfile(tar_info("set/link", hostile, link="set/a.png"))
