"""How well moving and turning what a stylegan3 begins with moves and turns its images, before and after training.

    python benchmarks/equivariance.py RUN [RUN ...]

EQ-T of 32 shifts by whole pixels, up to an eighth of the shorter side, and EQ-R of 32 angles, each of 64 images of the
averaged generator, in dB (`organza.nets.equivariance`); higher is better. Before: the same network with its first
weights.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch

import organza
from organza.game import Game
from organza.latent.space import open_space
from organza.nets.equivariance import rotation_equivariance, translation_equivariance
from organza.nets.style3 import AliasFreeGenerator
from organza.run import Run

IMAGES, MOVES = 64, 32


def measured(run: Run, game: Game) -> tuple[float, float]:
    """EQ-T and EQ-R of a game's generator."""
    g, random = game.players["generator"].averaged.eval(), np.random.default_rng(0)
    if not isinstance(g, AliasFreeGenerator):
        raise SystemExit(f"{run.folder}: the input of a {type(g).__name__} cannot be moved; train stylegan3")
    w, most = open_space(run, game, "w").draw(IMAGES), min(run.spec.shape[1:]) // 8
    shifts = random.integers(-most, most, (MOVES, 2), endpoint=True).tolist()
    angles = random.uniform(0, 2 * math.pi, MOVES).tolist()
    return translation_equivariance(g, w, *shifts), rotation_equivariance(g, w, *angles)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    print("| run | samples seen | EQ-T before | EQ-T | EQ-R before | EQ-R |\n" + "|---" * 6 + "|", flush=True)
    for name in parser.parse_args().runs:
        run = organza.open(name)
        torch.manual_seed(run.settings.seed)
        (before_t, before_r), (t, r) = (measured(run, game) for game in (run.recipe.build(run.spec), run.game()))
        print(
            f"| {run.folder.name} | {run.rows()[-1]['samples']:,} | {before_t:.1f} | {t:.1f} "
            f"| {before_r:.1f} | {r:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
