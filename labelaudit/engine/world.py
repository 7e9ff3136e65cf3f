"""The processes of a training, as torchrun starts them, or this one alone; torch is loaded for several only.

Shapes: B batch of all processes, b this process's share, C channels or classes.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from labelaudit.engine.devices import Device
from labelaudit.engine.lazy import torch
from labelaudit.errors import LabelauditError

Value = TypeVar("Value")

_PATIENCE = timedelta(days=7)
"""How long a process waits for the others: one may decode a large folder meanwhile. A dead one is noticed at once."""

_JOINING = timedelta(minutes=30)
"""How long it waits for them to begin: one whose options are wrong never does, and one may fetch its data before."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of a training: this one's number and how many there are, in all and on its machine.

    Process 0 alone writes and reports.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """True for the process that writes and reports."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return the places of this process in a batch; where it cannot be divided evenly, the first get one more."""
        smaller, larger = divmod(count, self.size)
        start = self.rank * smaller + min(self.rank, larger)
        return slice(start, start + smaller + (self.rank < larger))

    def gather(self, part_bC: torch.Tensor, count: int) -> torch.Tensor:
        """Return the whole batch of ``count`` samples, from every process's share of it, detached."""
        if self.size == 1:
            return part_bC
        most = -(-count // self.size)
        padded = part_bC.new_zeros((most, *part_bC.shape[1:]))
        padded[: len(part_bC)] = part_bC
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        torch.distributed.all_gather(parts, padded)
        shares = [World(rank=rank, size=self.size).share(count) for rank in range(self.size)]
        return torch.cat([part[: share.stop - share.start] for part, share in zip(parts, shares, strict=True)])

    def once(self, work: Callable[[], Value]) -> Value:
        """Return what ``work`` gives in process 0, for which the others wait; its error is raised in all of them."""
        if self.size == 1:
            return work()
        parcel: list[Any] = [None, None]
        if self.is_main:
            try:
                parcel[0] = work()
            except BaseException as error:
                ours = isinstance(error, LabelauditError)
                parcel[1] = error if ours else LabelauditError(f"process 0 failed: {error}")
                torch.distributed.broadcast_object_list(parcel)
                raise
        torch.distributed.broadcast_object_list(parcel)
        if parcel[1] is not None:
            parcel[1].told = True
            raise parcel[1]
        value: Value = parcel[0]
        return value

    def each(self, value: Value) -> list[Value]:
        """Return what every process gives, by its number."""
        values = [value] * self.size
        if self.size > 1:
            torch.distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.size > 1:
            torch.distributed.barrier()


ALONE = World()


@contextlib.contextmanager
def joined(device: Device) -> Iterator[World]:
    """Join the other processes that torchrun started, if it started any, to train on this device.

    Where one of them ends too early, the others raise a LabelauditError.
    """
    if "MASTER_ADDR" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    began, local_rank = not torch.distributed.is_initialized(), int(os.environ.get("LOCAL_RANK", "0"))
    try:
        if began:
            _begin(device)
        yield World(
            rank=torch.distributed.get_rank(),
            size=torch.distributed.get_world_size(),
            local_rank=local_rank,
            local_size=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        )
        if began:
            # A process that leaves first tears down connections that the others still use.
            torch.distributed.barrier()
    except RuntimeError as error:
        # gloo's errors have no type of their own.
        if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
            raise
        fix = "see what it or its machine says; the same command goes on where this one stopped"
        lost = LabelauditError("another process of this training ended or could not be reached", fix=fix)
        lost.told = local_rank > 0
        raise lost from error
    finally:
        if began and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
            # DistributedDataParallel keeps the group's threads in a cycle of references. Threads that are still there
            # when the interpreter exits sometimes end the process with SIGABRT, so they are collected before.
            atexit.register(gc.collect)


def _begin(device: Device) -> None:
    """Join the other processes; where one does not come in time, this is torch's DistError."""
    from torch.distributed.rendezvous import rendezvous

    if device.type == "cuda":
        torch.cuda.set_device(str(device))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store, rank, size = next(rendezvous("env://", timeout=_JOINING))
    store.set(f"labelaudit {rank}", "is here")
    store.wait([f"labelaudit {other}" for other in range(size)], _JOINING)
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
