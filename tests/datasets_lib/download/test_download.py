"""Downloading one file: it arrives complete, or the error says what went wrong."""

import errno
import hashlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from downloads import BODY, QUICK, SHA256, WHOLE, assert_whole, fetch
from scripted_server import Answer

from datasets_lib.download.fetch import DownloadError

pytestmark = pytest.mark.usefixtures("fresh_network")


def test_a_file_comes_whole_with_its_progress(serve, target):
    seen = []
    server = serve(WHOLE)
    found = fetch(
        server.url,
        target,
        checksum=SHA256,
        size=len(BODY),
        progress=lambda *step: seen.append(step),
    )
    assert found == target
    assert_whole(target)
    assert seen == sorted(set(seen))
    assert seen[-1] == (len(BODY), len(BODY))
    assert fetch(server.url, target, checksum=SHA256) == target
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "checksum",
    [SHA256, SHA256[:15], f"md5:{hashlib.md5(BODY).hexdigest()}"],
    ids=["sha256", "prefix", "md5"],
)
def test_checksums_of_each_kind_are_kept(serve, target, checksum):
    fetch(serve(WHOLE).url, target, checksum=checksum)
    other = target.with_name("other.bin")
    with pytest.raises(DownloadError, match=r"sent has the (sha256|md5) .*not .*discarded"):
        fetch(serve(replace(WHOLE, body=BODY[1:])).url, other, checksum=checksum)
    assert not other.exists()


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_passing_error_is_tried_again(serve, target, status):
    server = serve(Answer(status=status), Answer(status=status), WHOLE)
    fetch(server.url, target)
    assert_whole(target)


def test_a_server_may_ask_for_a_pause(serve, target):
    server = serve(Answer(status=429, headers={"Retry-After": "1"}), WHOLE)
    start = time.monotonic()
    fetch(server.url, target)
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_lasting_error_is_not_tried_again(serve, target, status):
    server = serve(Answer(status=status))
    with pytest.raises(DownloadError, match=rf"answered {status}.*{target.parent}"):
        fetch(server.url, target)
    assert len(server.requests) == 1
    assert not target.exists()


def test_fewer_bytes_than_announced_are_no_whole_file(serve, target):
    server = serve(replace(WHOLE, announced=len(BODY) + 1, ranges=False))
    with pytest.raises(DownloadError, match=r"broke off after 1,000,000 of 1,000,001 bytes"):
        fetch(server.url, target)
    assert not target.exists()


def test_a_length_left_out_is_made_up_for_by_the_stated_size(serve, target):
    unannounced = replace(WHOLE, announced=-1)
    cut = replace(unannounced, body=BODY[:-1])
    with pytest.raises(DownloadError, match="999,999 bytes, not 1,000,000"):
        fetch(serve(cut).url, target, size=len(BODY))
    seen = []
    fetch(
        serve(unannounced).url,
        target,
        size=len(BODY),
        progress=lambda *step: seen.append(step),
    )
    assert_whole(target)
    assert seen[-1] == (len(BODY), None)


def test_another_size_is_refused_before_the_transfer(serve, target):
    with pytest.raises(DownloadError, match="has 1,000,000 bytes, not 12"):
        fetch(serve(WHOLE).url, target, size=12)
    assert not target.exists()


def test_web_page_in_place_of_the_file_is_named(serve, target):
    server = serve(Answer(b"Please log in", kind="text/html; charset=utf-8"))
    with pytest.raises(DownloadError, match="HTML page"):
        fetch(server.url, target)
    assert len(server.requests) == 1
    assert not target.exists()


@pytest.mark.parametrize(
    ("first", "requests"),
    [
        (Answer(status=404), 1),
        (Answer(status=500), QUICK.attempts),
        (replace(WHOLE, body=BODY[::-1]), 1),
    ],
    ids=["missing", "failing", "other content"],
)
def test_a_bad_mirror_leads_to_the_next(serve, target, first, requests):
    bad, good = serve(first), serve(WHOLE)
    fetch([bad.url, good.url], target, checksum=SHA256)
    assert_whole(target)
    assert (len(bad.requests), len(good.requests)) == (requests, 1)


@pytest.mark.parametrize("url", ["nonsense", "ftp:///x", "http://127.0.0.1:99999/x", "gopher://x"])
def test_what_is_no_url_is_a_clear_error(target, url):
    with pytest.raises(DownloadError, match="Wanted to download"):
        fetch(url, target)


def test_a_malformed_checksum_is_a_mistake_of_the_caller(target):
    with pytest.raises(ValueError, match="cannot be understood"):
        fetch("http://127.0.0.1:9/x", target, checksum="sha1:0123456789")


@pytest.mark.parametrize(
    "wanted", [{"checksum": SHA256}, {"size": len(BODY)}], ids=["checksum", "size"]
)
def test_another_file_of_that_name_is_left_alone(serve, target, wanted):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    server = serve(WHOLE)
    with pytest.raises(DownloadError, match="found a file there that has"):
        fetch(server.url, target, **wanted)
    assert target.read_bytes() == b"mine"
    assert server.requests == []


def test_too_small_a_disk_is_noticed_before_the_transfer(serve, target, monkeypatch):
    usage = shutil.disk_usage(target.anchor)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DownloadError, match=r"disk is full \(1,000,000 bytes"):
        fetch(serve(WHOLE).url, target)
    assert not target.exists()


def test_a_disk_that_fills_up_is_a_clear_error_and_gone_on_from(serve, target, monkeypatch):
    open_path = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, chunk):
            if self.file.tell() + len(chunk) > 600_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(chunk)

    def open_full(path, mode="r", *rest, **options):
        file = open_path(path, mode, *rest, **options)
        return Full(file) if mode == "wb" else file

    server = serve(WHOLE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        with pytest.raises(DownloadError, match=r"the disk is full.*Make room"):
            fetch(server.url, target, checksum=SHA256)
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges[1].startswith("bytes=")


def test_a_folder_that_cannot_be_made_is_a_clear_error(serve, tmp_path):
    (tmp_path / "store").write_bytes(b"a file where the folder should be")
    with pytest.raises(DownloadError, match="Make its folder writable"):
        fetch(serve(WHOLE).url, tmp_path / "store/file.bin")
