"""Experiment trackers: TensorBoard, Weights & Biases, Trackio and MLflow hear of rows, sample grids and findings.

Each service is a short class in a file of its own; what they share is in `channels.py`. Their packages are imported
where they are used. Along the x axis are samples seen. A service's own environment variables say where it keeps its
data, and whether offline.
"""

from __future__ import annotations

from organza.hooks.trackers.channels import TRACKERS, Trackers, check, numbers
from organza.hooks.trackers.tracker import Part, Tracker

__all__ = ["TRACKERS", "Part", "Tracker", "Trackers", "check", "numbers"]
