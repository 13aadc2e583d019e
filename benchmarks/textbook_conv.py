"""The convolutional MNIST GAN as a plain PyTorch script: the comparison side of the benchmarks (no organza here).

Usage: ``python benchmarks/textbook_conv.py train-images-idx3-ubyte.gz --steps 20``
"""

import argparse
import gzip
import statistics
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

LATENT = 100


class MNIST(Dataset):
    """Images of an idx.gz file as (1, 28, 28) float tensors in [0, 1]."""

    def __init__(self, path: str):
        with gzip.open(path) as file:
            self.images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return torch.tensor(self.images[index], dtype=torch.float32).div(255).unsqueeze(0)


def make_generator() -> nn.Module:
    return nn.Sequential(
        nn.Linear(LATENT, 128 * 7 * 7),
        nn.LeakyReLU(0.2),
        nn.Unflatten(1, (128, 7, 7)),
        nn.ConvTranspose2d(128, 128, 5, stride=2, padding=2, output_padding=1),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(128, 128, 5, stride=2, padding=2, output_padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(128, 1, 7, padding=3),
        nn.Sigmoid(),
    )


def make_discriminator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 64, 5, stride=2, padding=2),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.4),
        nn.Conv2d(64, 64, 3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.4),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 1),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", help="path of train-images-idx3-ubyte.gz")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=256, help="half of it real, half of it generated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write 2,500 samples to this .npy file")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    half = args.batch_size // 2
    loader = DataLoader(MNIST(args.data), batch_size=half, shuffle=True, drop_last=True)
    generator, discriminator = make_generator(), make_discriminator()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    bce = nn.BCEWithLogitsLoss()
    labels = torch.cat([torch.ones(half, 1), torch.zeros(half, 1)])
    ones = torch.ones(args.batch_size, 1)

    times: list[float] = []
    while len(times) < args.steps:
        start = time.perf_counter()
        for real in loader:
            # Discriminator: one batch, half real and half generated.
            with torch.no_grad():
                fake = generator(torch.randn(half, LATENT))
            loss_d = bce(discriminator(torch.cat([real, fake])), labels)
            optimizer_d.zero_grad()
            loss_d.backward()
            optimizer_d.step()

            # Generator: make the discriminator answer "real".
            loss_g = bce(discriminator(generator(torch.randn(args.batch_size, LATENT))), ones)
            optimizer_g.zero_grad()
            loss_g.backward()
            optimizer_g.step()

            end = time.perf_counter()
            times.append(end - start)
            start = end
            if len(times) >= args.steps:
                break
    if args.out:
        with torch.no_grad():
            samples = torch.cat([generator(torch.randn(250, LATENT)) for _ in range(10)])
        np.save(args.out, samples.mul(255).round().byte().squeeze(1).numpy())
    print(f"{statistics.median(times):.4f} s/step (median of {len(times)}, {torch.get_num_threads()} threads)")


if __name__ == "__main__":
    main()
