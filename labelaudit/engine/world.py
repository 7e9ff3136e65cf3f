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
"""How long a process waits for the others: one may decode a large folder meanwhile. torchrun notices a dead one."""


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

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.size > 1:
            torch.distributed.barrier()


ALONE = World()


@contextlib.contextmanager
def joined(device: Device) -> Iterator[World]:
    """Join the other processes that torchrun started, if it started any, to train on this device."""
    if "MASTER_ADDR" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    began = not torch.distributed.is_initialized()
    if began:
        if device.type == "cuda":
            torch.cuda.set_device(str(device))
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield World(
            rank=torch.distributed.get_rank(),
            size=torch.distributed.get_world_size(),
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            local_size=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        )
        if began:
            # A process that leaves first tears down connections that the others still use.
            torch.distributed.barrier()
    finally:
        if began:
            torch.distributed.destroy_process_group()
            # DistributedDataParallel keeps the group's threads in a cycle of references. Threads that are still there
            # when the interpreter exits sometimes end the process with SIGABRT, so they are collected before.
            atexit.register(gc.collect)
