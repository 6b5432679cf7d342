"""Nodes of a joined cluster that come and go while a search runs: its slots follow them.

A node that joins is checked like the first ones, without making the search wait. If a trial could
not run there, a line says why, and no trial is placed there.
"""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from tuning.engine.nodes import Answer, Node, NodeCheck, name_of
from tuning.engine.room import Room, room_on

LOOK_EVERY_S = 2.0


shunned: list[str] = []
"""The ids of nodes on which no trial can run. Ray Tune asks a copy of the trainable what a trial
needs, which cannot hold this list itself."""


class Membership(Callback):
    """Keeps ``room`` at what the nodes hold that have passed ``check``."""

    def __init__(
        self, request: dict[str, float], room: Room, check: NodeCheck, say: Callable[[str], None]
    ) -> None:
        self._request, self._room, self._check, self._say = request, room, check, say
        self._members = {node["NodeID"]: node for node in self.nodes()}
        self._asked: dict[str, tuple[Answer, float]] = {}
        self._looked = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles its callbacks; a cluster stays here

    def nodes(self) -> list[Node]:
        """The nodes that are there and have room for a trial when they are empty."""
        return [node for node in ray.nodes() if node["Alive"] and self._room_on(node)]

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        present = {node["NodeID"]: node for node in self.nodes()}
        joined = [self._answered(node) for name, node in present.items() if self._is_new(name)]
        left = [self._members.pop(name) for name in [*self._members] if name not in present]
        if left or any(joined):
            self._room.holds = sum(map(self._room_on, self._members.values()))
            self._tell(left, [node for node in joined if node])
        self._looked = time.monotonic()

    def _is_new(self, name: str) -> bool:
        return name not in self._members and name not in shunned

    def _answered(self, node: Node) -> Node | None:
        """The node if it has become a member: a new one is asked first."""
        name = node["NodeID"]
        if name not in self._asked:
            try:
                self._asked[name] = self._check.ask(node), time.monotonic()
            except OSError:  # the storage fails: the node is asked later
                return None
        answer, since = self._asked[name]
        ready, _ = ray.wait([answer], timeout=0)
        if not ready and time.monotonic() - since < self._check.timeout_s:
            return None
        del self._asked[name]
        problem = self._check.problem(node, answer)
        if not self._asked:
            self._check.tidy()
        if problem:
            shunned.append(name)
            self._say(f"no trial is placed on node {name_of(node)}, which joined: {problem}")
            return None
        self._members[name] = node
        return node

    def _room_on(self, node: Node) -> int:
        return room_on(node["Resources"], self._request)

    def _tell(self, left: list[Node], joined: list[Node]) -> None:
        for nodes, what in ((left, "left"), (joined, "joined")):
            if nodes:
                names = ", ".join(map(name_of, nodes))
                self._say(f"node{'s' * (len(nodes) > 1)} {names} {what}")
        self._say(f"trials at once from now on: {self._room.slots}")
