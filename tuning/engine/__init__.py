"""All that touches Ray and Optuna: searcher, schedulers, database, cluster and callbacks."""
