"""Which rows an epoch takes, in which order, and how they are seen.

Shapes: M places of the epoch, N of them when every row comes once; B batch, b this process's share of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from labelaudit.engine.inputs import Inputs, Views
from labelaudit.methods.base import Batch, Mixing

Places = slice | torch.Tensor
"""Some places of an epoch, or in a batch; as a tensor, int64 on the CPU."""


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """The places of an epoch, drawn before it begins.

    ``order_M``, int64, has the row at each place, on the CPU; ``row_M`` the same on the device, as are given labels and
    sample weights. ``batches`` are the places of each batch.
    """

    order_M: torch.Tensor
    row_M: torch.Tensor
    label_M: torch.Tensor
    sample_weight_M: torch.Tensor | None
    views: Views | None
    batches: list[slice]

    def batch(self, places: Places) -> Batch:
        """Return what a method is told of a batch."""
        places = self._on_device(places)
        return Batch(row_B=self.row_M[places], label_B=self.label_M[places])

    def sample_weights(self, places: Places) -> torch.Tensor | None:
        """Return the sample weights of a batch, where there are any."""
        return None if self.sample_weight_M is None else self.sample_weight_M[self._on_device(places)]

    def _on_device(self, places: Places) -> Places:
        return places if isinstance(places, slice) else places.to(self.row_M.device)

    def images(self, inputs: Inputs, places: Places, within: Places) -> torch.Tensor:
        """Return the inputs at places ``within`` the batch at some places of the epoch, on the device."""
        views = None if self.views is None else self.views.part(places).part(within)
        return inputs.batch(self.order_M[places][within], views)

    def blended(self, x_b: torch.Tensor, inputs: Inputs, places: Places, share: slice, mixing: Mixing) -> torch.Tensor:
        """Blend a share of a batch, at ``places`` of the epoch, with its partners, which may be in another share."""
        other_b = self.images(inputs, places, mixing.partner_B[share])
        factor_b = mixing.factor_B[share].to(x_b.device).view(-1, *[1] * (x_b.dim() - 1))
        return torch.lerp(other_b, x_b, factor_b)
