"""What the tests of the data package share."""

import pytest

from organza.data import DataOptions


@pytest.fixture
def options(tmp_path_factory):
    """`DataOptions` whose cache is a temporary folder."""
    cache = tmp_path_factory.mktemp("cache")
    return lambda **fields: DataOptions(**{"cache": cache, **fields})
