"""Hostile and broken archives: each is refused by name, and leaves nothing behind."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile

import pytest
from archive_files import KINDS, tar_info, write_archive, zip_info

from datasets_lib.download import archive_member
from datasets_lib.download.unpack import DamagedArchiveError, UnsafeArchiveError, unpack
from datasets_lib.layouts.category import DatasetError


@pytest.fixture
def refuses(tmp_path):
    """Asserts that an archive is refused for a reason and leaves nothing anywhere."""

    def check(archive, kind, reason, **options):
        target = tmp_path / "store/sub/set"
        before = sorted(tmp_path.iterdir())
        with pytest.raises(kind, match=reason) as error:
            unpack(archive, target, **options)
        assert isinstance(error.value, DatasetError)
        assert str(archive) in str(error.value)
        assert sorted((tmp_path / "store").rglob("*")) == [target.parent]
        assert sorted({*before, tmp_path / "store"}) == sorted(tmp_path.iterdir())

    return check


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "archive"


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../x", "a path out of its folder"),
        ("a/../../x", "a path out of its folder"),
        ("a/..", "a path out of its folder"),
        ("/x", "an absolute path"),
        ("//host/x", "an absolute path"),
        ("C:/x", "an absolute path"),
        ("c:x", "an absolute path"),
        ("..\\x", "a backslash"),
        ("a\\b", "a backslash"),
        ("a\nb", "a control character"),
        ("a\x7f", "a control character"),
        ("a\x1b[31m", "a control character"),
        ("a\x85b", "a control character"),
        ("n" * 256, "a name too long"),
        ("ÿ" * 128, "a name too long"),
        ("a/" * 600 + "x", "a path too long"),
    ],
)
def test_hostile_names(archive, refuses, kind, name, reason):
    if kind == "zip":
        write_archive(archive, kind, [("fine", b"1"), (name, b"2")])
    else:
        with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(tar_info("fine"))
            tar.addfile(tar_info(name))
    refuses(archive, UnsafeArchiveError, reason)


def test_a_name_with_a_nul(archive, refuses):
    write_archive(archive, "zip", [("a.png\0.exe", b"")])
    refuses(archive, UnsafeArchiveError, "a control character")


@pytest.mark.parametrize("marked", [True, False])
def test_a_zip_name_that_is_not_utf8(archive, refuses, marked):
    write_archive(archive, "zip", [("ÿÿ" if marked else "abcd", b"")])
    content = archive.read_bytes()
    name = "ÿÿ".encode() if marked else b"abcd"
    assert content.count(name) == 2
    archive.write_bytes(content.replace(name, b"\xff\xfe\xfd\xfc"))
    refuses(archive, UnsafeArchiveError, "not UTF-8")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_a_tar_name_that_is_not_utf8(archive, refuses, form):
    with tarfile.open(archive, "w", format=form, encoding="latin-1") as tar:
        tar.addfile(tar_info("ÿ" * (150 if form == tarfile.GNU_FORMAT else 5)))
    refuses(archive, UnsafeArchiveError, "not UTF-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "names",
    [
        ("x.png", "x.png"),
        ("x.png", "./x.png"),
        ("a/x.png", "a//x.png"),
        ("x.png", "X.PNG"),
        ("a/x.png", "A/y.png"),
        ("strasse", "straße"),
        ("\u00e9", "e\u0301"),
        ("\u03b1\u0345\u0301", "\u03b1\u0301\u0345"),
        ("x", "x/y"),
        ("x/y", "x"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_for_one_place(archive, refuses, kind, names):
    write_archive(archive, kind, [(name, name.encode()) for name in names])
    refuses(archive, UnsafeArchiveError, "for one place")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_zip_members_that_are_no_files(archive, refuses, kind):
    info = zip_info("link")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(info, "/etc/passwd")
    refuses(archive, UnsafeArchiveError, "no plain file")


@pytest.mark.parametrize("link", ["inside", "/etc/passwd", "../../x"])
@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_tar_members_that_are_no_files(archive, refuses, kind, link):
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tar_info("inside"))
        tar.addfile(tar_info("member", kind, link=link))
    refuses(archive, UnsafeArchiveError, "no plain file")


def test_a_long_link_in_a_gnu_tar(archive, refuses):
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tar_info("link", tarfile.SYMTYPE, link="x" * 200))
    refuses(archive, UnsafeArchiveError, "no plain file")


@pytest.mark.parametrize(
    ("scope", "headers"),
    [
        ("one", {"GNU.sparse.major": "1"}),
        ("all", {"path": "everything"}),
        ("all", {"size": "0"}),
    ],
)
def test_extended_headers_that_change_what_is_read(archive, refuses, scope, headers):
    options = {"pax_headers": headers} if scope == "all" else {}
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT, **options) as tar:
        info = tar_info("x")
        if scope == "one":
            info.pax_headers = headers
        tar.addfile(info)
    refuses(archive, UnsafeArchiveError, "an extended header with")


def test_a_huge_extended_header_is_not_read(archive, refuses):
    header = tar_info("x", tarfile.XHDTYPE, size=1 << 40)
    archive.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16))
    refuses(archive, UnsafeArchiveError, "a header of")


@pytest.mark.parametrize(
    "content",
    [b"9999 path=x\n", b"0 path=x\n", b"-5 path=x\n", b"x", b"11 path=xyz", b"9 pathxy\n"],
)
def test_a_broken_extended_header(archive, refuses, content):
    header = tar_info("x", tarfile.XHDTYPE, size=len(content)).tobuf()
    after = tar_info("y").tobuf() + bytes(1024)
    archive.write_bytes(header + content.ljust(512, b"\0") + after)
    refuses(archive, DamagedArchiveError, "cannot be read")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_bombs(archive, refuses, monkeypatch, kind):
    write_archive(archive, kind, [("zeros", bytes(8 << 20))])
    refuses(archive, UnsafeArchiveError, "more than the limit", limit_bytes=8 << 19)
    monkeypatch.setattr(archive_member, "_HARMLESS_BYTES", 1 << 20)
    refuses(archive, UnsafeArchiveError, "decompression bomb")


def test_a_bomb_behind_the_end_of_a_tar(archive, refuses, monkeypatch):
    monkeypatch.setattr(archive_member, "_HARMLESS_BYTES", 1 << 20)
    archive.write_bytes(gzip.compress(tar_info("x").tobuf() + bytes(8 << 20)))
    refuses(archive, UnsafeArchiveError, "decompression bomb")


def test_too_many_members(archive, refuses, monkeypatch):
    monkeypatch.setattr(archive_member, "_MOST_MEMBERS", 3)
    write_archive(archive, "tar", [(str(number), b"") for number in range(4)])
    refuses(archive, UnsafeArchiveError, "more than 3 members")


@pytest.mark.parametrize("flag", [0x1, 0x40])
def test_encrypted_members(archive, refuses, flag):
    write_archive(archive, "zip", [("x", b"secret")])
    content = bytearray(archive.read_bytes())
    for at in (6, content.index(b"PK\1\2") + 8):
        content[at : at + 2] = struct.pack("<H", flag)
    archive.write_bytes(content)
    refuses(archive, UnsafeArchiveError, "is encrypted")


def test_overlapping_members(archive, refuses):
    """Two names in the directory for the same bytes, as in the bombs of Fifield (2019)."""
    write_archive(archive, "zip", [("x", b"shared"), ("y", b"shared")])
    content = bytearray(archive.read_bytes())
    second = content.rindex(b"PK\1\2")
    content[second + 42 : second + 46] = bytes(4)
    archive.write_bytes(content)
    refuses(archive, UnsafeArchiveError, "members overlap")


def test_a_member_that_reaches_into_the_directory(archive, refuses):
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(zip_info("x"), b"stored")
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\1\2")
    content[directory + 20 : directory + 28] = struct.pack("<II", 16, 16)
    archive.write_bytes(content)
    refuses(archive, UnsafeArchiveError, "members overlap")


def test_a_declared_bomb_is_refused_before_anything_is_unpacked(archive, refuses):
    write_archive(archive, "zip", [("x", b"1"), ("y", bytes(9000))])
    seen = []
    options = {"limit_bytes": 9000, "progress": lambda *step: seen.append(step)}
    refuses(archive, UnsafeArchiveError, "more than the limit", **options)
    assert seen == []


def test_a_member_shorter_than_stated(archive, refuses):
    write_archive(archive, "zip", [("x", b"content")])
    content = bytearray(archive.read_bytes())
    size = content.index(b"PK\1\2") + 24
    content[size : size + 4] = struct.pack("<I", 8)
    archive.write_bytes(content)
    refuses(archive, DamagedArchiveError, "'x' has 7 bytes, not 8")


def test_fewer_members_than_stated(archive, refuses):
    write_archive(archive, "zip", [("x", b"")])
    content = bytearray(archive.read_bytes())
    content[-14:-10] = struct.pack("<HH", 2, 2)
    archive.write_bytes(content)
    refuses(archive, DamagedArchiveError, "it says that it has 2 members and has 1")


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_is_noticed(archive, refuses, kind):
    write_archive(archive, kind, [("x.png", bytes(range(256)) * 3), ("y.png", b"2")])
    content = archive.read_bytes()
    # The last of the blocks of zeros that end a plain tar say nothing more.
    whole = 512 + 1024 + 512 + 512 + 512 if kind == "tar" else len(content)
    for length in {*range(0, whole, 61), whole - 1}:
        archive.write_bytes(content[:length])
        refuses(archive, DamagedArchiveError, "found that it")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_changed_content_is_noticed(archive, refuses, kind):
    write_archive(archive, kind, [("x.png", bytes(range(256)) * 30)])
    content = bytearray(archive.read_bytes())
    content[len(content) // 2 - 20] ^= 1
    archive.write_bytes(content)
    refuses(archive, DamagedArchiveError, "cannot be read|breaks off")


def test_a_changed_checksum_behind_the_end_of_a_tar_is_noticed(archive, refuses):
    write_archive(archive, "tar.gz", [("x.png", b"1")])
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1
    archive.write_bytes(content)
    refuses(archive, DamagedArchiveError, "CRC")


def test_a_changed_header_between_two_members_is_noticed(archive, refuses):
    write_archive(archive, "tar", [("x.png", b"1"), ("y.png", b"2")])
    content = bytearray(archive.read_bytes())
    content[1024] ^= 1
    archive.write_bytes(content)
    refuses(archive, DamagedArchiveError, "bad checksum")


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_of_nothing(archive, refuses, kind):
    write_archive(archive, kind, [])
    refuses(archive, DamagedArchiveError, "holds nothing|neither a zip nor a tar")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"<!doctype HTML><title>Quota</title>", "an HTML page"),
        (b"Not found\n", "neither a zip nor a tar archive, and begins with b'Not found"),
        (bytes(2048), "neither a zip nor a tar"),
        (b"PK\3\4 and nothing more", "not a zip file"),
        (b"\x1f\x8b\x08", "breaks off|ended before"),
        (gzip.compress(b"text, not a tar"), "breaks off"),
        (gzip.compress(b"text, not a tar" * 100), "bad checksum|invalid header"),
        (b"Rar!\x1a\x07\x00", "neither a zip nor a tar"),
    ],
)
def test_what_is_no_archive(archive, refuses, content, reason):
    archive.write_bytes(content)
    refuses(archive, DamagedArchiveError, reason)


def test_a_compression_that_is_not_known(archive, refuses):
    write_archive(archive, "zip", [("x", b"1")])
    content = bytearray(archive.read_bytes())
    for at in (8, content.index(b"PK\1\2") + 10):
        content[at : at + 2] = struct.pack("<H", 9)
    archive.write_bytes(content)
    refuses(archive, DamagedArchiveError, "compression")


def test_a_folder_with_content(archive, refuses):
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(zip_info("folder/"), b"content")
    refuses(archive, DamagedArchiveError, "has content")


def test_names_that_differ_in_header_and_directory(archive, refuses):
    write_archive(archive, "zip", [("safe/", b""), ("x", b"1")])
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"safe/", b"same/", 1))
    refuses(archive, DamagedArchiveError, "differ")


def test_utf8_names_without_their_mark_are_understood(tmp_path):
    """As some systems write them."""
    buffer = io.BytesIO()
    write_archive(buffer, "zip", [("abcd.png", b"1")])
    (tmp_path / "a.zip").write_bytes(buffer.getvalue().replace(b"abcd", "ÿÿ".encode()))
    unpack(tmp_path / "a.zip", tmp_path / "set")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["ÿÿ.png"]
