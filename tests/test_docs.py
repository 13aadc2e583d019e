"""What the documents say is true: their code runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import organza
from organza.recipes import RECIPES

ROOT = Path(__file__).parents[1]


def snippet(document: str) -> str:
    match = re.search(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert match, f"no Python in {document}"
    return match[1]


def test_the_recipe_of_the_docs_trains(tmp_path: Path) -> None:
    (tmp_path / "points.py").write_text(snippet("docs/recipes.md"))
    run = organza.train(f"{tmp_path / 'points.py'}", data="ring8", samples=128, run=tmp_path / "run")
    assert run.generate(5).shape == (5, 2)


def test_the_python_of_the_scores_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet("docs/evaluation.md"), "docs/evaluation.md", "exec"), {})
    title, value = capsys.readouterr().out.split()
    assert title == "perceptual-digits"
    assert 0 < float(value) < 4


def test_the_python_of_the_page_on_images_from_images_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(compile(snippet("docs/image-to-image.md"), "docs/image-to-image.md", "exec"), found)
    large = found["large"]
    assert isinstance(large, np.ndarray)
    assert large.shape == (80, 124, 1)


@pytest.mark.parametrize("name", RECIPES)
def test_every_family_has_its_place_in_the_docs(name: str) -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "docs/recipes.md").read_text(), re.MULTILINE)
    assert name in [family for heading in headings for family in heading.split(", ")]


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    code = snippet("README.md").replace("minutes=2", "samples=64")
    exec(compile(code, "README.md", "exec"), found)
    images = found["images"]
    assert isinstance(images, np.ndarray)
    assert images.shape == (64, 28, 28, 1)
    assert images.dtype == np.uint8


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_link_leads_somewhere_and_nothing_is_left_to_fill_in(document: str) -> None:
    text = (ROOT / document).read_text()
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert not [target for target in targets if not ((ROOT / document).parent / target).exists()]
    assert not re.findall(r"@[A-Z]+@", text)
