"""The ``main`` of a search's script: options from the command line, the search, its exit status."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from command_line import UsageError, exit_usage_error
from tuning.options import SearchOptions
from tuning.parse_options import parse
from tuning.trouble import guarded

if TYPE_CHECKING:
    from tuning.task import Task

Options = TypeVar("Options", bound=SearchOptions)


def search_script(options: type[Options], task: "Callable[[Options], Task]") -> Callable[[], int]:
    """A ``main`` that reads ``options`` and runs the search that ``task`` makes of them."""

    @guarded
    def main() -> int:
        given = parse(options)
        # Ray and torch are imported only after the options were found to be good.
        from tuning.search import Search

        try:
            asked = task(given)
            if given.train:
                from tuning.one_training import one_training, read_settings

                asked = one_training(asked, read_settings(given.train), options)
        except UsageError as error:
            exit_usage_error(str(error))
        if given.probe_gpu:
            from tuning.probe import probe

            return probe(given, asked)
        return Search(given, asked).run()

    return main
