"""The report: one page that shows how a run went, and that needs nothing but itself.

page.py       puts the page together; page.html, page.css and page.js are its hand-written parts
sections.py   the parts of the page; gallery.py the one on copies
timeline.py   rows of metrics.jsonl to numbers that can be trusted
objective.py  what the scores of each adversarial loss mean
verdict.py    one sentence on how the run went
charts.py     which curves there are, and how to read them
film.py       samples as frames
neighbours.py the nearest training image of each fake
"""

from organza.report.page import write_report

__all__ = ["write_report"]
