"""When compiled kernels replace tensor operators, and how they meet.

`auto` (the default) takes a kernel exactly where all tensors are plain float32 tensors in CPU
memory and nothing has to be differentiated or traced; else the tensor operators run, which are
the reference. `with kernels("torch")` or `with kernels("numba")` decides for everything inside.
"""

from collections.abc import Iterator
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


def in_threads(work, count: int, *, smallest: int) -> None:
    """Call `work(start, stop)` on parts of `range(count)`, on as many threads as torch uses.

    Args:
        work: A function that releases the interpreter lock.
        count: Items.
        smallest: Least items of a part.
    """
    threads = torch.get_num_threads()
    step = max(smallest, -(-count // (4 * threads)))
    spans = [(start, min(start + step, count)) for start in range(0, count, step)]
    if threads == 1 or len(spans) == 1:
        for span in spans:
            work(*span)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, *span) for span in spans]:
            done.result()
