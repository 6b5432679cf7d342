"""What a search left on disk, as tables, figures and pages. Never starts Ray, never writes into a run directory."""
