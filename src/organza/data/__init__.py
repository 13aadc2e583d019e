"""Data: one source string in; a spec, samples by index, and endless shuffled batches out.

`open_source("mnist", DataOptions())` opens a source; `organza.data.check.check` judges one before any training. The
names below are loaded on first use, so that reading the options does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from organza.data.download import fetch
    from organza.data.memory import MemorySource
    from organza.data.options import DataOptions
    from organza.data.pairs import PairSource
    from organza.data.registry import SOURCES, open_source
    from organza.data.source import Batch, Source, decode, encode
    from organza.data.spec import SPECS, ImageSpec, Spec, VectorSpec
    from organza.data.streamed import StreamedSource
    from organza.data.toys import ToySource

__all__ = [
    "SOURCES",
    "SPECS",
    "Batch",
    "DataOptions",
    "ImageSpec",
    "MemorySource",
    "PairSource",
    "Source",
    "Spec",
    "StreamedSource",
    "ToySource",
    "VectorSpec",
    "decode",
    "encode",
    "fetch",
    "open_source",
]

_HOMES = {
    "download": ("fetch",),
    "memory": ("MemorySource",),
    "options": ("DataOptions",),
    "pairs": ("PairSource",),
    "registry": ("SOURCES", "open_source"),
    "source": ("Batch", "Source", "decode", "encode"),
    "spec": ("SPECS", "ImageSpec", "Spec", "VectorSpec"),
    "streamed": ("StreamedSource",),
    "toys": ("ToySource",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"organza.data.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
