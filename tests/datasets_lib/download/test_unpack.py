"""Archives unpack to their bytes, or are refused by name without writing outside the folder."""

import errno
import gzip
import os
import random
import stat
import tarfile
import zipfile

import pytest
from archive_files import (
    KINDS,
    tar_info,
    write_archive,
    write_tar,
    write_unmarked_zip,
    zip_info,
)
from folder_content import content_of
from full_disk import limit_file_size

from datasets_lib.download import unpack as unpack_module
from datasets_lib.download.unpack import ArchiveError, unpack
from datasets_lib.layouts.category import DatasetError

FILES = {
    "set/train/good/000.png": random.Random(0).randbytes(70_000),
    "set/train/good/ÿ → 界.png": b"name",
    "set/empty.csv": b"",
    "set/test/" + "long/" * 25 + "x.png": b"deep",
    "set/inner.zip": b"PK\3\4 not to be looked into",
}


@pytest.fixture
def folder(tmp_path):
    """The folder to fill."""
    folder = tmp_path / "store/set"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def refuses(tmp_path, folder):
    """Assert that an archive is refused for a reason and nothing is written outside the folder."""

    def check(archive, reason, kind=ArchiveError):
        before = sorted(tmp_path.iterdir())
        with pytest.raises(kind, match=reason) as error:
            unpack(archive, folder)
        assert isinstance(error.value, DatasetError)
        assert str(archive) in str(error.value)
        assert sorted(tmp_path.iterdir()) == before
        assert list(folder.parent.iterdir()) == [folder]

    return check


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_unpacks_to_the_same_bytes(tmp_path, folder, kind):
    # The format is detected from the content, not from the name.
    archive = write_archive(tmp_path / "archive", kind, FILES.items(), ["set", "set/void"])
    seen = []
    unpack(archive, folder, lambda *step: seen.append(step))
    assert content_of(folder) == FILES
    assert (folder / "set/void").is_dir()
    size = archive.stat().st_size
    assert seen == sorted(seen)
    assert seen[-1] == (size, size)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_every_tar_format(tmp_path, folder, form):
    files = {**FILES, "a" * 99 + "/" + "b" * 99: b"long"}
    write_tar(tmp_path / "a.tar", "tar", files.items(), [], form)
    unpack(tmp_path / "a.tar", folder)
    assert content_of(folder) == files


def test_utf8_names_without_their_mark_are_understood(tmp_path, folder):
    archive = write_archive(tmp_path / "a.zip", "zip", [("abcd.png", b"1")])
    archive.write_bytes(archive.read_bytes().replace(b"abcd", "ÿÿ".encode()))
    unpack(archive, folder)
    assert [path.name for path in folder.iterdir()] == ["ÿÿ.png"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a\\..\\x"])
def test_paths_out_of_the_folder_are_refused(tmp_path, refuses, kind, name):
    archive = write_archive(tmp_path / "archive", kind, [("fine", b"1"), (name, b"2")])
    refuses(archive, "the member .* has a path outside its folder")


def write_windows_zip(path, names):
    """A zip as some programs of Windows write it, with their own separator."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zip_info(name)
            info.create_system = 0
            archive.writestr(info, b"" if name.endswith("\\") else b"1")
    return path


def test_backslashes_of_windows_are_separators(tmp_path, folder):
    names = ["부품\\train\\good\\1.png", "부품\\test/2.png", "부품\\void\\"]
    unpack(write_windows_zip(tmp_path / "a.zip", names), folder)
    assert content_of(folder) == {"부품/train/good/1.png": b"1", "부품/test/2.png": b"1"}
    assert (folder / "부품/void").is_dir()


@pytest.mark.parametrize("name", ["a\\..\\..\\x", "\\x", "C:\\x", "c:a\\x", "\\\\server\\share\\x"])
def test_windows_paths_out_of_the_folder_are_refused(tmp_path, refuses, name):
    refuses(write_windows_zip(tmp_path / "a.zip", ["fine", name]), "has a path outside its folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("link", ["inside", "/etc/passwd"])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, refuses, kind, link):
    with tarfile.open(tmp_path / "archive", "w") as tar:
        tar.addfile(tar_info("inside"))
        tar.addfile(tar_info("member", kind, link=link))
    refuses(tmp_path / "archive", "'member' is not a regular file")


def test_links_in_a_zip_are_refused(tmp_path, refuses):
    info = zip_info("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "archive", "w") as zipped:
        zipped.writestr(info, "/etc/passwd")
    refuses(tmp_path / "archive", "'link' is not a regular file")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize(
    "files",
    [[("zeros", bytes(8 << 20))], [(str(number), b"") for number in range(4096)]],
    ids=["large", "many"],
)
def test_bombs_are_refused(tmp_path, refuses, monkeypatch, kind, files):
    monkeypatch.setattr(unpack_module, "_HARMLESS_BYTES", 1 << 20)
    monkeypatch.setattr(unpack_module, "_MAX_RATIO", 1)
    refuses(write_archive(tmp_path / "archive", kind, files), "decompression bomb")


def test_too_small_a_disk_is_a_clear_error(tmp_path, refuses, monkeypatch):
    usage = unpack_module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(unpack_module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    archive = write_archive(tmp_path / "archive", "zip", FILES.items())
    refuses(archive, "the disk is full.*Make room", DatasetError)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_up_meanwhile_is_a_clear_error(tmp_path, folder, kind, run_in_child):
    archive = write_archive(tmp_path / "a", kind, FILES.items())

    def run():
        # Writing beyond the limit fails as on a full disk, halfway through the first file.
        limit_file_size(50_000)
        unpack(archive, folder)

    with pytest.raises(DatasetError, match=r"Wanted to unpack.*File too large") as error:
        run_in_child(run)
    assert not isinstance(error.value, ArchiveError)  # the archive is intact: nobody deletes it


def test_a_full_disk_meanwhile_asks_for_room(tmp_path, folder, monkeypatch):
    archive = write_archive(tmp_path / "a", "tar", FILES.items())

    def fill(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "extract", fill)
    with pytest.raises(DatasetError, match=r"the disk is full.*Make room") as error:
        unpack(archive, folder)
    assert not isinstance(error.value, ArchiveError)


KOREAN = ["부품/너트/train/good/새 이미지.png", "부품/볼트/긁힘 (1).png"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
@pytest.mark.parametrize("kind", KINDS)
def test_names_of_korean_systems_are_understood(tmp_path, folder, kind, encoding):
    archive = tmp_path / "a"
    if kind == "zip":
        write_unmarked_zip(archive, [(name.encode(encoding), b"1") for name in KOREAN])
    else:
        write_tar(archive, kind, [(name, b"1") for name in KOREAN], encoding=encoding)
    unpack(archive, folder)
    assert content_of(folder) == dict.fromkeys(KOREAN, b"1")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_in_no_known_encoding_are_refused(tmp_path, refuses, kind):
    name, archive = b"a\xff\x20\x81.png", tmp_path / "a"
    if kind == "zip":
        write_unmarked_zip(archive, [(name, b"1")])
    else:
        write_tar(archive, kind, [(name.decode("latin-1"), b"1")], encoding="latin-1")
    refuses(archive, "neither UTF-8 nor CP949")


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_out_of_the_folder_are_refused_in_every_encoding(tmp_path, refuses, kind, encoding):
    name, archive = "부품/../../x", tmp_path / "a"
    if kind == "zip":
        write_unmarked_zip(archive, [(name.encode(encoding), b"1")])
    else:
        write_tar(archive, kind, [(name, b"1")], encoding=encoding)
    refuses(archive, "has a path outside its folder")


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_is_noticed(tmp_path, folder, kind):
    archive = write_archive(tmp_path / "a", kind, [("x.png", bytes(range(256)) * 3), ("y", b"2")])
    content = archive.read_bytes()
    # A plain tar ends with blocks of zeros, of which the first is enough.
    whole = 512 + 1024 + 512 + 512 + 512 if kind == "tar" else len(content)
    for length in {*range(0, whole, 61), whole - 1}:
        archive.write_bytes(content[:length])
        with pytest.raises(ArchiveError, match="damaged"):
            unpack(archive, folder)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_changed_content_is_noticed(tmp_path, refuses, kind):
    archive = write_archive(tmp_path / "a", kind, [("x.png", bytes(range(256)) * 30)])
    content = bytearray(archive.read_bytes())
    content[len(content) // 2 - 20] ^= 1
    archive.write_bytes(content)
    refuses(archive, "damaged")


def test_changed_header_between_two_members_is_noticed(tmp_path, refuses):
    archive = write_archive(tmp_path / "a", "tar", [("x.png", b"1"), ("y.png", b"2")])
    content = bytearray(archive.read_bytes())
    content[1024] ^= 1
    archive.write_bytes(content)
    refuses(archive, "bad header at byte 1,024")


def test_encrypted_members_are_refused(tmp_path, refuses):
    archive = write_archive(tmp_path / "a", "zip", [("x", b"secret")])
    content = bytearray(archive.read_bytes())
    for at in (6, content.index(b"PK\1\2") + 8):
        content[at] |= 1
    archive.write_bytes(content)
    refuses(archive, "encrypted")


@pytest.mark.parametrize(
    "content",
    [b"", b"<!doctype HTML>", bytes(2048), b"PK\3\4", gzip.compress(b"text" * 400, mtime=0)],
)
def test_what_is_no_archive_is_refused(tmp_path, refuses, content):
    (tmp_path / "a").write_bytes(content)
    refuses(tmp_path / "a", r"Get it again from its publisher; if it is your own, pack")


@pytest.mark.parametrize("kind", KINDS)
def test_empty_archive_is_refused(tmp_path, refuses, kind):
    refuses(write_archive(tmp_path / "a", kind, []), "holds nothing")


def test_missing_archive_is_not_to_be_deleted(tmp_path, refuses):
    refuses(tmp_path / "a.zip", "No such file", DatasetError)
