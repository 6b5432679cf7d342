"""The study's database: opened, refused with a reason that has no secret in it, and written to in
whole transactions."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError

from command_line import HIDDEN, UsageError, hide_secrets, reveal
from tuning.options import STORAGE_VARIABLE, SearchOptions

OWN_DATABASE = "optuna.db"


def open_storage(options: SearchOptions, run: Path) -> RDBStorage:
    """Open ``optuna.db`` in the run directory, or the database of ``--optuna-storage``.

    SQLite overwrites its journal instead of deleting it, which is as safe and much faster. Raises
    OSError if another process has locked the database. Raises UsageError if it cannot be reached,
    or if it has a study with the name of a new run.
    """
    given = options.optuna_storage
    where = str(run / OWN_DATABASE) if given is None else f"--optuna-storage {given}"
    try:
        url = _database_url(given, run).render_as_string(hide_password=False)
        storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        storage.url = given or storage.url  # Ray Tune's snapshots on disk hold it: no secrets
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
    """The URL to connect to; without its secrets if the record left them out, since .pgpass or peer
    authentication may need none."""
    if given is None:
        return URL.create("sqlite", database=str(run / OWN_DATABASE))
    url = make_url(reveal(given))
    password = None if url.password == HIDDEN else url.password
    query = {name: value for name, value in url.query.items() if value != HIDDEN}
    return URL.create(
        url.drivername, url.username, password, url.host, url.port, url.database, query
    )


def _why_not(given: str | None, error: Exception) -> str:
    """The reason of ``error`` in one line.

    If the URL is cut inside its password, the driver's words would show the rest of it.
    """
    real = reveal(given or "")
    if given is not None and (isinstance(error, ValueError | ArgumentError) or real.count("@") > 1):
        return (
            "it must be a URL such as postgresql://user@host/db, with @ : / ? # and spaces in a"
            " password percent-encoded (%40)"
        )
    reason = hide_secrets((str(error).splitlines() or [type(error).__name__])[0])
    if HIDDEN in real:
        return (
            f"the run's record leaves out its secrets; set {STORAGE_VARIABLE} to the whole URL"
            f" ({reason})"
        )
    return reason


@contextlib.contextmanager
def one_transaction(storage: RDBStorage) -> Iterator[None]:
    """Commit all that Optuna writes in the body at once, or nothing of it.

    Optuna commits every single value: a trial would cost a dozen waits for the disk instead of one.
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
