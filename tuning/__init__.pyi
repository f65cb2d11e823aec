from .budget import check_budget as check_budget
from .budget import count_parameters as count_parameters
from .budget import units_for_budget as units_for_budget
from .entry import Entry as Entry
from .hypermodel import HyperDeepRNN as HyperDeepRNN
from .hypermodel import seed_from as seed_from
from .job import Job as Job
from .paper import paper_space as paper_space
from .paper import settings_of as settings_of
from .space import SearchSpace as SearchSpace

__all__ = [
    "Entry",
    "HyperDeepRNN",
    "Job",
    "SearchSpace",
    "check_budget",
    "count_parameters",
    "paper_space",
    "seed_from",
    "settings_of",
    "units_for_budget",
]
