import contextlib
import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_server import Answer, ScriptedServer

from datasets_lib.fetch import network
from datasets_lib.fetch.download import DownloadError, Patience, download
from datasets_lib.layout import DatasetError

BODY = random.Random(0).randbytes(1_000_000)
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
WHOLE = Answer(BODY)
HALF = replace(WHOLE, drop_after=400_000)
QUICK = Patience(attempts=3, pause_seconds=0.01, stall_seconds=0.5)
YESTERDAY = "Sat, 01 Jan 2000 00:00:00 GMT"


@pytest.fixture(autouse=True)
def _fresh_network(monkeypatch):
    for name in network._OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(network, "_reachable", {})


@pytest.fixture
def serve():
    with contextlib.ExitStack() as stack:

        def start(*answers):
            server = ScriptedServer(*answers)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def target(tmp_path):
    return tmp_path / "store/file.bin"


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def fetch(urls, target, **options):
    return download(urls, target, patience=QUICK, **options)


def assert_whole(target):
    assert target.read_bytes() == BODY
    assert names(target) == ["file.bin"]


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
    with pytest.raises(DownloadError, match=r"sent has the (sha256|md5) .*not .*thrown away"):
        fetch(serve(replace(WHOLE, body=BODY[1:])).url, other, checksum=checksum)
    assert names(target) == ["file.bin"]


@pytest.mark.parametrize(
    "validator",
    [{}, {"etag": None, "modified": YESTERDAY}, {"etag": 'W/"v1"', "modified": YESTERDAY}],
    ids=["etag", "last-modified", "weak etag"],
)
def test_a_dropped_transfer_goes_on_where_it_stopped(serve, target, validator):
    server = serve(replace(HALF, **validator), replace(WHOLE, **validator))
    fetch(server.url, target)
    assert_whole(target)
    assert server.ranges == [None, "bytes=400000-"]
    assert server.requests[1][1]["If-Range"] == validator.get("modified", '"v1"')


def test_the_next_call_goes_on_too(serve, target):
    server = serve(HALF, replace(HALF, drop_after=100_000), Answer(status=503), WHOLE)
    with pytest.raises(DownloadError, match="goes on from what came") as error:
        fetch(server.url, target)
    assert isinstance(error.value, DatasetError)
    assert names(target) == ["file.bin.part", "file.bin.part.json"]
    fetch(server.url, target)
    assert_whole(target)
    assert server.ranges == [None, "bytes=400000-", "bytes=500000-", "bytes=500000-"]


OTHER = Answer(BODY[::-1], etag='"v2"')


@pytest.mark.parametrize(
    "second",
    [
        replace(OTHER, ranges=False),
        OTHER,
        replace(OTHER, heed_if_range=False),
        replace(OTHER, etag='"v1"', shift=-7),
        replace(OTHER, etag='"v1"', shift=7),
        replace(OTHER, etag='"v1"', body=BODY[::-1][:300_000]),
        replace(OTHER, etag='"v1"', body=BODY[::-1] + b"more"),
    ],
    ids=[
        "no ranges",
        "changed",
        "changed and a range all the same",
        "range too early",
        "range too late",
        "shorter now",
        "longer now",
    ],
)
def test_another_version_or_range_is_fetched_from_the_start(serve, target, second):
    server = serve(HALF, second, replace(second, shift=0))
    fetch(server.url, target)
    assert target.read_bytes() == second.body
    assert names(target) == ["file.bin"]


def test_pieces_that_do_not_belong_together_are_fetched_again(serve, target):
    lying = replace(WHOLE, body=bytes(len(BODY)))
    server = serve(replace(lying, drop_after=400_000), WHOLE)
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges == [None, "bytes=400000-", None]


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_version_nothing_is_gone_on_with(serve, target, etag):
    # One that changed within the second of its answer may change again within it.
    now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    server = serve(replace(HALF, etag=etag, modified=now))
    with pytest.raises(DownloadError, match=r"broke off after 400,000 of 1,000,000 bytes"):
        fetch(server.url, target)
    assert server.ranges == [None] * QUICK.attempts
    assert names(target) == []


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
    with pytest.raises(DownloadError, match="429"):
        download(
            serve(Answer(status=429, headers={"Retry-After": "3600"})).url,
            target.with_name("other"),
            patience=replace(QUICK, longest_pause_seconds=0.01),
        )
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_lasting_error_is_not_tried_again(serve, target, status):
    server = serve(Answer(status=status))
    with pytest.raises(DownloadError, match=rf"answered {status}.*{target.parent}"):
        fetch(server.url, target)
    assert len(server.requests) == 1
    assert names(target) == []


def test_a_stall_is_noticed_and_gone_on_from(serve, target):
    server = serve(replace(WHOLE, stall_after=300_000), WHOLE)
    fetch(server.url, target)
    assert_whole(target)
    assert server.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize("announced", [len(BODY) - 1, 10])
def test_more_bytes_than_announced_are_refused(serve, target, announced):
    with pytest.raises(DownloadError, match=rf"more than the {announced:,} bytes it announced"):
        fetch(serve(replace(WHOLE, announced=announced)).url, target)
    assert names(target) == []


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
    assert names(target) == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"Please log in", kind="text/html; charset=utf-8"),
        Answer(b"\n<!-- x -->\n<!DOCTYPE html>\n<title>Quota exceeded</title>"),
        Answer(b"<HTML lang=en>"),
    ],
)
def test_a_web_page_in_place_of_the_file_is_named(serve, target, answer):
    server = serve(answer)
    with pytest.raises(DownloadError, match="HTML page"):
        fetch(server.url, target)
    assert len(server.requests) == 1
    assert names(target) == []


@pytest.mark.parametrize(
    ("first", "requests"),
    [
        (Answer(status=404), 1),
        (Answer(status=500), QUICK.attempts),
        (replace(WHOLE, body=BODY[::-1]), 1),
        (Answer(b"<html>"), 1),
        (replace(WHOLE, announced=7), 1),
    ],
    ids=["missing", "failing", "other content", "web page", "lying"],
)
def test_a_bad_mirror_leads_to_the_next(serve, target, first, requests):
    bad, good = serve(first), serve(WHOLE)
    fetch([bad.url, good.url], target, checksum=SHA256)
    assert_whole(target)
    assert (len(bad.requests), len(good.requests)) == (requests, 1)


def test_the_mirror_that_sent_some_goes_on_with_it(serve, target):
    third = replace(WHOLE, drop_after=300_000)
    first, second = serve(Answer(status=404)), serve(*[third] * QUICK.attempts, WHOLE)
    with pytest.raises(DownloadError, match=r"404.*; the transfer of"):
        fetch([first.url, second.url], target)
    fetch([first.url, second.url], target)
    assert_whole(target)
    assert len(first.requests) == 1
    assert second.ranges[-1] == "bytes=900000-"


def test_another_mirrors_beginning_is_not_gone_on_with(serve, target):
    first, second = serve(HALF), serve(replace(WHOLE, body=BODY[::-1]))
    with pytest.raises(DownloadError):
        download(first.url, target, patience=Patience(attempts=1))
    fetch(second.url, target)
    assert second.ranges == [None]
    assert target.read_bytes() == BODY[::-1]


def test_redirects_are_followed_also_with_a_range(serve, target):
    real = serve(HALF, WHOLE)
    server = serve(Answer(status=302, headers={"Location": real.url}))
    fetch(server.url, target)
    assert_whole(target)
    assert real.ranges == [None, "bytes=400000-"]


def test_a_local_mirror_needs_no_network(tmp_path, target, monkeypatch):
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    source = tmp_path / "source.bin"
    with pytest.raises(DownloadError, match=r"file://.*could not be opened"):
        fetch(source.as_uri(), target)
    source.write_bytes(BODY)
    fetch(source.as_uri(), target, checksum=SHA256)
    assert_whole(target)


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
    with pytest.raises(DownloadError, match=r"disk is full \(it needs 1,000,000 .* 1,000 are free"):
        fetch(serve(WHOLE).url, target)
    assert names(target) == []


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
        return Full(file) if mode == "ab" else file

    server = serve(WHOLE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        with pytest.raises(DownloadError, match=r"the disk is full.*Make room"):
            fetch(server.url, target)
    fetch(server.url, target)
    assert_whole(target)
    assert server.ranges[1].startswith("bytes=")


def test_a_folder_that_cannot_be_made_is_a_clear_error(serve, tmp_path):
    (tmp_path / "store").write_bytes(b"a file where the folder should be")
    with pytest.raises(DownloadError, match="Make its folder writable"):
        fetch(serve(WHOLE).url, tmp_path / "store/file.bin")


CHILD = """
import sys
from pathlib import Path
from datasets_lib.fetch.download import Patience, download
download(sys.argv[1], Path(sys.argv[2]), patience=Patience(stall_seconds=60))
"""


def start_child(url, target):
    return subprocess.Popen([sys.executable, "-c", CHILD, url, str(target)])


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_process_leaves_what_the_next_goes_on_with(serve, target):
    server = serve(replace(WHOLE, stall_after=300_000), WHOLE)
    part = target.with_name("file.bin.part")
    child = start_child(server.url, target)
    try:
        wait_for(lambda: part.exists() and part.stat().st_size == 300_000)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert names(target) == ["file.bin.part", "file.bin.part.json"]
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges == [None, "bytes=300000-"]


def test_a_process_killed_before_the_renaming_has_it_all(serve, target):
    server = serve(replace(HALF, drop_after=len(BODY) - 1))
    with pytest.raises(DownloadError):
        download(server.url, target, patience=Patience(attempts=1))
    with target.with_name("file.bin.part").open("ab") as part:
        part.write(BODY[-1:])
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert len(server.requests) == 1


@pytest.mark.parametrize("version", [b"", b"{", b"[]", b'{"url": 3}', b"\xff"])
def test_a_part_of_unknown_origin_is_not_gone_on_with(serve, target, version):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(b"something")
    target.with_name("file.bin.part.json").write_bytes(version)
    server = serve(WHOLE)
    fetch(server.url, target)
    assert_whole(target)
    assert server.ranges == [None]


def test_threads_and_processes_that_want_one_file_fetch_it_once(serve, target):
    # The first to come is kept busy until the others wait.
    server = serve(replace(WHOLE, stall_after=300_000))
    child = start_child(server.url, target)
    wait_for(lambda: server.requests)
    failures = []

    def ask():
        try:
            fetch(server.url, target, checksum=SHA256)
        except DownloadError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert len(server.requests) == 1
    server._answers[:] = [WHOLE]
    child.kill()
    child.wait()
    for thread in threads:
        thread.join()
    assert failures == []
    assert_whole(target)
    assert len(server.requests) == 2


@pytest.mark.parametrize("address", ["127.0.0.1:9", "name.invalid", "192.0.2.1:81"])
def test_no_network_is_noticed_within_two_seconds_and_once(target, address):
    for allowed in (2.5, 0.1):
        start = time.monotonic()
        with pytest.raises(DownloadError, match="no network was found"):
            download(f"http://{address}/file.bin", target)
        assert time.monotonic() - start < allowed
    assert names(target) == []


def test_a_black_hole_is_noticed_within_two_seconds(monkeypatch):
    over = threading.Event()

    def never_answers(*_, **__):
        over.wait(30)
        raise TimeoutError

    monkeypatch.setattr("socket.create_connection", never_answers)
    start = time.monotonic()
    assert network.unreachable("https://download.pytorch.org/x")
    assert time.monotonic() - start < 2.5
    over.set()  # lets the thread that is left behind go


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "PROVING_GROUND_OFFLINE"])
def test_offline_variables_forbid_the_network(serve, target, monkeypatch, variable):
    server = serve(WHOLE)
    monkeypatch.setenv(variable, "1")
    with pytest.raises(DownloadError, match=f"{variable} forbids"):
        fetch(server.url, target)
    assert server.requests == []


def test_download_goes_through_a_proxy(serve, target, monkeypatch):
    server = serve(WHOLE)
    monkeypatch.setenv("http_proxy", server.address)
    fetch("http://name.invalid/file.bin", target)
    assert_whole(target)
    assert server.requests[0][0] == "http://name.invalid/file.bin"


def test_a_connection_kept_open_after_the_last_byte_costs_no_second_attempt(serve, target):
    server = serve(replace(WHOLE, stall_after=len(BODY)))
    download(server.url, target, patience=replace(QUICK, attempts=1))
    assert_whole(target)
