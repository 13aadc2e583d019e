"""BigGAN: a latent and a class that reach every block, spectral norm on both sides, samples truncated at will.

Brock, Donahue, Simonyan. "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019
(arXiv:1809.11096). Self-attention: Zhang, Goodfellow, Metaxas, Odena 2019, SAGAN (arXiv:1805.08318).
Options: LeCam, Tseng et al. 2021 (arXiv:2104.03310); consistency, Zhang et al. 2020 (arXiv:1910.12027), balanced: Zhao
et al. 2021 (arXiv:2002.04724); augmentation, Zhao et al. 2020 (arXiv:2006.10738).

Differs from the paper: power steps of spectral norm once per update, not once per pass; fakes have the labels of the
real batch; the average's half-life grows, in place of a late start; falling rates and small networks by default.
Batch statistics let micro-batches and ranks change the results a little. `cifar10` has StudioGAN's setting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn
from torch.optim import Adam

from organza.augment import Augment, Augmentation
from organza.data.spec import ImageSpec, Spec
from organza.errors import UsageError
from organza.game import Batch, Clock, Game, Generate, Loss, Player, Request, Turn
from organza.inference import at_once, from_latents, latents
from organza.losses import hinge_critic, wasserstein_generator
from organza.nets.hierarchical import HierarchicalGenerator
from organza.nets.layers import Init
from organza.nets.pair import ready
from organza.nets.residual import MapNorm, ResidualCritic
from organza.nets.spectral import advance, spectrally_normed
from organza.nets.standing import RunningMeans, standing_statistics, truncated
from organza.penalties import consistency, lecam, off_diagonal
from organza.recipe import Conditional, Recipe, known_classes
from organza.schedules import constant, cosine


@final
@dataclass(frozen=True, kw_only=True)
class BigGAN(Recipe):
    """Residual networks with spectral norm, class-conditional batch norm and a projection critic."""

    accepts = (ImageSpec,)

    batch: int = 32
    """Real samples per step, over all ranks."""
    latent: int = 48
    """Length of the latent vector z ~ N(0, I), cut into a part for each block and one for the first layer."""
    generator_width: int = 32
    """Channels of the generator's largest map."""
    critic_width: int = 32
    """Channels of the critic's largest map."""
    widest: int = 4
    """Channels double at each halving of the size, up to so many times those of the largest map; 1: all the same."""
    embedding: int = 16
    """Length of the embedding of a class, which all blocks of the generator share."""
    patch: int = 2
    """Side of the squares of pixels that the networks handle as one: 1 in the papers; 2 is several times faster."""
    conditional: Conditional = "auto"
    """Whether generator and critic are told the labels; auto: if there are any."""
    attention: int = 0
    """Self-attention in both networks on the largest maps below full size whose shorter side is at most this; 0: no."""
    critic_base: int = 4
    """The critic halves the image until its shorter side is at most this."""
    critic_plain: int = 1
    """Blocks of the critic after those, that keep the size."""
    orthogonality: float = 1e-4
    """Weight of the generator's orthogonal regularisation, between different filters only (beta in Eq. 3)."""
    lecam: float = 0.0
    """Weight of LeCam's regularisation of the scores, for small sets (0.3 there)."""
    augment: tuple[Augmentation, ...] = ()
    """Changes of all that the critic sees, for small sets: color translation cutout (DiffAugment). With a weight of
    consistency: changes that scores must not follow instead, for photos flip translation, without flip for digits."""
    real_consistency: float = 0.0
    """Weight of what `augment` changes in the scores of real samples (CR and bCR: 10)."""
    fake_consistency: float = 0.0
    """The same of fake samples (bCR: 10)."""
    generator_spectral: bool = True
    """Spectral norm in the generator, too: it trains more slowly, and longer without harm."""
    critic_repeats: int = 1
    """Critic updates per generator update, each on a fresh batch."""
    generator_norm: MapNorm = "batch"
    """Norm of the generator's maps before their conditional gains and biases."""
    init: Init = "orthogonal"
    """How weights are drawn at the start."""
    generator_lr: float = 8e-3
    """Adam step size of the generator at the start."""
    critic_lr: float = 1.5e-3
    """Adam step size of the critic at the start."""
    final_rate: float = 0.05
    """Share of the step sizes that is left at the end, after half a cosine over the budget; 1: constant."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates of the first and second moment."""
    halflife: float = 1e6
    """Of the averaged generator, in samples; at most a twentieth of the samples seen. 0: no average."""
    standing: int = 4
    """Passes of a batch each from which batch statistics are taken anew before sampling; 0: running ones are used."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("real_consistency", "fake_consistency"):
            if getattr(self, name) and not self.augment:
                raise UsageError(f"{name} needs changes that scores must not follow: --augment flip translation")

    def build(self, data: Spec) -> Game:
        """Two networks, one turn each."""
        self.check(data)
        num_classes = known_classes(data, self.conditional)
        g, c = self.networks(data, num_classes)
        filters = tuple(weight for name, weight in g.named_parameters() if weight.ndim > 1 and name != "embed.weight")
        augment = Augment(data, self.augment, share=constant(1.0))
        of_late = RunningMeans("real_score", "fake_score")
        is_consistent = bool(self.real_consistency or self.fake_consistency)

        def told(batch: Batch, times: int = 1) -> list[Tensor]:
            return [torch.cat([batch["label"]] * times)] if num_classes else []

        def critic_loss(batch: Batch, clock: Clock) -> Loss:
            real, fake = batch[data.key], g(batch["latent"], *told(batch)).to(batch[data.key].dtype)
            changed = augment.pair(real, fake, batch, clock)
            shown = (real, fake, *changed[: 2 if self.fake_consistency else 1]) if is_consistent else changed
            scores = c(torch.cat(shown), *told(batch, len(shown))).chunk(len(shown))
            real_score, fake_score = scores[:2]
            terms = {"hinge": hinge_critic(real_score, fake_score)}
            if self.lecam:
                terms["lecam"] = self.lecam * lecam(real_score, fake_score, *of_late.mean)
            if self.real_consistency:
                terms["real_consistency"] = self.real_consistency * consistency(real_score, scores[2])
            if self.fake_consistency:
                terms["fake_consistency"] = self.fake_consistency * consistency(fake_score, scores[3])
            return Loss(terms, watch={"real_score": real_score, "fake_score": fake_score})

        def generator_loss(batch: Batch, clock: Clock) -> Loss:
            fake = g(batch["latent"], *told(batch))
            score = c(fake if is_consistent else augment(fake, batch, clock), *told(batch))
            terms = {"hinge": wasserstein_generator(score, score)}
            if self.orthogonality:
                terms["orthogonality"] = self.orthogonality * torch.stack([off_diagonal(w) for w in filters]).sum()
            return Loss(terms)

        def after_critic(means: dict[str, Tensor]) -> None:
            advance(c)
            of_late.update(means)

        def player(network: nn.Module, lr: float, halflife: float) -> Player:
            adam = Adam(network.parameters(), lr, betas=self.betas, eps=1e-6, fused=True)
            return Player(network, adam, lr=cosine(lr, lr * self.final_rate), halflife=halflife or None)

        generator, critic = player(g, self.generator_lr, self.halflife), player(c, self.critic_lr, 0.0)
        return Game(
            players={"generator": generator, "critic": critic},
            turns=[
                Turn("critic", critic, critic_loss, repeats=self.critic_repeats, after=after_critic),
                Turn("generator", generator, generator_loss, after=lambda means: advance(g)),
            ],
            generate=self.sampler(generator, data, num_classes),
            draw=lambda n: {"latent": torch.randn(n, self.latent)} | augment.draw(n),
            extras={"augment": augment, "of_late": of_late},
        )

    def networks(self, data: Spec, num_classes: int) -> tuple[HierarchicalGenerator, ResidualCritic]:
        """Generator and critic, spectral norm on every layer but the embedding that the generator's blocks share."""
        assert isinstance(data, ImageSpec)
        generator = HierarchicalGenerator(
            data,
            latent=self.latent,
            width=self.generator_width,
            widest=self.widest,
            embedding=self.embedding,
            num_classes=num_classes,
            attention=self.attention,
            patch=self.patch,
            norm=self.generator_norm,
        )
        critic = ResidualCritic(
            data,
            width=self.critic_width,
            widest=self.widest,
            base=self.critic_base,
            plain=self.critic_plain,
            num_classes=num_classes,
            wide=True,
            attention=self.attention,
            patch=self.patch,
        )
        skip = [generator if not self.generator_spectral else generator.embed or nn.Identity()]
        return spectrally_normed(ready(generator, self.init), skip=skip), spectrally_normed(ready(critic, self.init))

    def sampler(self, generator: Player, data: Spec, num_classes: int) -> Generate:
        """Averaged weights and standing statistics; below truncation 1 latents are normals cut off at twice that."""
        chunk, size = at_once(data.shape), self.latent
        usual = from_latents(generator, size, key=data.key, num_classes=num_classes, chunk=chunk)

        def drawn(request: Request) -> Tensor:
            normal = latents(replace(request, truncation=1.0), size)
            return normal if request.latents is not None else truncated(normal, request.truncation)

        def generate(request: Request) -> Batch:
            part, device = min(self.batch, chunk), next(generator.averaged.parameters()).device
            # The same ones for every sample, whatever the request's seed.
            fixed = Request(self.standing * part, seed=0xBA7C4, truncation=request.truncation)
            inputs = [drawn(fixed)] + ([torch.arange(fixed.count) % num_classes] if num_classes else [])
            parts = [value.to(device).split(part) for value in inputs]
            passes = list(zip(*parts, strict=True)) if self.standing else []
            with standing_statistics(generator.averaged, passes):
                return usual(replace(request, latents=drawn(request)))

        return generate


PRESETS = {
    "cifar10": BigGAN(
        patch=1, standing=16, latent=80, generator_width=384, critic_width=384, widest=1, embedding=128, attention=16,
        critic_base=8, critic_plain=2, orthogonality=0.0, critic_repeats=5, generator_lr=2e-4, critic_lr=2e-4,
        final_rate=1.0, betas=(0.5, 0.999), batch=64, length=640,
    ),
    "paper128": BigGAN(
        patch=1, standing=16, latent=120, generator_width=96, critic_width=96, widest=16, embedding=128, attention=64,
        critic_base=4, critic_repeats=2, generator_lr=5e-5, critic_lr=2e-4, final_rate=1.0, betas=(0.0, 0.999),
        halflife=1.4e7, batch=2048, length=480,
    ),
    "tiny": BigGAN(
        latent=8, generator_width=4, critic_width=4, widest=2, embedding=4, attention=8, standing=2, batch=16, length=1
    ),
}  # fmt: skip
SIDES = {"cifar10": 32, "paper128": 128}
"""Pixels in height and width of the images that these are made for."""
