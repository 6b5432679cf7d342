"""What a search left on disk: its one reader, and the checks of what the search found.

Nothing here imports Ray or torch.
"""
