"""Names of the environment, and CUDA's presence without torch."""

import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
import torch

from bench import environment as module
from bench.environment import (
    LIBRARIES_ADDED,
    cuda_present,
    default_profile,
    environment,
    expected,
    visible_devices,
)


def test_import_and_cuda_present_leave_torch_out():
    code = (
        "import sys; from bench.environment import cuda_present, default_profile; "
        "cuda_present(); default_profile(); "
        "import json; print(json.dumps([m for m in ('torch', 'numpy') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_cpu_environment_is_names():
    found = environment("cpu")
    assert found["torch"] == str(torch.__version__)
    assert found["torchvision"] == version("torchvision")
    assert found["timm"] == version("timm")
    assert found["python"] == platform.python_version()
    assert found["class"] == f"{found['cpu']} | torch {torch.__version__}"
    assert found["cpu"]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("library", ["FrEIA", "scipy", "scikit-learn", "einops"])
def test_libraries_that_decide_numbers_are_named_and_compared(library):
    found = environment("cpu")
    assert found[library.lower()] == expected("cpu")[library.lower()] == version(library)
    assert library.lower() not in found["class"].lower()


def test_a_library_that_is_not_installed_is_absent(monkeypatch):
    def installed(library):
        if library in LIBRARIES_ADDED:
            raise PackageNotFoundError(library)
        return version(library)

    monkeypatch.setattr(module, "version", installed)
    module._library_versions.cache_clear()
    try:
        for names in (environment("cpu"), expected("cpu")):
            assert names["timm"] == version("timm")
            assert not names.keys() & set(LIBRARIES_ADDED)
    finally:
        module._library_versions.cache_clear()


def test_class_does_not_change_with_load_or_threads():
    threads = torch.get_num_threads()
    first = environment("cpu")
    try:
        torch.set_num_threads(threads + 1)
        second = environment("cpu")
    finally:
        torch.set_num_threads(threads)
    assert second["threads"] == first["threads"] + 1
    assert second["class"] == first["class"]


@pytest.fixture
def devices(monkeypatch, tmp_path):
    """A machine with two CUDA devices, by their device files, and no NVML."""
    monkeypatch.setattr(module, "_DEVICE_FILES", tmp_path)
    monkeypatch.setattr(module, "load_nvml", lambda: None)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "count"),
    [
        (None, 2),
        ("", 0),
        ("-1", 0),
        ("0", 1),
        ("1", 1),
        ("2", 0),
        ("1,0", 2),
        ("0,-1", 1),
        ("-1,0", 0),
        (" 0", 1),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", 1),
        ("MIG-8932f937-d72c-4106-c12f-20bd9faed9f6", 1),
        ("NoDevFiles", 0),
    ],
)
def test_cuda_visible_devices_is_honored(monkeypatch, devices, setting, count):
    if setting is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    assert visible_devices() == count
    assert cuda_present() is bool(count)
    assert default_profile() == ("standard" if count else "smoke")


@pytest.mark.parametrize("setting", [None, "0", "GPU-8932f937"])
def test_driver_without_a_device_is_no_cuda(monkeypatch, devices, setting):
    (devices / "nvidia0").unlink()
    (devices / "nvidia1").unlink()
    if setting is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    assert cuda_present() is False


class FakeNvml:
    """Answers as NVML does: results through pointers, 0 for success."""

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = 3
        return 0

    def nvmlSystemGetDriverVersion(self, text, length):
        text.value = b"570.86.15"
        return 0

    def nvmlShutdown(self):
        return 0


def test_nvml_answers_where_there_are_no_device_files(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_DEVICE_FILES", tmp_path)
    monkeypatch.setattr(module, "_KERNEL_DRIVER", tmp_path / "version")
    monkeypatch.setattr(module, "load_nvml", FakeNvml)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert cuda_present() is True
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert cuda_present() is False
    assert module._driver_version() == "570.86.15"


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build  (x@y)",
    ],
)
def test_driver_version_is_read_from_the_kernel_module(monkeypatch, tmp_path, line):
    path = tmp_path / "version"
    path.write_text(line + "\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n")
    monkeypatch.setattr(module, "_KERNEL_DRIVER", path)
    assert module._driver_version() == "535.104.05"


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """A function that installs a torch and, perhaps, a cuDNN before those of this machine."""

    def install(text, needs, cudnn):
        releases = {"torch": "2.14.1", "nvidia_cudnn_cu99": cudnn}
        for name, release in releases.items():
            if release:
                metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n"
                metadata += f"Requires-Dist: {needs}\n" if name == "torch" and needs else ""
                folder = tmp_path / f"{name}-{release}.dist-info"
                folder.mkdir()
                (folder / "METADATA").write_text(metadata)
        if text:
            (tmp_path / "torch").mkdir()
            (tmp_path / "torch" / "version.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        module._cuda_libraries.cache_clear()

    yield install
    module._cuda_libraries.cache_clear()


CUDA = "__version__ = '2.14.1+cu128'\ncuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n"
NEEDS = 'nvidia-cudnn-cu99==9.10.2.21; platform_system == "Linux"'


@pytest.mark.parametrize(
    ("text", "needs", "cudnn", "found"),
    [
        (CUDA, NEEDS, "9.10.2.21", {"cuda": "12.8", "cudnn": 91002}),
        (CUDA, NEEDS, "9.19.0.56", {"cuda": "12.8", "cudnn": 91900}),  # upgraded alone
        (CUDA.replace("12.8", "13.0"), NEEDS, "9.10.2.21", {"cuda": "13.0", "cudnn": 91002}),
        (CUDA, NEEDS, None, {"cuda": "12.8"}),
        (CUDA, None, "9.10.2.21", {"cuda": "12.8"}),  # built with a cuDNN of the system
        (CUDA.replace("'12.8'", "None"), None, None, {}),
        (None, None, None, {}),
    ],
)
def test_cuda_and_cudnn_are_read_from_files(packages, text, needs, cudnn, found):
    packages(text, needs, cudnn)
    names = expected("cuda")
    assert {name: names[name] for name in ("cuda", "cudnn") if name in names} == found
    assert not {"cuda", "cudnn"} & expected("cpu").keys()


def test_cuda_and_cudnn_read_from_files_are_those_that_torch_reports():
    reported = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    assert module._cuda_libraries().items() <= reported.items()


AMD, INTEL = "vendor_id\t: AuthenticAMD\n", "vendor_id\t: GenuineIntel\n"


@pytest.mark.parametrize(
    ("info", "limit", "bf16"),
    [
        (f"{AMD}flags\t: avx512f avx512_bf16\n", None, True),
        (f"{INTEL}flags\t: avx512f avx512_bf16\n", None, False),
        (f"{INTEL}flags\t: avx512f avx512_bf16 amx_bf16\n", None, True),
        (f"{INTEL}flags\t: avx512f avx512_bf16 amx_bf16\n", "AVX512_CORE_AMX", True),
        (f"{INTEL}flags\t: avx512f avx512_bf16 amx_bf16\n", "AVX512_CORE_BF16", False),
        (f"{AMD}flags\t: avx512f avx512_bf16\n", "avx512_core_bf16", True),
        (f"{AMD}flags\t: avx512f avx512_bf16\n", "avx512_core", False),
        (f"{AMD}flags\t: avx512f avx512_bf16\n", "AVX2", False),
        (f"{AMD}flags\t: avx512f\n", None, False),
        ("", None, False),
    ],
)
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_bf16_is_chosen_where_it_is_faster(monkeypatch, variable, info, limit, bf16):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    if limit:
        monkeypatch.setenv(variable, limit)
    monkeypatch.setattr(module, "cpu_info", lambda: info)
    monkeypatch.setattr(module, "is_intel", lambda: INTEL in info)
    assert module.default_precision("cpu") == ("bf16" if bf16 else "float32")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_environment_names_the_device():
    assert cuda_present()
    found = environment("cuda")
    assert found["gpu"] == torch.cuda.get_device_name()
    assert found["gpu"] in found["class"]
    assert ".".join(found["driver"].split(".")[:2]) in found["class"]
