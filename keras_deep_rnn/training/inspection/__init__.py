"""What happens inside a recurrent network: its states, saturation, and gradients through time.

In reading order:

- `inspection`: `inspect` and its result.
- `recording`: the calls of the recurrent cells while a model runs.
- `through_time`: gradients with respect to the states, and Jacobians of single steps.
- `advice`: what the numbers say about training.
- `drawing`: a network drawn as in the paper's figure 2.
- `pictures`, `page`: the plots, and the HTML page that holds them.
- `run_inspection`: the inspection of a trained run on its data.
"""

from .inspection import Inspection, LayerInspection, WeightInspection, inspect

__all__ = ["Inspection", "LayerInspection", "WeightInspection", "inspect"]
