"""What is between us and a server: none, offline, a proxy, redirects, a local mirror."""

import socket
import threading
from dataclasses import replace

import pytest
from downloads import BODY, HALF, QUICK, SHA256, WHOLE, assert_whole, fetch
from scripted_server import Answer

from datasets_lib.download import network
from datasets_lib.download.fetch import DownloadError, download, download_weights

pytestmark = pytest.mark.usefixtures("fresh_network")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "name.invalid:80", "192.0.2.1:81"])
def test_no_network_is_noticed_within_two_seconds_and_once(target, monkeypatch, address):
    tried, connect = [], socket.create_connection

    def noted(where, timeout):
        tried.append(("{}:{}".format(*where), timeout))
        return connect(where, timeout)

    monkeypatch.setattr(socket, "create_connection", noted)
    for _ in range(2):
        with pytest.raises(DownloadError, match="no network connection"):
            download(f"http://{address}/file.bin", target)
    assert tried == [(address, 2.0)]
    assert not target.exists()


def test_without_a_network_weights_have_the_reason_alone(target):
    """Who asks for weights says what to do."""
    with pytest.raises(DownloadError) as caught:
        download_weights("http://127.0.0.1:9/file.bin", target, None)
    reason = "Wanted to download file.bin, found that there is no network connection to 127.0.0.1."
    assert str(caught.value) == reason


def test_a_black_hole_is_not_waited_for(monkeypatch):
    over, answered = threading.Event(), threading.Event()

    def answers_late(*_, **__):
        over.wait(30)
        answered.set()
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", answers_late)
    monkeypatch.setattr(network, "PROBE_SECONDS", 0.05)
    assert network.unreachable("https://download.pytorch.org/x")
    assert not answered.is_set()
    over.set()  # releases the thread that is left behind


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


def test_a_local_mirror_needs_no_network(tmp_path, target, monkeypatch):
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    source = tmp_path / "source.bin"
    with pytest.raises(DownloadError, match=r"file://.*could not be opened"):
        fetch(source.as_uri(), target)
    source.write_bytes(BODY)
    fetch(source.as_uri(), target, checksum=SHA256)
    assert_whole(target)


def test_redirects_are_followed_also_with_a_range(serve, target):
    real = serve(HALF, WHOLE)
    server = serve(Answer(status=302, headers={"Location": real.url}))
    fetch(server.url, target, checksum=SHA256)
    assert_whole(target)
    assert real.ranges == [None, "bytes=400000-"]
