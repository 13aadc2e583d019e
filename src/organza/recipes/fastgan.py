"""FastGAN: small sets of images, from about a hundred on.

Liu, Zhu, Song, Elgammal. "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis",
ICLR 2021 (arXiv:2101.04775). The generator's small maps gate its large ones (skip-layer excitation); the critic's
features have to reconstruct real images, whole and a window of each, so that they describe images and not the set.
Augmentation: Zhao et al. 2020 (arXiv:2006.10738). Labels are an extra here, by embedding and by projection.

Differs from the paper: reconstructions are compared by `pixel_pyramid`, the mean absolute difference of pixels at three
sizes, where the paper has LPIPS, which needs a pretrained network; any image size, so gates span `skip` doublings; the
window is half as high and wide as the image; scores are of one map. Noise inside the generator is left out
after training, so a sample depends on its latent alone. The class's defaults are for small images and a few minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim import Adam

from organza.augment import Augment, Augmentation
from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Loss, Player, Turn
from organza.inference import at_once, from_latents
from organza.losses import OBJECTIVES
from organza.nets.fastgan import FewShotCritic, FewShotGenerator, pyramid_distance
from organza.nets.layers import Init, initialise
from organza.nets.residual import MapNorm
from organza.nets.spectral import advance, spectrally_normed
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import constant, cosine


@final
@dataclass(frozen=True, kw_only=True)
class FastGAN(Recipe):
    """A light generator with gates across sizes, and a critic that reconstructs, for few images."""

    accepts: ClassVar[tuple[type[Spec], ...]] = (ImageSpec,)

    batch: int = 32
    """Real samples per step, over all ranks."""
    length: float = 400.0
    """Passes over the data when the run gives no budget: the sets are small."""
    latent: int = 64
    """Length of the latent vector z ~ N(0, I), which the generator scales to a mean square of 1."""
    width: int = 2
    """Unit of the generator's channels: 16 of them in the smallest map, then 8, 4, 2, 2, 1, 1/2 and so on."""
    critic_width: int = 16
    """Channels of the critic's largest map, doubled at each halving of the size."""
    critic_widest: int = 16
    """Up to so many times that."""
    critic_base: int = 7
    """The critic halves the image until its shorter side is at most this."""
    skip: int = 2
    """Doublings between a map of the generator and the one that it gates: 2 is a factor 4, the paper has 16."""
    noise: bool = True
    """Whether every second doubling of the generator gets noise of learned strength in training."""
    conditional: Conditional = "auto"
    """Whether the generator takes labels and the critic judges sample and label together; auto: if there are any."""
    reconstruct: float = 1.0
    """Weight of each of the critic's two reconstructions of real images; 0: no decoders."""
    smooth: float = 0.2
    """The hinge of a real sample is drawn between 1 - smooth and 1, at every turn anew."""
    generator_norm: MapNorm = "batch"
    """Norm of the generator's hidden layers."""
    critic_norm: MapNorm = "none"
    """Norm of the critic's hidden layers; batch couples the samples of a batch."""
    generator_spectral: bool = False
    """Whether the generator's layers have spectral norm, as the critic's always do."""
    init: Init = "he"
    """How weights are drawn at the start."""
    generator_lr: float = 4e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 4e-3
    """Adam step size of the critic at the start."""
    final_rate: float = 0.05
    """Share of the step sizes that is left at the end, after half a cosine over the budget; 1: constant."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates of the first and second moment."""
    augment: tuple[Augmentation, ...] = ("color", "translation", "cutout")
    """What the critic's images go through, real and fake alike, so that it cannot learn a small set by heart."""
    augment_share: float = 0.5
    """Probability with which each of them acts on an image; the upper limit where it adapts."""
    augment_target: float = 0.0
    """Mean sign of the real scores to which the share adapts, from 0 on (ADA; 0.6 there); 0: it is constant."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("critic_width", "critic_widest", "critic_base", "skip"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not 0 <= self.smooth <= 1:
            raise UsageError(f"smooth is a share from 0 to 1; got {self.smooth}")
        if self.reconstruct < 0:
            raise UsageError(f"reconstruct must be at least 0; got {self.reconstruct}")

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each; a power iteration follows each update of a network with spectral norm."""
        self.check(data)
        assert isinstance(data, ImageSpec)
        num_classes = known_classes(data, self.conditional)
        g, c = self.networks(data, num_classes)
        hinge = OBJECTIVES["hinge"]
        augment = Augment(data, self.augment, share=constant(self.augment_share), target=self.augment_target)
        adapt = augment.adapt(samples=self.batch)

        def draw(n: int) -> Batch:
            noise = {"latent": torch.randn(n, self.latent), "margin": torch.rand(n, 1)} | augment.draw(n)
            if g.noise_size:
                noise["noise"] = torch.randn(n, g.noise_size)
            return noise | ({"place": torch.rand(n, 2)} if self.reconstruct else {})

        def label(batch: Batch, times: int = 1) -> Tensor | None:
            return torch.cat([batch["label"]] * times) if num_classes else None

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            fake = g(batch["latent"], label(batch), batch.get("noise"))
            real, fake = augment.pair(batch["image"], fake, batch, clock)
            if self.critic_norm == "batch":  # statistics of its own for each side, as in the paper
                real_score, remade = c(real, label(batch), batch.get("place"))  # (N, places)
                fake_score = c(fake, label(batch))[0]
            else:
                score, remade = c(torch.cat([real, fake.to(real.dtype)]), label(batch, 2), batch.get("place"))
                real_score, fake_score = score.chunk(2)
            # max(0, margin - score) with a margin of its own for each sample, from 1 - smooth to 1.
            terms = {"hinge": hinge.critic(real_score + self.smooth * batch["margin"], fake_score)}
            if self.reconstruct:
                for name, view, made in zip(("whole", "part"), c.views(real, batch["place"]), remade, strict=True):
                    terms[f"pixel_pyramid_{name}"] = self.reconstruct * pyramid_distance(made, view)
            watch = hinge.watch(real_score.mean(1), fake_score.mean(1))
            return Loss(terms, watch=watch | augment.watch(watch["real_score"], clock))

        def after_critic(means: dict[str, Tensor]) -> None:
            advance(c)
            if adapt is not None:
                adapt(means)

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake = augment(g(batch["latent"], label(batch), batch.get("noise")), batch, clock)
            fake_score = c(fake, label(batch))[0]
            return Loss({"hinge": hinge.generator(fake_score, fake_score)})

        generator = Player(
            g,
            Adam(g.parameters(), self.generator_lr, betas=self.betas, fused=True),
            lr=cosine(self.generator_lr, self.generator_lr * self.final_rate),
            halflife=self.halflife or None,
        )
        critic = Player(
            c,
            Adam(c.parameters(), self.critic_lr, betas=self.betas, fused=True),
            lr=cosine(self.critic_lr, self.critic_lr * self.final_rate),
        )
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, after=after_critic),
                Turn("generator", generator, generator_loss, after=lambda means: advance(g)),
            ],
            generate=from_latents(
                generator, self.latent, key=data.key, num_classes=num_classes, chunk=at_once(data.shape)
            ),
            draw=draw,
            extras={"augment": augment},
        )

    def networks(self, data: ImageSpec, num_classes: int) -> tuple[FewShotGenerator, FewShotCritic]:
        """Generator and critic."""
        g = FewShotGenerator(
            data,
            latent=self.latent,
            width=self.width,
            skip=self.skip,
            norm=self.generator_norm,
            has_noise=self.noise,
            num_classes=num_classes,
        )
        c = FewShotCritic(
            data,
            width=self.critic_width,
            widest=self.critic_widest,
            base=self.critic_base,
            norm=self.critic_norm,
            decodes=self.reconstruct > 0,
            num_classes=num_classes,
        )
        for network in (g, c):
            initialise(network, self.init).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return spectrally_normed(g) if self.generator_spectral else g, spectrally_normed(c)


PRESETS = {
    # 256 pixels: 50,000 steps of 8. The average keeps .999 per step, a half-life of 5,542 samples.
    "paper": FastGAN(
        conditional="no",
        batch=8,
        latent=256,
        width=64,
        critic_width=64,
        critic_base=8,
        skip=4,
        critic_norm="batch",
        generator_spectral=True,
        generator_lr=2e-4,
        critic_lr=2e-4,
        final_rate=1.0,
        betas=(0.5, 0.999),
        augment_share=1.0,
        halflife=5542.0,
    ),
    "tiny": FastGAN(latent=8, width=1, critic_width=4, batch=16, length=1),
}
