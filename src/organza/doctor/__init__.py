"""The training doctor: names what is wrong with a run, shows the numbers, and proposes one change.

`examine.py` measures what the losses do not say; its numbers go into metrics.jsonl. Each illness is one pure function
from that history to a `Finding` or None, so any old run folder can be examined again. `catalogue.py` lists them.
"""
