import math
from typing import Literal

import numpy as np
import pytest

from records.objective import Objective


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("otherwise", [None, 7.0])
def test_many_figures_are_losses_as_each_row_is(
    mode: Literal["max", "min"], otherwise: float | None
) -> None:
    objective = Objective("figure", mode, otherwise)
    figures = [0.5, -2.0, None, 0.0]
    each = [objective.loss({"figure": figure}) for figure in figures]
    assert objective.losses(np.array(figures, dtype=np.float64)).tolist() == each
    assert objective.losses(np.array([math.inf, -math.inf])).tolist() == [math.inf, math.inf]
