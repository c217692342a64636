"""A download that was cut short, by the network or a kill, resumes or starts again."""

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from downloads import BODY, HALF, QUICK, SHA256, WHOLE, assert_whole, fetch, names
from scripted_server import Answer

from datasets_lib.download.fetch import DownloadError
from datasets_lib.layouts.category import DatasetError

pytestmark = pytest.mark.usefixtures("fresh_network")


def test_dropped_transfer_resumes_where_it_stopped(serve, target):
    server = serve(HALF, WHOLE)
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges == [None, "bytes=400000-"]


def test_next_call_resumes_too(serve, target):
    server = serve(HALF, replace(HALF, drop_after=100_000), Answer(status=503), WHOLE)
    with pytest.raises(DownloadError, match="resumes") as error:
        fetch(server.url, target, checksum=SHA256)
    assert isinstance(error.value, DatasetError)
    assert "file.bin.part" in names(target)
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges == [None, "bytes=400000-", "bytes=500000-", "bytes=500000-"]


@pytest.mark.parametrize(
    "second",
    [
        replace(WHOLE, ranges=False),
        replace(WHOLE, shift=-7),
        replace(WHOLE, shift=7),
        replace(WHOLE, body=BODY[::-1]),
        replace(WHOLE, body=BODY[::-1][:300_000]),
        replace(WHOLE, body=BODY + b"more"),
    ],
    ids=["no ranges", "range too early", "range too late", "other content", "shorter", "longer"],
)
def test_pieces_that_do_not_match_are_fetched_from_the_start(serve, target, second):
    server = serve(HALF, second, WHOLE)
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges[-1] is None or len(server.ranges) == 2


def test_without_a_checksum_nothing_is_resumed(serve, target):
    server = serve(HALF)
    with pytest.raises(DownloadError, match=r"broke off"):
        fetch(server.url, target)
    assert server.ranges == [None] * QUICK.attempts
    assert not target.with_name("file.bin.part").exists()


def test_stall_is_noticed_and_resumed(serve, target):
    server = serve(replace(WHOLE, stall_after=300_000), WHOLE)
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges == [None, "bytes=300000-"]


def test_next_mirror_resumes_what_another_sent(serve, target):
    first, second = serve(HALF, Answer(status=404)), serve(WHOLE)
    fetch([first.url, second.url], target, checksum=SHA256)
    assert_whole(target)
    assert second.ranges == ["bytes=400000-"]


CHILD = """
import sys
from pathlib import Path
from datasets_lib.download.fetch import Patience, download
download(sys.argv[1], Path(sys.argv[2]), checksum=sys.argv[3], patience=Patience(stall_seconds=60))
"""


def start_child(url, target):
    return subprocess.Popen([sys.executable, "-c", CHILD, url, str(target), SHA256])


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_next_process_resumes_what_a_killed_one_left(serve, target):
    server = serve(replace(WHOLE, stall_after=300_000), WHOLE)
    part = target.with_name("file.bin.part")
    child = start_child(server.url, target)
    try:
        wait_for(lambda: part.exists() and part.stat().st_size == 300_000)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges == [None, "bytes=300000-"]


def test_process_killed_before_the_renaming_has_it_all(serve, target):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(BODY)
    server = serve(WHOLE)
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert server.ranges == ["bytes=1000000-"]


def test_threads_and_processes_that_want_one_file_fetch_it_once(serve, target):
    # The first one is kept busy until the others wait.
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
