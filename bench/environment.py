"""Names of the machine and libraries of a run, and CUDA detection without torch."""

import ctypes
import os
import platform
import re
import sys
from contextlib import suppress
from functools import cache
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from models.components.processor import cpu_info, is_intel

version = cache(metadata.version)  # parses a file each time, and is asked for every case

LIBRARIES_ADDED = ("freia", "scipy", "scikit-learn", "einops")
"""Libraries that decide numbers and that older records do not name."""

_LIBRARIES = ("torchvision", "timm", "numpy", "pillow")
_DEVICE_FILES = Path("/dev")
_KERNEL_DRIVER = Path("/proc/driver/nvidia/version")


def environment(device: str) -> dict[str, Any]:
    """Return names of device, libraries and versions, and the threads; imports torch.

    ``class`` joins the names that make two speeds or scores comparable: GPU product, driver
    major.minor, CUDA, torch, cuDNN and CPU model. It contains nothing that varies over time (clock,
    temperature, free memory), so a machine keeps its class.

    Args:
        device: Name of a torch device, such as ``cpu`` or ``cuda:0``.
    """
    import torch

    cudnn: Any = torch.backends.cudnn  # untyped in torch
    names: dict[str, Any] = {
        "device": device,
        "cpu": _cpu_model(),
        "threads": torch.get_num_threads(),
        "threads_set": threads_set(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "omp_spins": os.environ.get("GOMP_SPINCOUNT", "default"),
        "cores": usable_cores(),
        "ram_bytes": _ram_bytes(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **_library_versions(),
    }
    parts = [names["cpu"], f"torch {names['torch']}"]
    if torch.device(device).type == "cuda":
        driver = _driver_version()
        names |= {
            "gpu": torch.cuda.get_device_name(device),
            "driver": driver,
            "cuda": torch.version.cuda,
            "cudnn": cudnn.version(),
        }
        major_minor = ".".join(driver.split(".")[:2]) if driver else "unknown"
        parts = [
            names["gpu"],
            f"driver {major_minor}",
            f"CUDA {names['cuda']}",
            f"cuDNN {names['cudnn']}",
            *parts,
        ]
    return names | {"class": " | ".join(parts)}


def expected(device: str) -> dict[str, Any]:
    """Return the names in `environment` that are known without torch and make runs comparable.

    A name that cannot be read without torch, such as the GPU's without a driver library, is absent.
    """
    names: dict[str, Any] = {"cpu": _cpu_model(), "torch": version("torch").partition("+")[0]}
    names |= _library_versions()
    if device.partition(":")[0] == "cpu":
        return names | {"threads_set": threads_set(), "cores": usable_cores()}
    driver, gpu = _driver_version(), _gpu_name()
    names |= {"driver": ".".join(driver.split(".")[:2])} if driver else {}
    return names | _cuda_libraries() | ({"gpu": gpu} if gpu else {})


@cache
def _library_versions() -> dict[str, str]:
    """Return the versions of the libraries that decide numbers; one not installed is absent."""
    versions = {library: version(library) for library in _LIBRARIES}
    for library in LIBRARIES_ADDED:
        with suppress(metadata.PackageNotFoundError):
            versions[library] = version(library)
    return versions


@cache
def _cuda_libraries() -> dict[str, Any]:
    """Return the versions of CUDA and cuDNN that torch will use, in the form of `environment`.

    One that cannot be read without torch is absent, such as a cuDNN that is none of its packages.
    """
    torch, names = metadata.distribution("torch"), dict[str, Any]()
    with suppress(OSError):
        text = Path(str(torch.locate_file("torch/version.py"))).read_text(encoding="utf-8")
        if match := re.search(r"^cuda\b.*'([\d.]+)'", text, re.M):
            names["cuda"] = match[1]
    packages = [re.match(r"nvidia-cudnn-cu\d+", needed) for needed in torch.requires or ()]
    for package in filter(None, packages):
        with suppress(metadata.PackageNotFoundError):
            names["cudnn"] = _cudnn_number(metadata.version(package.group()))
    return names


def _cudnn_number(release: str) -> int:
    """Return a release of cuDNN 9 or later as torch reports it.

    >>> _cudnn_number("9.19.0.56")
    91900
    """
    major, minor, patch = map(int, release.split(".")[:3])
    return 10_000 * major + 100 * minor + patch


def default_profile() -> Literal["standard", "smoke"]:
    """Return ``standard`` on a machine with CUDA, otherwise ``smoke``."""
    return "standard" if cuda_present() else "smoke"


def cuda_present() -> bool:
    """Return whether the driver shows this process a CUDA device, without importing torch.

    A torch build without CUDA is not detected here; the process that runs a case confirms the
    answer.
    """
    return bool(visible_devices())


def visible_devices() -> int:
    """Return how many CUDA devices the driver shows this process, without importing torch.

    Counts the driver's device files (a container sees only its own), or asks NVML, and then reads
    ``CUDA_VISIBLE_DEVICES`` as CUDA does: the list ends at its first invalid entry.
    """
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return _device_count()
    entries = [entry.strip() for entry in setting.split(",")]
    count = _device_count()
    return len([*takewhile(lambda entry: _is_valid(entry, count), entries)])


def _is_valid(entry: str, count: int) -> bool:
    """Return whether an entry of ``CUDA_VISIBLE_DEVICES`` can name one of some devices."""
    if entry.startswith(("GPU-", "MIG-")):
        return count > 0
    return entry.isdecimal() and int(entry) < count


def _device_count() -> int:
    files = [path for path in _DEVICE_FILES.glob("nvidia*") if path.name[6:].isdecimal()]
    return len(files) or _nvml_device_count()


def _nvml_device_count() -> int:
    nvml = load_nvml()
    if nvml is None:
        return 0
    count = ctypes.c_uint()
    failed = nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    nvml.nvmlShutdown()
    return 0 if failed else count.value


def _driver_version() -> str | None:
    """Return a version such as ``570.86.15``, from the kernel module or from NVML."""
    if _KERNEL_DRIVER.is_file():
        match = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", _KERNEL_DRIVER.read_text())
        if match:
            return match.group()
    nvml = load_nvml()
    if nvml is None:
        return None
    text = ctypes.create_string_buffer(96)
    failed = nvml.nvmlSystemGetDriverVersion(text, ctypes.c_uint(96))
    nvml.nvmlShutdown()
    return None if failed else text.value.decode()


def _gpu_name() -> str | None:
    """Return the product of a CUDA device, where all that the driver shows are of one product."""
    nvml = load_nvml()
    if nvml is None:
        return None
    count, names = ctypes.c_uint(), set()
    failed = nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    for index in range(0 if failed else count.value):
        handle, text = ctypes.c_void_p(), ctypes.create_string_buffer(96)
        failed = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle))
        failed = failed or nvml.nvmlDeviceGetName(handle, text, ctypes.c_uint(96))
        names.add("" if failed else text.value.decode())
    nvml.nvmlShutdown()
    return names.pop() or None if len(names) == 1 else None


def load_nvml() -> ctypes.CDLL | None:
    """Return NVIDIA's management library, initialized, or None without a driver."""
    try:
        library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None
    return None if library.nvmlInit_v2() else library


def default_precision(device: str) -> Literal["bf16", "float32"]:
    """Return the training precision: bf16 on CUDA and on CPUs that are faster with it."""
    return "bf16" if device != "cpu" or cpu_gains_from_bf16() else "float32"


def cpu_gains_from_bf16() -> bool:
    """Return whether this CPU trains faster in bfloat16 than in float32.

    Tiles (AMX) multiply bfloat16 much faster. Vectors (AVX-512) do on AMD's CPUs; on an Intel Xeon
    without AMX, steps in bf16 took up to 2.8 times as long, and few were as fast
    (`bench.perf.precisions`). A limit that the user sets for oneDNN, whose kernels these are,
    counts: with AVX2 alone bf16 is emulated.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "ALL")).upper()
    if re.search("AMX|ALL|DEFAULT", limit) and "amx_bf16" in cpu_info():
        return True
    if not re.search("BF16|FP16|AMX|AVX10|ALL|DEFAULT", limit):
        return False
    return "avx512_bf16" in cpu_info() and not is_intel()


def _cpu_model() -> str:
    return _model_in(cpu_info()) or platform.processor() or platform.machine()


def _model_in(info: str) -> str:
    r"""Return the CPU model that Linux names; empty without one.

    Virtual machines may hide its number. Generations of very different speed would then share a
    name, so family and model join it.

    >>> _model_in("cpu family : 25\nmodel : 17\nmodel name : AMD EPYC\n")
    'AMD EPYC (family 25, model 17)'
    """
    fields = dict(re.findall(r"^(cpu family|model|model name)\s*:\s*(.*\S)", info, re.M))
    name = str(fields.get("model name", ""))
    if not name or re.search(r"\d", name) or not {"cpu family", "model"} <= fields.keys():
        return name
    return f"{name} (family {fields['cpu family']}, model {fields['model']})"


def threads_set() -> str:
    """Return what the user set the number of threads to; ``default`` for nothing."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return next((os.environ[name] for name in names if os.environ.get(name)), "default")


def usable_cores() -> int:
    """Return the number of logical processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _ram_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on this system
        return None
