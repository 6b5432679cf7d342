"""URIs, and the folders for their copies on this machine."""

import pytest

from command_line import UsageError, hide_arguments, user_cache
from records.places import below, checked, copy_of, place_of, shown

URIS = (
    "s3://bucket",
    "s3://bucket/some/runs",
    "s3://bucket/runs?endpoint_override=127.0.0.1:9000&scheme=http",
    "gs://bucket/runs",
    "abfs://container@account.dfs.core.windows.net/runs",
    "hdfs://user@host:8020/runs",
    "fsspec+memory:///runs",
    "file:///shared/runs",
)


@pytest.mark.parametrize("uri", URIS)
def test_a_file_in_a_copy_has_a_uri_below_that_of_the_copy(uri: str) -> None:
    assert checked("--storage-path", f"{uri}/" if "?" not in uri else uri) == uri
    copy = copy_of(uri, "searches")
    assert copy.is_relative_to(user_cache())
    assert place_of(copy / "NAME" / "trial_0001") == below(uri, "NAME", "trial_0001")
    path, question, query = uri.partition("?")
    assert below(uri, "NAME", "x") == f"{path}/NAME/x{question}{query}"
    assert copy != copy_of(uri, "reports") != copy_of(uri + "2", "reports")


def test_any_other_path_stays_a_path() -> None:
    for path in (user_cache() / "judges/a/b/c", user_cache() / "searches", user_cache().parent):
        assert place_of(path) == str(path)
    assert shown(copy_of("s3://bucket/runs", "reports") / "one") == "s3://bucket/runs/one"


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("s3://KEY:S/cr+t@bucket/runs", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("abfs://c@a.dfs.core.windows.net/x?client_secret=very-secret", "AZURE_CLIENT_SECRET"),
        ("gs://bucket/runs?access_token=very-secret", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("s3://bucket/../other", "no .. in it"),
        ("s3://bucket/a b", "no spaces"),
        ("s3://[bucket/runs", "no URI such as"),
    ],
)
def test_a_key_in_a_uri_is_refused_and_not_repeated(uri: str, remedy: str) -> None:
    (hidden,) = hide_arguments([uri])
    for typed in (uri, hidden):
        with pytest.raises(UsageError, match=remedy) as refused:
            checked("--storage-path", typed)
        assert not any(secret in str(refused.value) for secret in ("S/cr+t", "very-secret"))
    assert "S/cr+t" not in hidden
    assert "very-secret" not in hidden


def test_the_query_of_a_storage_is_no_secret() -> None:
    uri = URIS[2]
    assert hide_arguments(["--storage-path", uri, f"--storage-path={uri}"])[1] == uri
    assert "***" in hide_arguments(["postgresql://user@host/db?sslkey=abcdefgh"])[0]
