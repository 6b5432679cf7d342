"""The study's database: opened, refused with a reason that has no secret in it, and written to in whole transactions."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError

from command_line import HIDDEN, UsageError, hide_secrets, reveal
from tuning.options import STORAGE_VARIABLE, SearchOptions


def open_storage(options: SearchOptions, run: Path) -> RDBStorage:
    """The study's database: ``optuna.db`` in the run directory unless ``--optuna-storage`` names
    another.

    SQLite's journal is overwritten rather than deleted at every commit, which is as safe and costs
    a fraction of the time.

    Raises OSError if another process holds it; UsageError if it cannot be reached, or if a new run
    would go on with another run's study of its name.
    """
    given = options.optuna_storage
    where = str(run / "optuna.db") if given is None else f"--optuna-storage {given}"
    try:
        url = _database_url(given, run).render_as_string(hide_password=False)
        storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        storage.url = (
            given or storage.url
        )  # all of the URL that Ray Tune's snapshots on disk may hold
        if storage.engine.dialect.name == "sqlite":
            event.listen(
                storage.engine,
                "connect",
                lambda connection, _: connection.execute("PRAGMA journal_mode=PERSIST"),
            )
            storage.engine.dispose()  # the connections made so far
        taken = not options.resume and run.name in optuna.get_all_study_names(storage)
    except Exception as error:  # SQLAlchemy, its drivers and Optuna raise each their own
        if "database is locked" in str(error):
            raise OSError(f"{where}: the database is locked by another process") from None
        raise UsageError(f"{where} cannot be opened: {_why_not(given, error)}") from None
    if taken:
        raise UsageError(f"{where} has a study named {run.name} already: choose another --name")
    return storage


def _database_url(given: str | None, run: Path) -> URL:
    """The URL to connect to. Of one that was recorded without its secrets, what is left: .pgpass or peer may do without."""
    if given is None:
        return URL.create("sqlite", database=str(run / "optuna.db"))
    url = make_url(reveal(given))
    password = None if url.password == HIDDEN else url.password
    query = {name: value for name, value in url.query.items() if value != HIDDEN}
    return URL.create(
        url.drivername, url.username, password, url.host, url.port, url.database, query
    )


def _why_not(given: str | None, error: Exception) -> str:
    """In one line. No driver speaks of a URL that was cut in the middle of its password: it would print the rest of it."""
    real = reveal(given or "")
    if given is not None and (isinstance(error, ValueError | ArgumentError) or real.count("@") > 1):
        return "it must be a URL such as postgresql://user@host/db, with @ : / ? # and spaces in a password percent-encoded (%40)"
    reason = hide_secrets((str(error).splitlines() or [type(error).__name__])[0])
    if HIDDEN in real:
        return f"the run's record leaves out its secrets; set {STORAGE_VARIABLE} to the whole URL ({reason})"
    return reason


@contextlib.contextmanager
def one_transaction(storage: RDBStorage) -> Iterator[None]:
    """All that Optuna writes meanwhile is committed at once, or not at all; by itself it commits
    every single value.

    A trial's settings and attributes then cost one wait for the disk instead of a dozen.
    Source:
    https://docs.sqlalchemy.org/en/20/orm/session_transaction.html#joining-a-session-into-an-external-transaction-such-as-for-test-suites
    """
    sessions = storage.scoped_session
    sessions.remove()
    with storage.engine.begin() as connection:
        sessions.configure(bind=connection, join_transaction_mode="rollback_only")
        try:
            yield
        finally:
            sessions.remove()
            sessions.configure(bind=storage.engine, join_transaction_mode="conditional_savepoint")
