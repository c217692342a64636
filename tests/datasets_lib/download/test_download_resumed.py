"""A download that was cut short, by the network or a kill, goes on or begins anew."""

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from downloads import BODY, HALF, QUICK, SHA256, WHOLE, assert_whole, fetch, names
from scripted_server import Answer

from datasets_lib.download.fetch import DownloadError, Patience, download
from datasets_lib.layouts.category import DatasetError

pytestmark = pytest.mark.usefixtures("fresh_network")
YESTERDAY = "Sat, 01 Jan 2000 00:00:00 GMT"


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


def test_a_stall_is_noticed_and_gone_on_from(serve, target):
    server = serve(replace(WHOLE, stall_after=300_000), WHOLE)
    fetch(server.url, target)
    assert_whole(target)
    assert server.ranges == [None, "bytes=300000-"]


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


CHILD = """
import sys
from pathlib import Path
from datasets_lib.download.fetch import Patience, download
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
