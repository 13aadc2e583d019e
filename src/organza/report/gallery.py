"""Sections of pictures as HTML: what single codes do, results over their sources, fakes beside training images."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from organza.data.source import Batch, encode
from organza.data.spec import ImageSpec, Spec
from organza.pictures import picture
from organza.report.film import picture_uri, thumbnail_uri
from organza.report.neighbours import Neighbours
from organza.report.sections import missing, safe
from organza.report.timeline import human

KEY = (
    '<p class="key"><b class="is-fake">Fake</b> <b class="is-real">Nearest training image</b> '
    "<span>and the distance between them</span></p>"
)


EXAMPLES, LONGEST = 8, 256
"""Results shown with their sources, and their largest side in pixels."""


def results_section(given: Batch | None, fakes: Batch | None, spec: Spec) -> str:
    """Sources over results, and results over truths where those are known, with a handle between; else nothing."""
    if given is None or fakes is None or not isinstance(spec, ImageSpec) or spec.source is None:
        return ""
    sides = {"Source": (given["source"], spec.source), "Result": (fakes["image"], spec.alone)}
    if "image" in given:
        sides["Truth"] = given["image"], spec.alone
    images = {name: encode(batch[:EXAMPLES].nan_to_num(), kind) for name, (batch, kind) in sides.items()}
    uris = {name: [thumbnail_uri(picture(one), longest=LONGEST) for one in each] for name, each in images.items()}
    pixel = " pixel" if max(spec.height, spec.width) <= 80 else ""
    ratio = f"{spec.width} / {spec.height}"
    cards = "".join(
        "<li>"
        + "".join(
            wipe((name, uris[name][index]), (other, uris[other][index]), number=index + 1, ratio=ratio, pixel=pixel)
            for name, other in pairwise(uris)
        )
        + "</li>"
        for index in range(len(uris["Result"]))
    )
    truth = " and below it the result over what it should be" if "Truth" in uris else ""
    return (
        '<section aria-labelledby="results-title"><h2 id="results-title">Before and after</h2><p class="lede">Images '
        "that the run was not trained on, where the data holds such: each source over what was made of it"
        f'{truth}.<span class="live"> Drag the line, or focus a picture and press the arrow keys.</span></p>'
        f'<ul class="wipes">{cards}</ul></section>'
    )


def wipe(left: tuple[str, str], right: tuple[str, str], *, number: int, ratio: str, pixel: str) -> str:
    """One picture over another, each a name and a URI; beside each other without JavaScript."""
    shown = "".join(
        f'<figure><img class="screen{pixel}" src="{uri}" alt="{name} {number}"><figcaption>{name}</figcaption></figure>'
        for name, uri in (left, right)
    )
    told = f"{left[0]} {number} from the left, {right[0].lower()} from the right: where they meet, in percent"
    return (
        f'<div class="wipe" style="--ratio: {ratio}">{shown}'
        f'<input type="range" min="0" max="100" value="50" aria-label="{told}"></div>'
    )


def tour_section(folder: Path) -> str:
    """The pictures of a run's tour folder, each with its name; nothing if there are none."""
    shown = [(path.stem, uri) for path in sorted(folder.glob("*.png")) if (uri := picture_uri(path))]
    if not shown:
        return ""
    figures = "".join(
        f"<figure><figcaption><b>{safe(name.replace('-', ' ').capitalize())}</b></figcaption>"
        f'<img class="screen" src="{uri}" alt="Fakes that differ along each row in {safe(name)} alone"></figure>'
        for name, uri in shown
    )
    return (
        '<section aria-labelledby="tour-title"><h2 id="tour-title">What the codes mean</h2><p class="lede">Along each '
        "row one code of the latent changes and everything else stays; rows begin from different latents. A code means "
        f'something if it does the same to every row.</p><div class="screens is-fake">{figures}</div></section>'
    )


def neighbours_section(found: Neighbours | str, spec: ImageSpec) -> str:
    """Each fake beside its nearest training image; a text says why there are none."""
    title = '<section aria-labelledby="near-title"><h2 id="near-title">New, or copied?</h2>'
    if isinstance(found, str):
        return f"{title}{missing(found)}</section>"
    limit = found.baseline.min() if len(found.baseline) else 0.0
    near = found.distances <= limit
    pairs = "".join(pair(found, index, bool(near[index]), spec) for index in range(len(found.fakes)))
    return f'{title}{neighbours_text(found, near)}{KEY}<ul class="pairs">{pairs}</ul></section>'


def neighbours_text(found: Neighbours, near: np.ndarray) -> str:
    """What the distances say, and what they cannot say."""
    is_whole = found.searched == found.total
    part = f"All {found.total:,}" if is_whole else f"A random {found.searched:,} of {found.total:,}"
    text = (
        "Each fake and the training image that differs least from it, pixel by pixel: a generator that copies shows "
        f"the same picture twice. {part} training images were searched."
    )
    findings = ""
    count, typical = len(found.fakes), float(np.median(found.distances))
    if len(found.baseline):
        usual, least = float(np.median(found.baseline)), float(found.baseline.min())
        findings += (
            f"A real image is typically {human(usual)} away from the nearest other real image (the median over "
            f"{len(found.baseline)} of them), these fakes {human(typical)} from theirs. "
        )
        closest = f"as close as the closest of those real pairs ({human(least)})"
        if near.any():
            marked = "is marked: it is" if near.sum() == 1 else "are marked: they are"
            findings += f"{near.sum()} of {count} {marked} {closest}, or closer. "
        else:
            findings += f"None is {closest}: no sign of copying, though shifted or mirrored copies would not show. "
    return f'<p class="lede">{text}</p><p class="finding">{findings}{variety(found)}</p>'


def variety(found: Neighbours) -> str:
    """Whether the fakes differ from one another as real images do."""
    if not found.real_spread or len(found.fakes) < 2:
        return ""
    ratio = found.fake_spread / found.real_spread
    told = "further apart than real images, as noise is"
    if ratio < 0.5:
        told = "much more alike than real images: a sign of mode collapse, or of a generator that has hardly learned"
    elif ratio < 0.85:
        told = "more alike than real images"
    elif ratio < 1.2:
        told = "about as far apart as real images (whether some repeat, organza audit says)"
    return (
        f"Two of these fakes differ by {human(found.fake_spread)} on average, two real images by "
        f"{human(found.real_spread)}: the fakes are {told}."
    )


def pair(found: Neighbours, index: int, is_near: bool, spec: ImageSpec) -> str:
    """One fake and, below it, its neighbour."""
    pixel = ' class="pixel"' if max(spec.height, spec.width) <= 80 else ""
    label = int(found.labels[index]) if found.labels is not None else -1
    name = f", class {safe(spec.classes[label])}" if 0 <= label < spec.num_classes else ""
    fake, real = (thumbnail_uri(picture(images[index])) for images in (found.fakes, found.real))
    return (
        f'<li class="pair"><img{pixel} src="{fake}" alt="Fake {index + 1}">'
        f'<img{pixel} src="{real}" alt="Training image {found.indices[index]:,}{name}">'
        f"<p><b>{human(float(found.distances[index]))}</b>{' <em>very close</em>' if is_near else ''}"
        f"<span>no. {found.indices[index]:,}{name}</span></p></li>"
    )
