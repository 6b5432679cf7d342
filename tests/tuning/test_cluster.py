import socket

import pytest

from command_line import BadOptions
from tune_lstm import LSTMOptions
from tuning.cluster import _together, check_machine, room_on

CPU_NODE = {"CPU": 4.0, "memory": 1e9}
GPU_NODE = {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("node", "request_", "room"),
    [
        (CPU_NODE, {"CPU": 1.0}, 4),
        (CPU_NODE, {"CPU": 0.5}, 8),
        (CPU_NODE, {"CPU": 3.0}, 1),
        (CPU_NODE, {"CPU": 5.0}, 0),
        (CPU_NODE, {"CPU": 1.0, "GPU": 0.5}, 0),
        (GPU_NODE, {"CPU": 1.0, "GPU": 0.5}, 4),
        (GPU_NODE, {"CPU": 1.0, "GPU": 0.4}, 4),  # two a GPU: a share never spans two GPUs
        (GPU_NODE, {"CPU": 1.0, "GPU": 0.1}, 8),  # the cores are the limit
        (GPU_NODE, {"CPU": 1.0, "GPU": 1.0}, 2),
        (GPU_NODE, {"CPU": 1.0, "GPU": 2.0}, 1),
        (GPU_NODE, {"CPU": 1.0, "GPU": 3.0}, 0),
        ({"CPU": 0.3 * 3}, {"CPU": 0.3}, 3),  # 0.9 / 0.3 is 2.9999999999999996
    ],
)
def test_room_on_a_node(node: dict[str, float], request_: dict[str, float], room: int) -> None:
    assert room_on(node, request_) == room


def test_more_cores_than_the_machine_has_are_refused_before_ray_starts() -> None:
    with pytest.raises(BadOptions, match="more than this machine's"):
        check_machine(LSTMOptions(cpus_per_trial=10_000))


def test_an_address_where_nothing_answers_is_refused_before_ray_tries_for_minutes() -> None:
    with socket.socket() as closed:  # bound, so that nobody else listens there, but not listening itself
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(BadOptions, match=f"no Ray cluster can be joined at {address}: "):
            check_machine(LSTMOptions(address=address))


@pytest.mark.parametrize(
    ("request_", "slots", "together"),
    [
        ({"CPU": 1.0}, 2, {"CPU": 2.0}),
        ({"CPU": 1.0, "GPU": 0.5}, 2, {"CPU": 2.0, "GPU": 1.0}),
        ({"CPU": 1.0, "GPU": 0.5}, 8, {"CPU": 8.0, "GPU": 1.0}),  # a trial trains on one GPU, however many there are
        ({"CPU": 2.0, "GPU": 0.3}, 3, {"CPU": 6.0, "GPU": pytest.approx(0.9)}),
        ({"CPU": 1.0, "GPU": 2.0}, 2, {"CPU": 2.0, "GPU": 2.0}),
    ],
)
def test_a_trial_alone_has_what_all_slots_have(request_: dict[str, float], slots: int, together: dict[str, float]) -> None:
    assert _together(request_, slots) == together
