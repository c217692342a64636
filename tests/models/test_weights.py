import functools
import hashlib
import os
import pickle
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

import pytest
import torch
from safetensors.torch import save_file

from models import download, weights
from models.weights import ResolvedWeights, WeightsMissing, file_sha256, load_state, resolve

TAG = "resnet18.tv_in1k"
STATE = {"conv1.weight": torch.arange(4.0).view(1, 1, 2, 2), "bn1.bias": torch.ones(2)}


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache, and a process that remembers no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in (weights.FOLDER_VARIABLE, "HF_HUB_OFFLINE", "PROVING_GROUND_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(download, "_reachable", {})
    monkeypatch.setattr(download, "_failures", {})
    return tmp_path / "torch/hub/checkpoints"


def write(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def point_to(monkeypatch, url):
    entry = replace(weights.WEIGHTS[TAG], url=url)
    monkeypatch.setattr(weights, "WEIGHTS", MappingProxyType({TAG: entry}))


@pytest.fixture
def serve(monkeypatch):
    """Serves a body at a URL that ends in the given file name; counts the requests."""
    servers = []

    def start(body, name, status=200, announced=None):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.paths.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(announced or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.paths = []
        threading.Thread(target=functools.partial(server.serve_forever, 0.01)).start()
        servers.append(server)
        point_to(monkeypatch, f"http://127.0.0.1:{server.server_port}/{name}")
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_first_folder_wins_then_the_variable_then_the_cache(tmp_path, hub, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "named"))
    folders = [tmp_path / "first", tmp_path / "second"]
    places = [
        write(tmp_path / "first/resnet18.tv_in1k.safetensors", b"1"),
        write(tmp_path / "first/resnet18.pth", b"2"),
        write(tmp_path / "second/resnet18-f37072fd.bin", b"3"),
        write(tmp_path / "named/resnet18.pt", b"4"),
        write(hub / "resnet18-f37072fd.pth", b"5"),
    ]
    for place in places:
        found = resolve(TAG, folders)
        assert found == ResolvedWeights(place, hashlib.sha256(place.read_bytes()).hexdigest())
        place.unlink()
    with pytest.raises(WeightsMissing):
        resolve(TAG, folders, allow_download=False)


def test_another_architectures_file_is_not_taken(tmp_path):
    write(tmp_path / "resnet50.pth")
    write(tmp_path / "resnet18.txt")
    with pytest.raises(WeightsMissing):
        resolve(TAG, [tmp_path], allow_download=False)


def test_missing_weights_say_what_where_and_how(tmp_path, hub):
    with pytest.raises(WeightsMissing) as missing:
        resolve(TAG, [tmp_path, tmp_path / "absent"], allow_download=False)
    text = str(missing.value)
    for part in (
        "resnet18.tv_in1k",
        "resnet18-f37072fd",
        ".safetensors",
        str(tmp_path),
        f"{tmp_path / 'absent'} (no such folder)",
        str(hub),
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "--weights-dir",
        "downloading was switched off",
    ):
        assert part in text
    assert "\n" not in text


def test_unknown_tag_is_a_clear_error():
    with pytest.raises(ValueError, match=r"Unknown weights 'resnet18'.*resnet18\.tv_in1k"):
        resolve("resnet18")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "name.invalid", "192.0.2.1:81"])
def test_no_network_is_noticed_within_two_seconds_and_once(monkeypatch, address):
    point_to(monkeypatch, f"http://{address}/resnet18-f37072fd.pth")
    start = time.monotonic()
    with pytest.raises(WeightsMissing, match="no network was found"):
        resolve(TAG)
    assert time.monotonic() - start < 2.5
    start = time.monotonic()
    with pytest.raises(WeightsMissing):
        resolve(TAG)
    assert time.monotonic() - start < 0.1


def test_a_black_hole_is_noticed_within_two_seconds(monkeypatch):
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: time.sleep(30))
    start = time.monotonic()
    assert not download.network_reaches("https://download.pytorch.org/x")
    assert time.monotonic() - start < 2.5


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "PROVING_GROUND_OFFLINE"])
def test_offline_variables_forbid_the_network(serve, monkeypatch, variable):
    server = serve(b"weights", "resnet18.pth")
    monkeypatch.setenv(variable, "1")
    with pytest.raises(WeightsMissing):
        resolve(TAG)
    assert server.paths == []


def test_download_lands_in_the_cache_and_happens_once(serve, hub):
    body = os.urandom(3 << 20)
    digest = hashlib.sha256(body).hexdigest()
    server = serve(body, f"resnet18-{digest[:8]}.pth")
    found = resolve(TAG)
    assert found == ResolvedWeights(hub / f"resnet18-{digest[:8]}.pth", digest)
    assert resolve(TAG) == found
    assert len(server.paths) == 1
    assert list(hub.iterdir()) == [found.path]


def test_download_goes_through_a_proxy(serve, monkeypatch):
    server = serve(b"weights", "unused")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    point_to(monkeypatch, "http://name.invalid/resnet18.pth")
    assert resolve(TAG).sha256 == hashlib.sha256(b"weights").hexdigest()
    assert server.paths == ["http://name.invalid/resnet18.pth"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18-01234567.pth", {}, "sha256 .* not 01234567.*thrown away"),
        ("resnet18.pth", {"status": 404}, "failed.*404"),
        ("resnet18.pth", {"announced": 100}, "broke off after 7 bytes|IncompleteRead"),
    ],
)
def test_bad_download_is_tried_once_and_leaves_nothing(serve, hub, name, options, message):
    server = serve(b"weights", name, **options)
    for _ in range(2):
        with pytest.raises(WeightsMissing, match=message):
            resolve(TAG)
    assert len(server.paths) == 1
    assert list(hub.iterdir()) == []


def test_cache_that_cannot_be_written_is_a_reason(serve, hub):
    serve(b"weights", "resnet18.pth")
    write(hub.parent.parent, b"a file where the cache's folder should be")
    with pytest.raises(WeightsMissing, match=r"download of .* failed"):
        resolve(TAG)


def test_sha256_follows_the_file(tmp_path):
    path = write(tmp_path / "resnet18.pth", b"one")
    assert file_sha256(path) == hashlib.sha256(b"one").hexdigest()
    write(path, b"three")
    assert file_sha256(path) == hashlib.sha256(b"three").hexdigest()


def loaded(path):
    return load_state(ResolvedWeights(path, "unused"))


def assert_state(found):
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_torch_files_load_and_are_unwrapped(tmp_path, wrap):
    torch.save({wrap: STATE, "epoch": 3} if wrap else STATE, tmp_path / "resnet18.pth")
    assert_state(loaded(tmp_path / "resnet18.pth"))


def test_safetensors_load(tmp_path):
    save_file(STATE, tmp_path / "resnet18.safetensors")
    assert_state(loaded(tmp_path / "resnet18.safetensors"))


class Payload:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 400])
def test_damaged_file_is_a_clear_error(tmp_path, suffix, keep):
    whole = tmp_path / "whole"
    save_file(STATE, whole) if suffix == ".safetensors" else torch.save(STATE, whole)
    content = whole.read_bytes()
    assert len(content) > keep or suffix == ".safetensors"
    path = write(tmp_path / f"resnet18{suffix}", content[: min(keep, len(content) - 5)])
    with pytest.raises(ValueError, match=r"cannot be loaded.*get it again"):
        loaded(path)


def test_code_in_a_file_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Payload()}, tmp_path / "resnet18.pth")
    write(tmp_path / "resnet18.pt", pickle.dumps(Payload(), protocol=2))
    for name in ("resnet18.pth", "resnet18.pt"):
        with pytest.raises(ValueError, match="code, which is never run"):
            loaded(tmp_path / name)
    assert not (tmp_path / "pwned").exists()


def test_file_without_tensors_is_a_clear_error(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match=r"holds no tensors by name.*keys epoch"):
        loaded(tmp_path / "resnet18.pth")


def test_looking_for_weights_imports_no_torch():
    script = (
        "import sys, models.weights as w\n"
        "try: w.resolve('resnet18.tv_in1k', allow_download=False)\n"
        "except w.WeightsMissing: print({'torch', 'timm'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
