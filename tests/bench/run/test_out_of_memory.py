"""Errors by which CUDA's libraries run out of memory; the device is a stand-in."""

import pytest
import torch
from case_names import case_named

from bench.run import case as module
from bench.run.case import run_case
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.out_of_memory import is_out_of_memory
from bench.settings import Settings
from datasets_lib.discover import find_datasets

TEXTS = [
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
]
NO_ENGINE = "{} was unable to find an engine to execute this computation"
GIB = 2**30


@pytest.mark.parametrize("text", TEXTS)
def test_a_case_whose_libraries_lack_memory_ran_out_of_it(
    text, tmp_path, write_category, monkeypatch
):
    def fails(*_):
        raise RuntimeError(text)

    write_category(tmp_path / "data" / "tiny" / "tile", train=4, good=1, spots=1)
    folders = (tmp_path / "data",), (), tmp_path / "results", tmp_path / "cache"
    finder = Finder(Settings("smoke", "cpu", *folders), find_datasets(folders[0]))
    job = finder.job(case_named("padim_resnet18-tiny.tile-default-scratch-s0"))
    monkeypatch.setattr(module, "_run", fails)
    record = run_case(job, lambda *_: None, DeviceData())
    assert (record.status, record.outcome) == ("failed", "oom")
    assert text in record.error["message"]


@pytest.mark.parametrize("way", ["FIND", "GET"])
@pytest.mark.parametrize(("free", "full"), [(1 * GIB, True), (40 * GIB, False), (None, False)])
def test_a_convolution_without_an_algorithm_lacks_memory_where_the_gpu_is_full(
    way, free, full, monkeypatch
):
    def memory(_):
        if free is None:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return free, 80 * GIB

    for name, value in {
        "is_available": lambda: True,
        "current_device": lambda: 0,
        "mem_get_info": memory,
        "memory_reserved": lambda _: 70 * GIB,
        "memory_allocated": lambda _: 69 * GIB,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    assert is_out_of_memory(RuntimeError(NO_ENGINE.format(way))) is full


def test_without_a_gpu_no_algorithm_lacks_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not is_out_of_memory(RuntimeError(NO_ENGINE.format("GET")))
