"""A small convolutional classifier of 28x28 gray images: the judge whose features compare digits or garments."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

SIDE = 28
"""Height and width of the images it takes."""


@final
class Classifier(nn.Module):
    """Four 3x3 or 5x5 convolutions with batch norm, two of them strided, and a dense layer of `features` numbers."""

    def __init__(self, *, num_classes: int = 10, width: int = 32, features: int = 128, dropout: float = 0.3) -> None:
        super().__init__()
        plan = [(1, width, 5, 2), (width, width, 3, 1), (width, 2 * width, 3, 2), (2 * width, 2 * width, 3, 1)]
        layers: list[nn.Module] = []
        for before, after, kernel, stride in plan:
            convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        dense = nn.Linear(2 * width * (SIDE // 4) ** 2, features)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), dense, nn.ReLU())
        self.head = nn.Linear(features, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """The activations before the last layer, (N, features), of images (N, 1, 28, 28) in [0, 1]."""
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """The logits, (N, classes), of images (N, 1, 28, 28) in [0, 1]."""
        return self.head(self.features(images))


def fold(model: Classifier) -> Classifier:
    """Merge each batch norm into the convolution before it, in place: the same function in evaluation, and faster."""
    model.eval()
    layers = list(model.body)
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d) and isinstance(norm := layers[index + 1], nn.BatchNorm2d):
            model.body[index] = nn.utils.fusion.fuse_conv_bn_eval(layer, norm)
            model.body[index + 1] = nn.Identity()
    return model
