"""Jobs of searches, and trials with made-up results."""

import dataclasses
import math
import random

from keras_deep_rnn.tuning import paper_space, settings_of, units_for_budget
from keras_deep_rnn.tuning.job.job import Job
from keras_deep_rnn.tuning.search.trial import COMPLETED, FAILED, Trial
from keras_deep_rnn.tuning.space.budget import count_parameters

BUDGET = 20_000
ATTACK = "</script><script>alert('1')</script> & more"
HISTORY = "epoch,loss,val_frame_nll,seconds\n1,9.5,9.25,2.0\n2,8.5,8.75,3.0\n"


def job_of(**more):
    given = {"trials": 40, "epochs": 30, "objective": "frame_nll", "budget": BUDGET, **more}
    space = paper_space(batch_size=8, **({"units": None} if given["budget"] else {}))
    given = {"name": "job", "data": "jsb_chorales", "project": "/p", "space": space, **given}
    return Job(**given)


def trials_of(job, count, *, failed=0):
    """Trials whose values are drawn as a search draws them; the last ones have failed."""
    drawn, made = random.Random(3), []
    for i in range(count):
        values = job.space.sample_optuna(Drawn(drawn))
        widths = units_for_budget(values, job.budget, features=88) if job.budget else {}
        settings = {"data": job.data, "epochs": job.epochs, **settings_of({**values, **widths})}
        trial = Trial(
            f"{i:04d}",
            values,
            {**settings, "seed": 1000 + i},
            count_parameters(settings, features=88),
            worker="here",
            folder=f"trials/{i:04d}/0",
            started=f"2026-01-01T12:{i:02d}:00.000+00:00",
            ended=f"2026-01-01T12:{i:02d}:30.000+00:00",
            seconds=30.0 + i,
        )
        if i < count - failed:
            score = 8 + drawn.random() + abs(math.log(values["learning_rate"] / 0.002))
            result = {"score": score, "metrics": {"frame_nll": score}}
            given = {"status": COMPLETED, "epochs": 20, "best_epoch": 10 + i % 10, **result}
        else:
            trace = f"Traceback (most recent call last):\n{ATTACK}"
            given = {"status": FAILED, "error": f"ValueError: {ATTACK}", "traceback": trace}
        made.append(dataclasses.replace(trial, **given))
    return made


class Drawn:
    """What `SearchSpace.sample_optuna` asks of a trial."""

    def __init__(self, generator):
        self.generator = generator

    def suggest_categorical(self, name, choices):
        return self.generator.choice(list(choices))

    def suggest_int(self, name, low, high, step=1, log=False):
        return self.generator.randrange(low, high + 1, step)

    def suggest_float(self, name, low, high, step=None, log=False):
        if step:
            return low + step * self.generator.randrange(round((high - low) / step) + 1)
        return math.exp(self.generator.uniform(math.log(low), math.log(high)))
