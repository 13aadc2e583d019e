"""The MLP MNIST GAN (hidden widths up to 1024) as a plain PyTorch script: the comparison side of the benchmarks.

Usage: ``python benchmarks/textbook_mlp1024.py train-images-idx3-ubyte.gz --epochs 2``
"""

import argparse
import gzip
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

LATENT = 100


def to_tensor(image: Image.Image) -> torch.Tensor:
    """PIL image -> float tensor in [0, 1] of shape (1, height, width)."""
    return torch.from_numpy(np.array(image)).unsqueeze(0).float().div(255)


def normalize(image: torch.Tensor) -> torch.Tensor:
    """[0, 1] -> [-1, 1]."""
    return (image - 0.5) / 0.5


class MNIST(Dataset):
    """Images of an idx.gz file as normalised (1, 28, 28) float tensors."""

    def __init__(self, path: str):
        with gzip.open(path) as file:
            self.images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return normalize(to_tensor(Image.fromarray(self.images[index])))


def make_generator() -> nn.Module:
    return nn.Sequential(
        nn.Linear(LATENT, 256),
        nn.ReLU(),
        nn.Linear(256, 512),
        nn.ReLU(),
        nn.Linear(512, 1024),
        nn.ReLU(),
        nn.Linear(1024, 784),
        nn.Tanh(),
        nn.Unflatten(1, (1, 28, 28)),
    )


def make_discriminator() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
        nn.Sigmoid(),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", help="path of train-images-idx3-ubyte.gz")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()

    torch.manual_seed(0)
    loader = DataLoader(MNIST(args.data), batch_size=args.batch_size, shuffle=True, drop_last=True)
    generator, discriminator = make_generator(), make_discriminator()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.9, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.9, 0.999))
    bce = nn.BCELoss()
    ones, zeros = torch.ones(args.batch_size, 1), torch.zeros(args.batch_size, 1)

    for epoch in range(1, args.epochs + 1):
        start = time.perf_counter()
        for real in loader:
            # Discriminator: real images are "real", generated ones are "fake".
            fake = generator(torch.randn(args.batch_size, LATENT))
            loss_d = bce(discriminator(real), ones) + bce(discriminator(fake.detach()), zeros)
            optimizer_d.zero_grad()
            loss_d.backward()
            optimizer_d.step()

            # Generator: the same images, which the updated discriminator should call "real".
            loss_g = bce(discriminator(fake), ones)
            optimizer_g.zero_grad()
            loss_g.backward()
            optimizer_g.step()
        print(f"epoch {epoch}: {time.perf_counter() - start:.2f} s, D {loss_d.item():.3f}, G {loss_g.item():.3f}")


if __name__ == "__main__":
    main()
