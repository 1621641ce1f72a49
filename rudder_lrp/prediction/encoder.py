"""From features to the inputs of the LSTM: images through a small convolutional network, all else as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from rudder_lrp.episodes.images import ImageColumns
from rudder_lrp.lrp.rules import stabilize

_CHANNELS = (16, 32)
_WIDTH = 32  # outputs for one image


class ImageEncoder(nn.Module):
    """Two strided convolutions and a linear layer over the grids of one image, stacked as channels.

    No layer has a bias: then the network is homogeneous, `f(a x) = a f(x)` for a > 0, and relevance passes through it
    without loss.
    """

    columns: Tensor

    def __init__(self, image: ImageColumns) -> None:
        super().__init__()
        self.image = image
        self.register_buffer("columns", torch.from_numpy(image.indices()), persistent=False)
        rows, columns, channels = image.shape
        first, second = _CHANNELS
        self.network = nn.Sequential(
            nn.Conv2d(channels * len(image.starts), first, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * -(-rows // 4) * -(-columns // 4), _WIDTH, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Encode the image of features `[N, F]` to `[N, 32]`."""
        rows, columns, channels = self.image.shape
        grids = features[:, self.columns].view(len(features), -1, rows, columns, channels)
        stacked = grids.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return cast(Tensor, self.network(stacked))


class FeatureEncoder(nn.Module):
    """Replaces the columns of images by what an `ImageEncoder` makes of them; without images, changes nothing.

    Args:
        n_features: number F of features.
        images: which of them are images.
    """

    others: Tensor

    def __init__(self, n_features: int, images: Sequence[ImageColumns]) -> None:
        super().__init__()
        self.images = nn.ModuleList(ImageEncoder(image) for image in images)
        pixels = {column for image in images for column in image.indices().tolist()}
        others = [column for column in range(n_features) if column not in pixels]
        self.register_buffer("others", torch.tensor(others, dtype=torch.long), persistent=False)
        self.out_features = len(others) + _WIDTH * len(images)

    def forward(self, features: Tensor) -> Tensor:
        """Encode features `[..., F]` to `[..., out_features]`: all that is no image first."""
        if not self.images:
            return features
        rows = features.flatten(0, -2)
        parts = [rows[:, self.others], *(encode(rows) for encode in self.images)]
        return torch.cat(parts, dim=1).view(*features.shape[:-1], -1)

    def propagate(self, features: Tensor, relevance: Tensor, eps: float) -> Tensor:
        """Carry relevance `[..., out_features]` of the encoded back to the features, `[..., F]`.

        Through a network of rectified units without biases LRP with the epsilon rule is, but for the stabilizers,
        gradient times input (Ancona et al. 2018, proposition 2), and no relevance is lost.
        """
        if not self.images:
            return relevance
        with torch.enable_grad():
            inputs = features.detach().requires_grad_()
            outputs = self(inputs)
            weights = relevance / stabilize(outputs.detach(), eps)
            (gradient,) = torch.autograd.grad(outputs, inputs, weights)
        return features * gradient
