"""All that touches Ray and Optuna: searcher and schedulers, the study's database, the cluster, and what they report."""
