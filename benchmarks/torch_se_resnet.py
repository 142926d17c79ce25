"""The default encoder in PyTorch, layer for layer, as the reference of ``benchmarks/train_speed.py``.

One-dimensional convolutions are written as two-dimensional ones of height 1: oneDNN runs them faster in PyTorch, above
all with channels last, and the reference is to be the fastest that PyTorch has.
"""

import torch
from torch import nn

STATEMENTS_AND_CLASSES = 76


def _conv_norm(channels: int, filters: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, filters, (1, kernel), (1, stride), padding=(0, kernel // 2), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


class _Block(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = _conv_norm(channels, filters, 3, stride)
        self.second = _conv_norm(filters, filters, 3)
        self.squeeze = nn.Linear(filters, max(filters // 8, 8))
        self.excite = nn.Linear(max(filters // 8, 8), filters)
        shortcut: list[nn.Module] = []
        if stride > 1:
            shortcut.append(nn.AvgPool2d((1, stride), ceil_mode=True))
        if channels != filters:
            shortcut.append(_conv_norm(channels, filters, 1))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        residual = self.second(torch.relu(self.first(features)))
        scale = torch.sigmoid(self.excite(torch.relu(self.squeeze(residual.mean((2, 3))))))
        return torch.relu(residual * scale[:, :, None, None] + self.shortcut(features))


class TorchSEResNet(nn.Module):
    """``(batch, 12, 1, time)`` and ``(batch, metadata)`` to ``(batch, 76)`` logits."""

    def __init__(self, width: int, metadata_width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv_norm(12, width, 9, 2), nn.ReLU())
        blocks: list[nn.Module] = []
        channels = width
        for stage, factor in enumerate((1, 2, 3, 4)):
            for block in range(2):
                blocks.append(_Block(channels, factor * width, 2 if stage and not block else 1))
                channels = factor * width
        self.blocks = nn.Sequential(*blocks)
        self.metadata = nn.Sequential(
            nn.Linear(metadata_width, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.3)
        )
        self.dropout = nn.Dropout(0.5)
        self.logits = nn.Linear(2 * channels + 32, STATEMENTS_AND_CLASSES)

    def forward(self, signal: torch.Tensor, metadata: torch.Tensor) -> torch.Tensor:
        features = self.blocks(self.stem(signal))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.logits(torch.cat([self.metadata(metadata), self.dropout(pooled)], dim=1))
