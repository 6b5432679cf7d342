"""What a search left on disk: the one reader of it, and the checks of what it found. Imports neither Ray nor torch."""
