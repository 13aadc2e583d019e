"""The ward: runs made sick on purpose and their healthy twins. Does the doctor find the right illness first?

    python benchmarks/ward.py [--seeds 3] [--only NAME ...] [--cure]

Prints a row per run and the share of right diagnoses; `--cure` also applies the proposed change and looks again.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

HERE = Path(__file__).parent
SICK = f"{HERE / 'ward_recipes.py'}"
DIGITS: dict[str, Any] = {"latent": 32, "width": 8, "loss": "relativistic"}
PLAIN: dict[str, Any] = {"latent": 32, "generator_widths": (128, 256), "critic_widths": (256, 128)}


@final
@dataclass(frozen=True)
class Case:
    """One run of the ward."""

    illness: str
    """What the doctor has to find; `healthy`: nothing."""
    recipe: str
    fields: dict[str, Any] = field(default_factory=dict)
    data: str = "mnist"
    limit: int | None = None
    samples: int = 25_000


HEALTHY_DIGITS = Case("healthy", "dcgan", DIGITS)
HEALTHY_RING = Case("healthy", "dcgan:toy", {}, "ring8", samples=400_000)

WARD: dict[str, Case] = {
    "digits": HEALTHY_DIGITS,
    "digits, unlabelled": Case(
        "healthy", "dcgan", {**DIGITS, "conditional": "no", "r2": 0.1, "width": 16}, samples=60_000
    ),
    "digits, augmented": Case(
        "healthy", "dcgan", {**DIGITS, "augment": ("color", "translation", "cutout"), "augment_share": 0.5}
    ),
    "digits, own recipe": Case("healthy", SICK),
    "ring": HEALTHY_RING,
    "shirts": Case("healthy", "dcgan", DIGITS, "fashion"),
    "rates of 1e20": Case("non_finite", "dcgan", {**DIGITS, "critic_lr": 1e20, "generator_lr": 1e20}),
    "saturating loss": Case(
        "discriminator_wins", "vanilla", {**PLAIN, "loss": "minimax", "critic_lr": 2e-3, "generator_lr": 2e-4}
    ),
    "slow critic": Case("generator_wins", "dcgan", {**DIGITS, "critic_lr": 1e-5}),
    "mode hopping": Case(
        "oscillation", "vanilla", {"latent": 2, "generator_widths": (64, 64), "critic_widths": (64, 64), "batch": 256,
        "generator_lr": 1e-3, "critic_lr": 1e-3}, "ring8", samples=400_000,
    ),
    "textbook": Case("mode_collapse", "vanilla:mlp1024", {}, samples=70_000),
    "blind to two": Case("missing_modes", SICK, {"mistake": "blind", "conditional": "no"}),
    "deaf generator": Case("sameness", SICK, {"mistake": "deaf"}),
    "no bound": Case("exploding_scores", "dcgan", {**DIGITS, "loss": "wasserstein", "r1": 0.0}),
    "zero critic": Case("dead_discriminator", SICK, {"mistake": "dead"}),
    "heavy penalty": Case("penalty_dominates", "dcgan", {**DIGITS, "r1": 1e4}),
    "detached penalty": Case("penalty_disconnected", SICK, {"mistake": "detached"}),
    "turned digits": Case("augmentation_leak", "dcgan", {**DIGITS, "augment": ("rotate",), "augment_share": 1.0}),
    "100 digits": Case("discriminator_overfits", "dcgan", {**DIGITS, "r1": 0.0}, limit=100),
    "16 digits": Case("memorisation", "dcgan", {**DIGITS, "batch": 16}, limit=16, samples=30_000),
    "long average": Case("average_lags", SICK, {"mistake": "average"}),
    "lazy statistics": Case("batch_statistics", SICK, {"mistake": "statistics"}),
    "rates of 0.5": Case("rate_too_high", "dcgan", {**DIGITS, "critic_lr": 0.5, "generator_lr": 0.5}),
    "rates of 1e-7": Case("rate_too_low", "dcgan", {**DIGITS, "critic_lr": 1e-7, "generator_lr": 1e-7}),
    "slow data": Case("data_bound", "dcgan", DIGITS, "slow", samples=16_000),
    "rare classes": Case("label_imbalance", "dcgan", DIGITS, "rare"),
    "unit range": Case("range_mismatch", SICK, {"mistake": "range"}),
}  # fmt: skip


def prepare_data(case: Case, folder: Path) -> str:
    """The data source of a case, made where it does not exist."""
    from organza.data import DataOptions, open_source, registry
    from organza.data.memory import MemorySource

    if case.data == "fashion":
        return "fashion-mnist"
    if case.data == "rare":
        source = open_source("mnist", DataOptions())
        stored = source.read(np.arange(len(source)))
        label = stored["label"].numpy()
        keep = np.isin(label, range(7)) | (np.random.default_rng(0).random(len(label)) < 0.02)
        path = folder / "rare.npz"
        np.savez(path, images=stored["image"][:, 0].numpy()[keep], labels=label[keep])
        return str(path)
    if case.data == "slow":
        whole = open_source("mnist", DataOptions(limit=5_000))

        class Slow(type(whole).__mro__[1]):  # a source that is read batch by batch
            """Takes 100 ms to read a batch."""

            name, spec = "slow", whole.spec

            def __len__(self) -> int:
                return len(whole)

            def read(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
                time.sleep(0.1)
                return whole.read(indices)

        assert isinstance(whole, MemorySource)
        registry.SOURCES["slow"] = lambda options: Slow()
        return "slow"
    return case.data


def play(case: Case, seed: int) -> list[dict[str, Any]]:
    """Train a case; the doctor's findings at its end."""
    import organza
    from organza import DataOptions, RunSettings
    from organza.doctor.catalogue import diagnose
    from organza.doctor.history import History
    from organza.errors import OrganzaError
    from organza.recipe import find
    from organza.session import start

    torch.set_num_threads(1)
    found = find(case.recipe, **case.fields)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        run = Path(folder) / "run"
        settings = RunSettings(
            doctor_every=2_000, doctor_share=0.5, log_every=1_000, sample_every=10**9, checkpoint_every=10**9
        )
        try:
            start(
                found,
                data=prepare_data(case, Path(folder)),
                settings=replace(settings, samples=case.samples, seed=seed, run=run),
                options=DataOptions(limit=case.limit),
            )
        except OrganzaError as error:
            print(error, file=sys.stderr)
        opened = organza.open(run)
        return [finding.as_json() for finding in diagnose(History(opened.rows(), opened.config))] + [
            {"rows": [row for row in opened.rows() if "health/spread" in row]}
        ]


BY_HAND: dict[str, dict[str, Any]] = {
    "16 digits": {"limit": None, "samples": 25_000},
    "slow data": {"data": "mnist", "limit": 5_000},
    "rare classes": {"data": "mnist"},
}
"""What a person does who follows advice that no option can carry out; a mistake in a recipe is taken out."""


def cured(case: Case, name: str, found: list[dict[str, Any]]) -> tuple[Case, str]:
    """The case with the proposed change of the likeliest cause, and how it was made: by option or by hand."""
    fields = found[0]["change"]["fields"] if found else {}
    if found and found[0]["change"]["recipe"]:
        return replace(case, recipe=found[0]["change"]["recipe"], fields={}), "option"
    if fields:
        kept = {key: value for key, value in fields.items() if key in {*case.fields, *find_fields(case)}}
        return replace(case, fields={**case.fields, **kept}), "option"
    if "mistake" in case.fields:
        return replace(case, fields={**case.fields, "mistake": "none"}), "hand"
    return replace(case, **BY_HAND.get(name, {})), "hand"


def find_fields(case: Case) -> set[str]:
    """The fields of the recipe of a case."""
    from organza.recipe import find

    return set(vars(find(case.recipe).recipe))


def visit(job: tuple[str, int, bool]) -> tuple[str, int, list[dict[str, Any]], list[dict[str, Any]] | None, str, float]:
    """One run, timed, and the run with the proposed change if that is wanted."""
    name, seed, cure = job
    began = time.monotonic()
    found = play(WARD[name], seed)
    after, how = None, ""
    if cure and WARD[name].illness != "healthy":
        case, how = cured(WARD[name], name, found[:-1])
        after = play(case, seed)[:-1]
    return name, seed, found, after, how, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(WARD))
    parser.add_argument("--cure", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    jobs = [(name, seed, options.cure) for name in options.only for seed in range(options.seeds)]
    right: dict[bool, list[bool]] = {True: [], False: []}
    cures: dict[str, list[bool]] = {"option": [], "hand": []}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for name, seed, found, after, how, seconds in pool.map(visit, jobs):
            rows = found.pop()
            names = [finding["name"] for finding in found] or ["healthy"]
            expected = WARD[name].illness
            right[expected == "healthy"].append(names[0] == expected)
            mark = "ok " if names[0] == expected else "NO "
            line = f"{mark} {name:20} seed {seed} expected {expected:22} found {', '.join(names)} ({seconds:.0f} s)"
            if after is not None:
                cures[how].append(not after)
                change = (found[0]["change"]["recipe"] or found[0]["change"]["fields"]) if found else {}
                line += f"; by {how} {change or ''}: {', '.join(f['name'] for f in after) or 'healthy'}"
            print(line, flush=True)
            if options.out:
                options.out.mkdir(exist_ok=True)
                (options.out / f"{name}-{seed}.json").write_text(json.dumps({"found": found, "after": after, **rows}))
    for healthy, marks in right.items():
        if marks:
            print(f"{'healthy' if healthy else 'sick'}: {sum(marks)} of {len(marks)} right")
    for how, marks in cures.items():
        if marks:
            print(f"cured by {how}: {sum(marks)} of {len(marks)}")


if __name__ == "__main__":
    main()
