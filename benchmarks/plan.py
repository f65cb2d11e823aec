"""What is measured: the sections, their cases and the contestants of each."""

import dataclasses

# B, T, D, H
SHAPES = [(1, 200, 50, 200), (16, 200, 88, 200), (32, 100, 88, 400), (64, 50, 200, 200)]
DEPTHS = (2, 4)
MATMUL = 2048  # rows and columns of the large product that is the limit
LARGE_MATMUL = 4096  # the same for an accelerator
# Where PyTorch compiles its loop, which takes a minute or more, without being asked to.
COMPILED = (32, 100, 88, 400, 2)
GROWTH_BASE = {"B": 16, "T": 100, "D": 88, "H": 200, "L": 2}
GROWTH = {"T": (50, 100, 200, 400), "H": (100, 200, 400), "B": (4, 16, 64), "L": (1, 2, 4, 8)}
QUICK = {"B": 4, "T": 8, "D": 5, "H": 8}

WORKERS = {
    "tensorflow": {"KERAS_BACKEND": "tensorflow"},
    # Products of 32 bits, and of the 19 that NVIDIA's tensor cores take from them (TF32).
    "jax": {"KERAS_BACKEND": "jax", "JAX_DEFAULT_MATMUL_PRECISION": "float32"},
    "jax, TF32": {"KERAS_BACKEND": "jax", "JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32"},
    # Where XLA records a CUDA graph of a whole loop; by default it leaves loops out.
    "jax, WHILE": {
        "KERAS_BACKEND": "jax",
        "JAX_DEFAULT_MATMUL_PRECISION": "float32",
        "XLA_FLAGS": "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL",
    },
    # Without what an earlier run has compiled, so that the time of compilation is one.
    "torch": {"KERAS_BACKEND": "torch", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
    "torch, TF32": {"KERAS_BACKEND": "torch", "BENCHMARKS_TF32": "1"},
}

PEERS = [
    "tensorflow/ours", "tensorflow/ours, one part", "tensorflow/plain loop", "tensorflow/naive",
    "tensorflow/naive, XLA", "tensorflow/SimpleRNN", "tensorflow/LSTM", "tensorflow/matmul",
    "jax/ours", "jax/plain loop", "jax/lax.scan",
    "torch/ours", "torch/plain loop", "torch/eager",
]  # fmt: skip
OPTIONS = [
    "tensorflow/ours", "tensorflow/ours, recurrent dropout", "tensorflow/ours, mask",
    "tensorflow/naive, mask", "tensorflow/naive, mask, XLA",
]  # fmt: skip
FIT = [f"tensorflow/{who}, {how}" for how in ("buckets", "padded") for who in ("ours", "naive")]
STEP = [
    "tensorflow/layer.step", "tensorflow/layer.stepper", "tensorflow/tf.function",
    "tensorflow/model.predict",
]  # fmt: skip
FAMILIES = ("RHN", "DT-GRU", "DT-LSTM", "layer norm")
GATED = [
    f"{framework}/{family}{loop}"
    for framework in ("tensorflow", "jax", "torch")
    for family in FAMILIES
    for loop in ("", ", plain loop")
]
ONE_LEVEL = [
    f"{framework}/{name}"
    for framework in ("tensorflow", "jax", "torch")
    for name in ("DT-GRU", "keras GRU", "DT-LSTM", "keras LSTM")
]
MEMORY = ["tensorflow/ours", "tensorflow/ours, remat=16", "tensorflow/naive"]
ACCELERATOR = [
    "jax/ours", "jax/ours, persistent", "jax/lax.scan", "torch/ours", "torch/ours, persistent",
    "torch/eager", "torch/nn.RNN",
]  # fmt: skip
LESS_PRECISE = [
    "jax, TF32/ours", "jax, TF32/ours, persistent", "jax, TF32/lax.scan",
    "jax/ours, bfloat16", "jax/ours, persistent, bfloat16",
    "torch, TF32/ours, persistent", "torch, TF32/nn.RNN", "torch/ours, persistent, bfloat16",
]  # fmt: skip
LIMITS = [
    "jax/matmul", "jax, TF32/matmul", "jax/matmul, bfloat16",
    "torch/matmul", "torch, TF32/matmul", "torch/matmul, bfloat16",
]  # fmt: skip
# B, T, D, H, L, whether the loss alone is timed too, and further contestants of a training step
ACCELERATOR_SIZES = (
    (16, 200, 88, 200, 2, True, [
        *LESS_PRECISE, "jax/lax.scan, unroll 8", "jax, WHILE/lax.scan", "jax/keras LSTM",
        "torch/nn.LSTM", *LIMITS,
    ]),
    (16, 1000, 50, 200, 2, True, LESS_PRECISE),
    (32, 100, 88, 400, 2, False, LESS_PRECISE),
    (64, 50, 200, 512, 2, False, LESS_PRECISE),
    (16, 200, 88, 200, 4, False, []),
)  # fmt: skip
LARGE_LSTM = [
    "jax/DT-LSTM", "jax, TF32/DT-LSTM", "jax/keras LSTM", "torch/nn.LSTM", "torch, TF32/nn.LSTM",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Task:
    """One line of the results.

    Attributes:
        section: Its section.
        case: The arguments of `network.Case`.
        contestants: "worker/name" of each.
        rounds: Rounds, or None for as many as are asked for.
        warm: Runs before those that are timed, in each round.
        steps: Runs that are timed, in each round.
        apart: Whether each contestant has a process of its own, for its memory and because the
            layers share compiled programs within a process.
        accelerator: Whether there is nothing to measure without an accelerator.
        skip: Why it is not measured, or None.
    """

    section: str
    case: dict
    contestants: list
    rounds: int | None = None
    warm: int = 1
    steps: int = 3
    apart: bool = False
    accelerator: bool = False
    skip: str | None = None


def tasks(data_path=None, compile_all=False, quick=False):
    """All tasks, in order."""
    found = [*_loops("train", compile_all, quick), *_loops("forward", compile_all, quick)]
    options = {"mode": "train", "L": 2}
    found += [Task("options", {**_sizes(*SHAPES[i]), **options}, OPTIONS) for i in (1, 2)]
    for depth, contestants in ((2, GATED), (1, ONE_LEVEL)):
        found.append(Task("gated", {**GROWTH_BASE, "L": depth, "mode": "train"}, contestants))
    step = {**_sizes(1, 1, 50, 200), "L": 2, "mode": "step"}
    found.append(Task("step", step, STEP, warm=0, steps=1))
    for name, values in GROWTH.items():
        cases = [{**GROWTH_BASE, name: value, "mode": "train"} for value in values]
        found += [Task("growth", case, ["tensorflow/ours", "tensorflow/naive"]) for case in cases]
    lengths = {**_sizes(32, 200, 88, 200), "L": 2, "mode": "fit", "data": "random"}
    found.append(Task("lengths", lengths, FIT, rounds=5, warm=0, steps=1, apart=True))
    missing = None if data_path else "no folder with its files was given (--data-path)"
    nottingham = {**_sizes(32, 0, 88, 400), "L": 2, "mode": "fit", "data": data_path}
    few = {"rounds": 2, "warm": 0, "steps": 1, "apart": True}
    found.append(Task("nottingham", nottingham, FIT, **few, skip=missing))
    memory = {**_sizes(64, 2000, 88, 256), "L": 4, "mode": "train"}
    found.append(Task("memory", memory, MEMORY, **few))
    for *shape, depth, forward, more in ACCELERATOR_SIZES:
        case = {**_sizes(*shape), "L": depth, "mode": "train"}
        more = more + ["torch/torch.compile"] * compile_all
        found.append(Task("accelerator", case, ACCELERATOR + more, steps=10, accelerator=True))
        if forward:
            case = {**case, "mode": "forward"}
            found.append(Task("accelerator", case, ACCELERATOR, steps=10, accelerator=True))
    case = {**_sizes(16, 1024, 768, 768), "L": 1, "mode": "train"}
    found.append(Task("accelerator", case, LARGE_LSTM, steps=5, accelerator=True))
    return _small(found) if quick else _distinct(found)


def _sizes(B, T, D, H):
    return {"B": B, "T": T, "D": D, "H": H}


def _compiled(sizes, compile_all, quick):
    """Whether PyTorch compiles its loop for these B, T, D, H, L."""
    return compile_all or (sizes == COMPILED and not quick)


def _loops(mode, compile_all, quick):
    for depth in DEPTHS:
        for shape in SHAPES:
            compiled = _compiled((*shape, depth), compile_all, quick)
            contestants = PEERS + ["torch/torch.compile"] * compiled
            if mode == "forward":
                contestants = [name for name in contestants if name != "tensorflow/matmul"]
            yield Task(mode, {**_sizes(*shape), "L": depth, "mode": mode}, contestants)


def _small(found):
    """The tasks with small sizes, to see that everything runs."""
    small = [dataclasses.replace(task, case={**task.case, **QUICK}, rounds=1) for task in found]
    return _distinct(task for task in small if task.section != "nottingham")


def _distinct(found):
    return list({(task.section, str(task.case)): task for task in found}.values())
