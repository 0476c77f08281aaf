"""A student of your own: any module that takes the model's inputs and returns its scores."""

from pathlib import Path

import torch
from torch import nn


class Student(nn.Module):  # type: ignore[misc] # where torch is not installed, it has no types
    """64 pixels as a picture of 8 x 8; two convolutions, 10 scores."""

    def __init__(self) -> None:
        """Begin from chance."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(32 * 2 * 2, 10),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scores, [rows, 10]; the model's Softmax is put behind them."""
        return self.layers(pixels.reshape(-1, 1, 8, 8))


def student(_path: Path) -> nn.Module:
    """The path is that of weightsUri, else of the model's own file; this one needs neither."""
    return Student()
