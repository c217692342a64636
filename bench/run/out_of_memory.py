"""Recognition of errors that say that memory ran out."""

import re

import torch

from datasets_lib.free_memory import free_bytes

_SAYS_SO = re.compile(
    "can(not|'t) allocate memory|not enough memory|out of memory|ALLOC(ATION)?_FAILED",
    re.IGNORECASE,
)
"""What RuntimeErrors of torch's allocator on the CPU, of mmap, of the CUDA runtime and of CUDA's
libraries say, such as CUBLAS_STATUS_ALLOC_FAILED."""

_MAY_SAY_SO = "was unable to find an engine to execute this computation"
"""What torch says if none of cuDNN's algorithms ran: each lacked memory, or cuDNN has none for the
convolution."""

_FULL = 0.1
"""Share of a GPU's memory: with less of it free, algorithms lack memory to work in."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it replaced, says that memory ran out.

    It does so of the device and of the host. Ending a recording that ran out of memory raises an
    error of its own.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    >>> is_out_of_memory(RuntimeError("Error(s) in loading state_dict"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and _says_so(str(error)):
        return True
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return before is not None and is_out_of_memory(before)


def _says_so(text: str) -> bool:
    return bool(_SAYS_SO.search(text)) or (_MAY_SAY_SO in text and _gpu_is_full())


def _gpu_is_full() -> bool:
    """Return whether hardly any memory of the current GPU is free."""
    if not torch.cuda.is_available():
        return False
    try:
        device = torch.device("cuda", torch.cuda.current_device())
        _, total = torch.cuda.mem_get_info(device)
        return free_bytes(device) < _FULL * total
    except RuntimeError:  # the algorithms failed because the GPU no longer answers
        return False
