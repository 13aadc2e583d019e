"""What the tests of the data package share."""

from pathlib import Path

import pytest

from organza.data import DataOptions, idx


@pytest.fixture
def options(tmp_path_factory):
    """`DataOptions` whose cache is a temporary folder."""
    cache = tmp_path_factory.mktemp("cache")
    return lambda **fields: DataOptions(**{"cache": cache, **fields})


@pytest.fixture(autouse=True)
def _no_system_data(monkeypatch, tmp_path: Path) -> None:
    """What the machine has installed is not looked at."""
    monkeypatch.setattr(idx, "FASHION_DEBIAN", tmp_path / "not-installed")
