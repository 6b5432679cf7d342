"""The report: what a search left on disk, as tables, figures and pages.

It never starts Ray and never writes into a run directory.
"""
