from .job.job import Job as Job
from .keras_tuner import HyperDeepRNN as HyperDeepRNN
from .keras_tuner import seed_from as seed_from
from .space.budget import check_budget as check_budget
from .space.budget import count_parameters as count_parameters
from .space.budget import units_for_budget as units_for_budget
from .space.hyperparameter import Hyperparameter as Hyperparameter
from .space.paper_space import paper_space as paper_space
from .space.paper_space import settings_of as settings_of
from .space.space import SearchSpace as SearchSpace

Entry = Hyperparameter  # deprecated

__all__ = [
    "HyperDeepRNN",
    "Hyperparameter",
    "Job",
    "SearchSpace",
    "check_budget",
    "count_parameters",
    "paper_space",
    "seed_from",
    "settings_of",
    "units_for_budget",
]
