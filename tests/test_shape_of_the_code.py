"""The architecture, as far as a machine can see it: sizes, directions of imports, public names, forbidden calls."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import organza

SOURCE = Path(organza.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
PUBLIC = "train resume finetune evaluate open Run RunSettings DataOptions Recipe find"
VOCABULARY = "Game Player Turn Loss Batch Clock Request Report Stop"
RECIPES_MAY = {
    "game",
    "inference",
    "nets",
    "losses",
    "penalties",
    "schedules",
    "augment",
    "recipe",
    "translation",
    "noise",
    "errors",
    "data.spec",
}
EXTRACTORS_MAY = {"metrics", "errors", "nets.classifier", "data.spec", "data.options", "data.download"}
files = pytest.mark.parametrize("file", FILES, ids=[str(path.relative_to(SOURCE)) for path in FILES])


def module(file: Path) -> str:
    """Dotted name below organza: `nets.conv`, `recipes`, or nothing for organza itself."""
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(file: Path) -> Iterator[str]:
    """What a file imports of organza, dotted and below it; `from organza import run` counts as `run`."""
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            is_package = base == "organza" or (SOURCE.parent / base.replace(".", "/")).is_dir()
            names = [f"{base}.{alias.name}" if is_package else base for alias in node.names]
        yield from (name.removeprefix("organza.") for name in names if name.startswith("organza."))


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def strangers(file: Path, allowed: set[str]) -> list[str]:
    """Imports of a file that are not within the allowed packages."""
    return [name for name in imports(file) if not within(name, allowed) and name != "__version__"]


@files
def test_no_file_grows_beyond_reading_length(file: Path) -> None:
    limit = 250 if "recipes" in file.parts else 300 if file.name == "trainer.py" else 500
    assert len(file.read_text().splitlines()) <= limit


@files
def test_imports_point_in_one_direction(file: Path) -> None:
    name = module(file)
    home = name.split(".")[0]
    if home == "recipes":
        assert not strangers(file, RECIPES_MAY | ({"recipes"} if name == "recipes" else set()))
    if home == "nets":
        assert not strangers(file, {"nets", "noise", "data.spec", "errors"})
    if home == "metrics":
        may = {"metrics", "errors"} | ({"perceptual"} if name == "metrics.perceptual" else set())
        assert not strangers(file, EXTRACTORS_MAY if within(name, {"metrics.extractors"}) else may)
    if home == "perceptual":
        assert not strangers(file, {"perceptual", "metrics.extractors", "data", "errors"})
    if name == "trainer":
        assert not strangers(file, {"game", "distributed", "devices", "errors"})
    if name in ("game", "losses", "noise", "penalties", "errors"):
        assert not list(imports(file))
    if home == "data":
        assert not strangers(file, {"data", "noise", "errors"})
    if home not in ("cli", "__main__"):
        assert not [target for target in imports(file) if within(target, {"cli"})]
    if home not in ("cli", "session", "playing", "assemble", "hooks"):
        allowed = {"hooks.console", "hooks.signals"} if name == "planning" else set()
        assert not [target for target in imports(file) if within(target, {"hooks"}) and not within(target, allowed)]
    if home not in ("", "cli", "session"):  # organza itself names it, and loads it on first use
        assert not [target for target in imports(file) if within(target, {"session"})]
    if home not in ("session", "playing", "planning"):
        assert not [target for target in imports(file) if within(target, {"playing"})]


def test_the_trainer_names_no_family() -> None:
    text = (SOURCE / "trainer.py").read_text().lower()
    assert not [name for name in ("wgan", "dcgan", "stylegan", "r3gan", "vanilla") if name in text]


def test_the_public_names_are_these_in_reading_order() -> None:
    assert organza.__all__ == [*PUBLIC.split(), *VOCABULARY.split()]
    assert all(getattr(organza, name) for name in organza.__all__)
    assert set(organza._HOMES) == set(organza.__all__)
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        organza.tarin  # noqa: B018


@files
def test_nothing_is_pickled_and_no_text_is_run(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve"} & {
                name.split(".")[0] for name in names
            }
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "torch.save", "hash")
            if called == "torch.load":  # weights that others made, with a restricted loader, in one place
                assert module(file) == "metrics.extractors.files"
                assert {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}["weights_only"] == "True"
            for keyword in node.keywords:
                assert keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"


@files
def test_every_module_says_what_it_is(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text()))


WITHOUT_TORCH = """
import sys
from organza.cli.__main__ import main
try:
    main({args!r})
except SystemExit:
    pass
heavy = {{"torch", "numpy", "PIL", "matplotlib", "safetensors"}} & set(sys.modules)
sys.exit(f"imported: {{sorted(heavy)}}" if heavy else 0)
"""


@pytest.mark.parametrize("args", [["--help"], ["train", "--help"], ["--version"]], ids=" ".join)
def test_help_is_answered_without_waiting_for_torch(args: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(args=args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
