"""The audit page: the fakes that lie nearest to training images, beside those, with a verdict in words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from organza import __version__
from organza.audit import Audit, Space
from organza.data.source import Source
from organza.data.spec import ImageSpec
from organza.pictures import picture, save_aside
from organza.report.film import thumbnail_uri
from organza.report.gallery import KEY, pair
from organza.report.neighbours import SHOWN, Neighbours
from organza.report.page import footer, heading, part
from organza.report.sections import safe
from organza.report.timeline import human
from organza.run import Run


def write_audit(run: Run, found: Audit, source: Source) -> Path:
    """Write audit.html into a run folder.

    Args:
        run: The run.
        found: What the audit found.
        source: The training data, for the pictures.

    Returns:
        The path of the page.

    Raises:
        OSError: It could not be written.
    """
    slots = {
        "version": __version__,
        "title": safe(f"audit of {run.folder.resolve().name} · organza"),
        "heading": safe(heading(run.config, run.folder)),
        "tone": found.tone,
        "headline": safe(found.headline),
        "reason": safe("; ".join(found.reasons)),
        "remark": safe(remark(found)),
        "facts": facts(found),
        "spaces": "".join(section(name, space, found, source) for name, space in found.spaces.items()),
        "twins": twins(found),
        "footer": footer(run.folder, run.config),
        "css": part("page.css"),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda slot: slots[slot[1]], part("audit.html"))
    path = run.folder / "audit.html"
    save_aside(path, lambda aside: aside.write_bytes(page.encode("utf-8", "replace")))
    return path


def remark(found: Audit) -> str:
    """What was searched, and what this cannot tell."""
    searched = "All" if found.searched == found.total else f"A random {found.searched:,} of"
    held_out = (
        "Held-out images are those of the test split, which the run has not seen."
        if found.has_test
        else "There is no test split, so some training images were set aside as held-out ones; copies of those are "
        "not found."
    )
    return (
        f"{searched} {found.total:,} training images were searched for {len(found.fakes):,} fakes (checkpoint "
        f"{found.checkpoint}, seed {found.seed}). {held_out} Parts of images, and shifted or mirrored copies, can "
        "escape the pixels; an audit finds copies, it cannot prove that there are none."
    )


def facts(found: Audit) -> str:
    """The numbers."""
    entries = [(f"Suspicious in {name}", f"{space.share:.1%}", "1% by chance") for name, space in found.spaces.items()]
    entries += [
        ("Authenticity", f"{found.authenticity:.0%}", f"held-out images: {found.authenticity_floor:.0%}"),
        ("C_T", f"{found.copying.value:+.1f}", f"worst region: {found.copying.lowest:+.1f}"),
        ("Twin fakes", f"{found.birthday.duplicates:,} pairs", f"of {found.birthday.pairs:,}"),
    ]
    return "".join(
        f"<div><dt>{safe(name)}</dt><dd>{safe(value)}<small>{safe(more)}</small></dd></div>"
        for name, value, more in entries
    )


def section(name: str, space: Space, found: Audit, source: Source) -> str:
    """The fakes nearest to training images by one kind of distance."""
    spec = source.spec
    assert isinstance(spec, ImageSpec)
    first = np.argsort(space.distances, kind="stable")[:SHOWN]
    real = source.read(space.indices[first])
    shown = Neighbours(
        fakes=found.fakes[first],
        real=real["image"].permute(0, 2, 3, 1).numpy(),
        indices=space.indices[first],
        labels=real["label"].numpy() if "label" in real else None,
        distances=space.distances[first],
        baseline=space.baseline,
        searched=found.searched,
        total=found.total,
        fake_spread=0.0,
        real_spread=0.0,
    )
    near = space.near[first]
    pairs = "".join(pair(shown, index, bool(near[index]), spec) for index in range(len(first)))
    where = "pixel by pixel" if name == "pixels" else f"in the eyes of {safe(name)}, which looks past small changes"
    exact = int((space.distances == 0).sum())
    told = (
        f"Typical distance to the nearest training image: {human(float(np.median(space.distances)))} for fakes, "
        f"{human(float(np.median(space.baseline)))} for held-out images. {space.near.sum():,} of "
        f"{len(space.near):,} fakes lie below {human(space.limit)}, as 1 in 100 held-out images does; they are marked."
    )
    told += f" {exact:,} are equal to a training image." if exact else ""
    return (
        f'<section aria-labelledby="near-{safe(name)}"><h2 id="near-{safe(name)}">The nearest in {safe(name)}</h2>'
        f'<p class="lede">Of all fakes the {len(first)} that lie nearest to a training image, {where}.</p>'
        f'<p class="finding">{told}</p>{KEY}<ul class="pairs">{pairs}</ul></section>'
    )


def twins(found: Audit) -> str:
    """The two fakes that are most alike."""
    both = "".join(
        f'<li class="pair"><img class="pixel" src="{thumbnail_uri(picture(found.fakes[index]))}" '
        f'alt="Fake {index}"><p>fake {index:,}</p></li>'
        for index in found.birthday.closest
    )
    support = found.birthday.support
    told = (
        f"{found.birthday.duplicates:,} of {found.birthday.pairs:,} pairs of fakes are as alike as the two most alike "
        f"of as many real images ({human(found.closest_real)} apart in {safe(found.extractor)}); one such pair is "
        "chance."
    )
    told += f" That is as if there were {human(support)} different samples." if found.repeats else ""
    return (
        f'<p class="lede">{told}</p><p class="finding">The two fakes most alike, {human(found.birthday.distance)} '
        f'apart:</p><ul class="pairs">{both}</ul>'
    )
