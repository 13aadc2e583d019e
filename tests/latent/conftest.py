"""Untrained generators at tiny size, and a run folder that holds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from organza import checkpoint
from organza.data.options import DataOptions
from organza.data.spec import ImageSpec
from organza.game import Clock
from organza.latent.space import Kind, Space, space_of
from organza.recipe import find
from organza.run import create_run
from organza.settings import RunSettings

SPEC = ImageSpec(channels=1, height=16, width=16, classes=("square", "bar"))


@pytest.fixture
def space() -> Callable[..., Space]:
    """The space of a family."""

    def build(family: str = "dcgan", kind: Kind = "auto", spec: ImageSpec = SPEC) -> Space:
        torch.manual_seed(0)
        recipe = find(f"{family}:tiny").recipe
        size = getattr(recipe, "latent")  # noqa: B009
        return space_of(recipe.build(spec), spec, size, kind)

    return build


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A run folder of a family, as training leaves it."""
    made: dict[Any, Path] = {}

    def make(family: str, classes: tuple[str, ...] = SPEC.classes, **fields: Any) -> Path:
        key, spec = (family, classes, *fields.items()), replace(SPEC, classes=classes)
        if key not in made:
            torch.manual_seed(0)
            found, folder = find(f"{family}:tiny", **fields), tmp_path_factory.mktemp("runs") / family
            settings, options = RunSettings(run=folder), DataOptions()
            names = {"data": "mnist", "data_name": "mnist"}
            run = create_run(found=found, options=options, settings=settings, spec=spec, count=96, **names)
            checkpoint.save(run.checkpoints, found.recipe.build(spec), Clock(step=1, samples=16))
            made[key] = folder
        return made[key]

    return make
