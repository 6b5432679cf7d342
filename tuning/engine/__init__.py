"""In ``tuning``, only this folder imports Ray or Optuna: searcher, schedulers, database, cluster,
callbacks."""
