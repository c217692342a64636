"""Fixtures for tests of datasets: forked children, with limits and without privileges; a server."""

import contextlib
import os
import pickle
import warnings

import pytest
from scripted_server import ScriptedServer

from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.download import network
from datasets_lib.layouts.mvtec_folders import MVTEC


@pytest.fixture
def cache(tmp_path):
    """A cache of decoded images."""
    return DecodeCache(tmp_path / "cache")


@pytest.fixture
def category(tmp_path, write_category):
    """A small category with masks, read from disk."""
    return MVTEC.read("set", "cat", write_category(tmp_path / "set" / "cat"))


@pytest.fixture
def run_in_child():
    """Call a function in a forked child; return what it returns, raise what it raises."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")

    def run(function):
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of forking beside threads; this child touches none of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                result = function()
            except BaseException as error:
                result = error
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(result, stream)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            result = pickle.load(stream)
        os.waitpid(child, 0)
        if isinstance(result, BaseException):
            raise result
        return result

    return run


@pytest.fixture
def run_unprivileged(run_in_child, tmp_path):
    """The same in a child that is not root, so that permissions apply."""

    def run(function):
        def dropped():
            if os.getuid() == 0:
                os.setuid(65534)
            return function()

        for folder in (tmp_path, *list(tmp_path.parents)[:4]):
            folder.chmod(0o755)  # pytest makes them for the owner only
        return run_in_child(dropped)

    return run


@pytest.fixture
def fresh_network(monkeypatch):
    """No proxy, no variable that forbids the network, and nothing remembered about any server."""
    for name in network._OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(network, "_reachable", {})


@pytest.fixture
def serve(fresh_network):
    """Start a server that gives these answers in turn."""
    with contextlib.ExitStack() as stack:

        def start(*answers):
            server = ScriptedServer(*answers)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def target(tmp_path):
    """Where a download goes."""
    return tmp_path / "store/file.bin"
