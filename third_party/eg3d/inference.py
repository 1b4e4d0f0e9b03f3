"""When compiled kernels replace tensor operators, and how they meet.

`auto` (the default) takes a kernel exactly where all tensors are plain float32 tensors in CPU
memory and nothing has to be differentiated or traced; else the tensor operators run, which are
the reference. `with kernels("torch")` or `with kernels("numba")` decides for everything inside.
"""

import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

CHOICES = ("auto", "torch", "numba")
_choice: ContextVar[str] = ContextVar("eg3d_kernels", default="auto")


@contextmanager
def kernels(choice: str) -> Iterator[None]:
    """Decide between kernels and tensor operators.

    Args:
        choice: ``"auto"``, ``"torch"``, or ``"numba"`` (raises where no kernel can run).
    """
    if choice not in CHOICES:
        raise ValueError(f"kernels is {choice!r}; expected one of {CHOICES}")
    token = _choice.set(choice)
    try:
        yield
    finally:
        _choice.reset(token)


def use_kernel(*tensors: Tensor, refusal: str | None = None) -> bool:
    """Whether a compiled kernel takes these tensors.

    Args:
        *tensors: Everything that the kernel would read.
        refusal: Why the kernel itself can't take the shapes, or None.

    Raises:
        ValueError: A kernel was demanded for tensors that it can't take.
    """
    choice = _choice.get()
    if choice == "torch":
        return False
    obstacle = refusal or _obstacle(tensors)
    if choice == "numba" and obstacle is not None:
        raise ValueError(f"kernels('numba') was demanded, but {obstacle}; use 'auto' or 'torch'")
    return obstacle is None


def _obstacle(tensors: tuple[Tensor, ...]) -> str | None:
    if torch.compiler.is_compiling():
        return "the call is being compiled"
    for tensor in tensors:
        if type(tensor) not in (Tensor, nn.Parameter):
            return f"a tensor is a {type(tensor).__name__}"
        if tensor.device.type != "cpu":
            return f"a tensor is on {tensor.device}"
        if tensor.dtype != torch.float32:
            return f"a tensor is of type {tensor.dtype}"
        if torch.is_grad_enabled() and tensor.requires_grad:
            return "a tensor needs a gradient"
    return None


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Give torch's operators one thread, so that independent parts can run on all of them.

    Operators that split every loop over all threads wait for each other after each loop; parts
    that run side by side wait once. Threads started inside inherit the setting.

    Yields:
        How many threads torch used so far.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield 1
        return
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@functools.cache
def _trimmer() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def release_free_memory() -> None:
    """Give memory that the strips have freed back to the system, where the C library can.

    Each thread's allocator keeps what it freed; the next stage, with other sizes, would come on
    top of that.
    """
    trim = _trimmer()
    if trim is not None:
        trim(0)


def in_threads(
    work: Callable[[int, int], None], count: int, *, part: int, threads: int | None = None
) -> None:
    """Call `work(start, stop)` on parts of `range(count)`, side by side.

    Args:
        work: A function that releases the interpreter lock.
        count: Items.
        part: Items of a part.
        threads: How many at once; None: as many as torch uses.
    """
    threads = torch.get_num_threads() if threads is None else threads
    spans = [(start, min(start + part, count)) for start in range(0, count, part)]
    if threads == 1 or len(spans) == 1:
        for span in spans:
            work(*span)
        return
    inference = torch.is_inference_mode_enabled()

    def run(span: tuple[int, int]) -> None:
        # Both modes belong to a thread.
        with torch.inference_mode(inference), torch.no_grad():
            work(*span)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, spans))
