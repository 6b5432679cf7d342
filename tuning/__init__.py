"""One search: options, cluster, sampler, scheduler, run directory, resume, confirmation, progress.

Nothing heavy is imported here, so that a script's ``--help`` answers at once.
"""
