"""Exploring a trained generator: walks, sheets, directions, inversion. Everything here only reads checkpoints.

space.py        where points lie (Z or W), how to draw them and how they become images, with gradients
paths.py        frames of a walk: between points, along a direction, from one class to another
film.py         frames to a .gif, an .mp4 or a strip in a .png
sheets.py       pictures of rows and columns: truncation, styles, classes
directions.py   SeFa and PCA, kept in the run folder by name
invert.py       from an image back to a point, and generators tuned to it
files.py        images in; points, numbers and tuned weights out
journey.py      which walk was asked for
"""
