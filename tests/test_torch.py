"""The scheduler and the schedule with PyTorch's own optimizers, wrappers, files and tensors."""

import copy
import gc
import io
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra invdecay[torch]")

from invdecay import InverseTimeDecay, inverse_time_decay  # noqa: E402
from invdecay.torch import InverseTimeDecayLR  # noqa: E402
from torch.optim import lr_scheduler  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

HYPER = (10, 0.5)
BOTH = (0.1, 0.03)
# Kinds of a learning rate, and the dtype of the schedule whose bits it has.
RATES: dict[str, tuple[Callable[[float], Any], str]] = {
    "float": (float, "float64"),
    "NumPy float64": (np.float64, "float64"),
    "NumPy float32": (np.float32, "float32"),
    "tensor of float32": (torch.tensor, "float32"),
    "tensor of float64": (lambda rate: torch.tensor(rate, dtype=torch.float64), "float64"),
    "tensor of one element": (lambda rate: torch.tensor([rate]), "float32"),
}

# SequentialLR calls step(0) at its milestones in PyTorch before 2.8, and warns of it itself.
pytestmark = pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")


@pytest.fixture(params=RATES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def optimizer_of(*rates: Any) -> Any:
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=0.1)


def optimizer_with(kind: str) -> Any:
    make, _ = RATES[kind]
    return optimizer_of(*map(make, BOTH))


def rates_of(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def train(optimizer: Any, scheduler: Any, steps: int) -> list[list[float]]:
    """Take `steps` steps and return the rates that each of them used."""
    used = []
    for _ in range(steps):
        used.append(rates_of(optimizer))
        optimizer.step()
        scheduler.step()
    return used


def schedules_of(kind: str, *hyper: Any, staircase: bool = False) -> list[InverseTimeDecay]:
    _, dtype = RATES[kind]
    rates = [np.dtype(dtype).type(rate) for rate in BOTH]
    return [InverseTimeDecay(rate, *(hyper or HYPER), staircase) for rate in rates]


def tables_of(kind: str, steps: int | range, *hyper: Any, staircase: bool = False) -> Any:
    schedules = schedules_of(kind, *hyper, staircase=staircase)
    with np.errstate(all="ignore"):
        return np.stack([schedule.precompute(steps) for schedule in schedules], axis=1).tolist()


def saved_and_loaded(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# ---------------------------------------------------------------- the closed form


def test_every_group_follows_its_table(kind: str, staircase: bool) -> None:
    optimizer = optimizer_with(kind)
    rates = [group["lr"] for group in optimizer.param_groups]
    used = train(optimizer, InverseTimeDecayLR(optimizer, *HYPER, staircase=staircase), 2000)
    assert used == tables_of(kind, 2000, staircase=staircase)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(rate, torch.Tensor):
            assert group["lr"] is rate
        else:
            assert type(group["lr"]) is (np.float32 if type(rate) is np.float32 else float)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_16_bit_rate_is_computed_in_float32_and_rounded_once(dtype: Any) -> None:
    optimizer = optimizer_of(torch.tensor(0.1, dtype=dtype))
    initial = np.float32(optimizer.param_groups[0]["lr"].item())
    used = train(optimizer, InverseTimeDecayLR(optimizer, *HYPER), 300)
    expected = torch.from_numpy(InverseTimeDecay(initial, *HYPER).precompute(300)).to(dtype)
    assert np.ravel(used).tolist() == expected.tolist()


def test_the_last_rates_and_those_asked_for_are_the_rates_in_use(kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, 1, 1.0)
    for _ in range(4):
        asked, last = scheduler.get_lr(), scheduler.get_last_lr()
        assert list(map(float, asked)) == list(map(float, last)) == rates_of(optimizer)
        for rate, group in zip(asked, optimizer.param_groups, strict=True):
            assert not isinstance(rate, torch.Tensor) or rate is not group["lr"]
        optimizer.step()
        scheduler.step()


def test_step_takes_an_epoch(kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    table = tables_of(kind, 50)
    optimizer.step()
    for epoch in (7, 3, 0, 40):
        scheduler.step(epoch)
        assert rates_of(optimizer) == table[epoch]
    assert train(optimizer, scheduler, 10) == table[40:]


def test_at_a_pole_the_rate_is_the_schedule_s(kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, 5, -1.0)
    with np.errstate(all="ignore"):
        assert train(optimizer, scheduler, 20) == tables_of(kind, 20, 5, -1.0)


def test_a_pole_is_reported() -> None:
    optimizer = optimizer_of(0.1)
    scheduler = InverseTimeDecayLR(optimizer, 5, -1.0)
    train(optimizer, scheduler, 4)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        train(optimizer, scheduler, 1)


class Operations(TorchDispatchMode):
    """Records the names of PyTorch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


def test_a_tensor_s_device_is_not_waited_for(staircase: bool) -> None:
    optimizer = optimizer_with("tensor of float32")
    scheduler = InverseTimeDecayLR(optimizer, *HYPER, staircase=staircase)
    for stepping in (True, False):
        scheduler._get_lr_called_within_step = stepping
        scheduler.last_epoch = 3
        with Operations() as operations:
            scheduler.get_lr()
            scheduler._get_closed_form_lr()
        assert operations.names
        assert not [name for name in operations.names if "_local_scalar_dense" in name]


@pytest.mark.parametrize("kind", ["float", "tensor of float32"])
@pytest.mark.filterwarnings("ignore")  # PyTorch's own, of caches it looks through
def test_a_compiled_step_uses_the_table_s_rates(kind: str, staircase: bool) -> None:
    torch._dynamo.reset()
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER, staircase=staircase)
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones(2)

    @torch.compile(backend="eager")
    def step() -> None:
        optimizer.step()
        scheduler.step()

    used = []
    for _ in range(12):
        used.append(rates_of(optimizer))
        step()
    assert used == tables_of(kind, 12, staircase=staircase)


def test_a_scheduler_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        optimizer = optimizer_of(0.1)
        scheduler = InverseTimeDecayLR(optimizer, *HYPER)
        train(optimizer, scheduler, 2)
        reference = weakref.ref(scheduler)
        del scheduler
        assert reference() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- resuming and states

Pair = tuple[Any, Any]


def by_files(optimizer: Any, scheduler: Any, kind: str, order: int) -> Pair:
    states = [optimizer.state_dict(), scheduler.state_dict()]
    if kind == "NumPy float32":  # PyTorch loads no NumPy number of the optimizer's own state
        states[1] = saved_and_loaded(states[1])
    else:
        states = saved_and_loaded(states)
    resumed = optimizer_with(kind)
    again = InverseTimeDecayLR(resumed, 1, 1)
    for target, state in list(zip((resumed, again), states, strict=True))[::order]:
        target.load_state_dict(state)
    return resumed, again


def by_files_into_other_rates(optimizer: Any, scheduler: Any, kind: str) -> Pair:
    make, _ = RATES[kind]
    resumed = optimizer_of(make(7.0), make(8.0))
    again = InverseTimeDecayLR(resumed, 1, 1)
    again.load_state_dict(saved_and_loaded(scheduler.state_dict()))
    return resumed, again


def by_its_own_state(optimizer: Any, scheduler: Any, kind: str) -> Pair:
    resumed = optimizer_with(kind)
    again = InverseTimeDecayLR(resumed, 1, 1)
    again.load_state_dict(scheduler.state_dict())
    return resumed, again


def by_a_snapshot_in_memory(optimizer: Any, scheduler: Any, kind: str) -> Pair:
    states = copy.deepcopy(optimizer.state_dict()), scheduler.state_dict()
    train(optimizer, scheduler, 9)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    return optimizer, scheduler


def by_last_epoch(optimizer: Any, scheduler: Any, kind: str) -> Pair:
    resumed = optimizer_with(kind)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return resumed, InverseTimeDecayLR(resumed, *HYPER, last_epoch=scheduler.last_epoch - 1)


def by_last_epoch_and_initial_lr(optimizer: Any, scheduler: Any, kind: str) -> Pair:
    resumed = optimizer_with(kind)
    for group in resumed.param_groups:
        group["initial_lr"] = group["lr"]
    return resumed, InverseTimeDecayLR(resumed, *HYPER, last_epoch=scheduler.last_epoch - 1)


def by_setting_last_epoch(optimizer: Any, scheduler: Any, kind: str) -> Pair:
    resumed = optimizer_with(kind)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    again = InverseTimeDecayLR(resumed, *HYPER)
    again.last_epoch = scheduler.last_epoch
    return resumed, again


def by_loading_the_optimizer_later(optimizer: Any, scheduler: Any, kind: str) -> Pair:
    resumed = optimizer_with(kind)
    again = InverseTimeDecayLR(resumed, *HYPER)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    again.last_epoch = scheduler.last_epoch
    return resumed, again


def by_a_deep_copy(optimizer: Any, scheduler: Any, kind: str) -> Pair:
    again = copy.deepcopy(scheduler)
    return again.optimizer, again


RESUMES: dict[str, Callable[[Any, Any, str], Pair]] = {
    "files, optimizer first": lambda *pair: by_files(*pair, order=1),
    "files, scheduler first": lambda *pair: by_files(*pair, order=-1),
    **{
        function.__name__: function
        for function in (
            by_files_into_other_rates,
            by_its_own_state,
            by_a_snapshot_in_memory,
            by_last_epoch,
            by_last_epoch_and_initial_lr,
            by_setting_last_epoch,
            by_loading_the_optimizer_later,
            by_a_deep_copy,
        )
    },
}


@pytest.mark.filterwarnings("ignore:Seems like `optimizer.step:UserWarning")  # of the deep copy
@pytest.mark.parametrize("resume", RESUMES)
def test_a_resumed_run_goes_on_with_the_table(resume: str, kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 7)
    resumed, again = RESUMES[resume](optimizer, scheduler, kind)
    table = tables_of(kind, range(7, 27))
    assert train(resumed, again, 20) == table
    if resumed is not optimizer:  # nothing is shared
        assert train(optimizer, scheduler, 20) == table


def test_one_state_serves_two_schedulers(kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 7)
    state = scheduler.state_dict()
    kept = copy.deepcopy(state)
    pairs = [by_its_own_state(optimizer, scheduler, kind) for _ in range(2)]
    for _, again in pairs:
        again.load_state_dict(state)
    for resumed, again in [*pairs, (optimizer, scheduler)]:
        assert train(resumed, again, 20) == tables_of(kind, range(7, 27))
    assert state == kept


def test_the_state_is_what_every_scheduler_keeps_and_the_hyperparameters(kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 7)
    state = saved_and_loaded(scheduler.state_dict())
    common = lr_scheduler.StepLR(optimizer_of(0.1), 3).state_dict().keys() - {"step_size", "gamma"}
    assert state.keys() == common | {"decay_steps", "decay_rate", "staircase"}
    again = InverseTimeDecayLR(optimizer_with(kind), 1, 1)
    again.load_state_dict(state)
    assert again.state_dict() == state
    assert list(map(float, again.get_last_lr())) == list(map(float, scheduler.get_last_lr()))


def test_an_optimizer_of_numpy_float64_rates_can_be_loaded_from_a_file() -> None:
    optimizer = optimizer_with("NumPy float64")
    InverseTimeDecayLR(optimizer, *HYPER)
    assert saved_and_loaded(optimizer.state_dict()) == optimizer.state_dict()


def test_a_state_goes_from_numbers_to_tensors_and_back() -> None:
    kinds = "float", "tensor of float64", "float"
    optimizer = optimizer_with(kinds[0])
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 7)
    for kind in kinds[1:]:
        optimizer, scheduler = by_its_own_state(optimizer, scheduler, kind)
        assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor) == ("tensor" in kind)
    assert train(optimizer, scheduler, 20) == tables_of("float", range(7, 27))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            lambda: InverseTimeDecayLR(optimizer_of(*BOTH), *HYPER).state_dict(),
            "state_dict has 2 parameter groups, the optimizer has 1",
        ),
        (
            lambda: lr_scheduler.StepLR(optimizer_of(0.1), 3).state_dict(),
            "not that of an InverseTimeDecayLR: it has no decay_steps, decay_rate, staircase",
        ),
        (
            lambda: lr_scheduler.ReduceLROnPlateau(optimizer_of(0.1)).state_dict(),
            "not that of an InverseTimeDecayLR: it has no decay_steps",
        ),
        (dict, "not that of an InverseTimeDecayLR"),
    ],
)
def test_other_states_are_refused_and_change_nothing(state: Any, message: str) -> None:
    scheduler = InverseTimeDecayLR(optimizer_of(0.1), *HYPER)
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match=message):
        scheduler.load_state_dict(state())
    assert scheduler.state_dict() == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"decay_steps": 0}, ValueError, "decay_steps must be positive, got 0"),
        ({"decay_steps": "10"}, TypeError, "decay_steps must be a real number, got '10'"),
        ({"decay_rate": float("nan")}, ValueError, "decay_rate must be finite, got nan"),
        ({"staircase": "no"}, TypeError, "staircase must be a boolean, got 'no'"),
    ],
)
def test_a_state_s_hyperparameters_are_checked(change: Any, error: Any, message: str) -> None:
    scheduler = InverseTimeDecayLR(optimizer_of(0.1), *HYPER)
    before = scheduler.state_dict()
    with pytest.raises(error, match=message):
        scheduler.load_state_dict({**before, **change})
    assert scheduler.state_dict() == before


def test_epochs_of_numpy_s_are_saved_as_python_s(kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    optimizer.step()
    for make in np.int64, np.int32, int:
        scheduler.step(make(7))
        assert saved_and_loaded(scheduler.state_dict()) == scheduler.state_dict()
        assert rates_of(optimizer) == tables_of(kind, 8)[7]
    for group in optimizer.param_groups:
        group["initial_lr"] = scheduler.base_lrs[0]
    again = InverseTimeDecayLR(optimizer, *HYPER, last_epoch=np.int64(7))
    assert type(again.last_epoch) is int


# ---------------------------------------------------------------- other rates and schedulers


def factors(steps: range) -> Any:
    return InverseTimeDecay(1.0, *HYPER).precompute(steps)


def tolerance(kind: str) -> float:
    """A changed rate is multiplied by a ratio at each step, rounded each time."""
    return 1e-13 if RATES[kind][1] == "float64" else 1e-5


def change(optimizer: Any, rate: Any) -> None:
    if isinstance(optimizer.param_groups[0]["lr"], torch.Tensor):
        optimizer.param_groups[0]["lr"].copy_(rate)
    else:
        optimizer.param_groups[0]["lr"] = rate


def test_a_rate_set_by_hand_is_decayed_on(kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 10)
    make, _ = RATES[kind]
    change(optimizer, make(0.5))
    used = np.array(train(optimizer, scheduler, 20))
    expected = 0.5 * factors(range(10, 30)) / factors(range(10, 11))
    np.testing.assert_allclose(used[:, 0], expected, rtol=tolerance(kind))
    assert used[:, 1].tolist() == [rates[1] for rates in tables_of(kind, range(10, 30))]


@pytest.fixture
def extended(kind: str) -> tuple[Any, Any]:
    """A run of 7 steps, after which a parameter group with the rate 0.3 was added."""
    optimizer = optimizer_with(kind)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 7)
    rate = RATES[kind][0](0.3)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate})
    return optimizer, scheduler


def test_a_group_added_later_decays_from_its_own_rate(kind: str, extended: tuple[Any, Any]) -> None:
    optimizer, scheduler = extended
    used = np.array(train(optimizer, scheduler, 20))
    assert used[:, :2].tolist() == tables_of(kind, range(7, 27))
    expected = 0.3 * factors(range(7, 27)) / factors(range(7, 8))
    np.testing.assert_allclose(used[:, 2], expected, rtol=tolerance(kind))
    added = rates_of(optimizer)[2]
    scheduler.step(3)  # which has no rate for this group to begin with
    assert rates_of(optimizer) == [*tables_of(kind, 4)[3], added]


def test_a_run_with_an_added_group_resumes(kind: str, extended: tuple[Any, Any]) -> None:
    optimizer, scheduler = extended
    train(optimizer, scheduler, 3)
    resumed = optimizer_of(*map(RATES[kind][0], (*BOTH, 0.2)))
    again = InverseTimeDecayLR(resumed, 1, 1)
    again.load_state_dict(scheduler.state_dict())
    assert train(resumed, again, 20) == train(optimizer, scheduler, 20)


def test_a_rate_of_integers_is_refused() -> None:
    """It would become 0 at the first step."""
    message = r"lr must be a tensor of a floating dtype, got tensor\(1\)"
    with pytest.raises(TypeError, match=message):
        InverseTimeDecayLR(optimizer_of(torch.tensor(1)), *HYPER)
    optimizer = optimizer_of(0.1)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    optimizer.add_param_group({"params": [torch.ones(1)], "lr": torch.tensor(1)})
    with pytest.raises(TypeError, match=message):
        scheduler.get_lr()


def test_the_default_device_does_not_move_rates(kind: str) -> None:
    with torch.device("meta"):
        optimizer = optimizer_of(torch.tensor(0.1))
    assert optimizer.param_groups[0]["lr"].device.type == "meta"
    optimizer = optimizer_with(kind)
    with torch.device("meta"):
        used = train(optimizer, InverseTimeDecayLR(optimizer, *HYPER), 20)
    assert used == tables_of(kind, 20)


def test_beside_reduce_lr_on_plateau() -> None:
    optimizer = optimizer_of(0.1)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    used = []
    for _ in range(6):
        used += train(optimizer, scheduler, 1)
        plateau.step(1.0)
    expected = 0.1 * factors(range(6)) * [1, 1, 1, 1, 1, 0.5]
    np.testing.assert_allclose(np.ravel(used), expected, rtol=1e-14)


def warm_up(optimizer: Any) -> Any:
    return lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=4)


def decay_of(optimizer: Any) -> Any:
    return InverseTimeDecayLR(optimizer, *HYPER)


def sequence(optimizer: Any) -> Any:
    schedulers = [warm_up(optimizer), decay_of(optimizer)]
    return lr_scheduler.SequentialLR(optimizer, schedulers, milestones=[5])


def sequence_of_two(optimizer: Any) -> Any:
    schedulers = [decay_of(optimizer), decay_of(optimizer)]
    return lr_scheduler.SequentialLR(optimizer, schedulers, milestones=[5])


def chained(optimizer: Any) -> Any:
    return lr_scheduler.ChainedScheduler([warm_up(optimizer), decay_of(optimizer)])


def chained_the_other_way(optimizer: Any) -> Any:
    return lr_scheduler.ChainedScheduler([decay_of(optimizer), warm_up(optimizer)])


COMPOSED = sequence, sequence_of_two, chained, chained_the_other_way


@pytest.mark.parametrize("compose", [sequence, sequence_of_two])
def test_sequential_starts_the_decay_at_the_milestone(compose: Any, kind: str) -> None:
    optimizer = optimizer_with(kind)
    used = train(optimizer, compose(optimizer), 30)
    start = [0.25 * rate for rate in BOTH] if compose is sequence else BOTH
    np.testing.assert_allclose(used[0], start, rtol=1e-6)
    assert used[5:] == tables_of(kind, 25)


@pytest.mark.parametrize("compose", [chained, chained_the_other_way])
def test_chained_multiplies_the_decay_by_the_warm_up(compose: Any, kind: str) -> None:
    optimizer = optimizer_with(kind)
    used = train(optimizer, compose(optimizer), 30)
    warm = [min(1.0, 0.25 + 0.75 * step / 4) for step in range(30)]
    expected = np.outer(warm * factors(range(30)), BOTH)
    np.testing.assert_allclose(used, expected, rtol=tolerance(kind))


@pytest.mark.parametrize("steps", [2, 5, 9])
@pytest.mark.parametrize("optimizer_first", [True, False])
@pytest.mark.parametrize("compose", COMPOSED)
def test_composed_schedulers_resume_without_a_jump(
    compose: Any, optimizer_first: bool, steps: int, kind: str
) -> None:
    optimizer = optimizer_with(kind)
    scheduler = compose(optimizer)
    train(optimizer, scheduler, steps)
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    resumed = optimizer_with(kind)
    again = compose(resumed)
    pairs = list(zip((resumed, again), states, strict=True))
    for target, state in pairs if optimizer_first else pairs[::-1]:
        target.load_state_dict(state)
    assert train(resumed, again, 10) == train(optimizer, scheduler, 10)


def test_a_chain_resumes_from_last_epoch_without_a_jump(kind: str) -> None:
    optimizer = optimizer_with(kind)
    scheduler = chained(optimizer)
    train(optimizer, scheduler, 2)
    present = rates_of(optimizer)
    InverseTimeDecayLR(optimizer, *HYPER, last_epoch=1)
    assert rates_of(optimizer) == present


def test_the_schedule_is_a_lambda_of_lambda_lr(staircase: bool) -> None:
    optimizer = optimizer_of(0.1)
    schedule = InverseTimeDecay(1.0, *HYPER, staircase)
    scheduler = lr_scheduler.LambdaLR(optimizer, schedule)
    used = train(optimizer, scheduler, 20)
    assert np.ravel(used).tolist() == [0.1 * schedule(step) for step in range(20)]
    state = saved_and_loaded(scheduler.state_dict())
    other = InverseTimeDecay(1.0, 3, 2.0)
    again = lr_scheduler.LambdaLR(optimizer_of(0.1), other)
    again.load_state_dict(state)
    assert other == InverseTimeDecay(1.0, 3, 2.0)  # a loaded state cannot change it
    assert again.last_epoch == 20


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((0, 0.5), {}, ValueError, "decay_steps must be positive, got 0"),
        ((10, float("inf")), {}, ValueError, "decay_rate must be finite, got inf"),
        (("10", 0.5), {}, TypeError, "decay_steps must be a real number, got '10'"),
        ((10, True), {}, TypeError, "decay_rate must be a real number, got True"),
        ((10, 0.5), {"staircase": "no"}, TypeError, "staircase must be a boolean, got 'no'"),
        ((10, 0.5), {"staircase": 1}, TypeError, "staircase must be a boolean, got 1"),
        ((10, 0.5), {"last_epoch": "3"}, TypeError, "last_epoch must be an integer, got '3'"),
        ((10, 0.5), {"last_epoch": True}, TypeError, "last_epoch must be an integer, got True"),
        # The order of StepLR's arguments, where -1 is the last epoch.
        ((30, 0.1, -1), {}, TypeError, "positional arguments"),
    ],
)
def test_bad_arguments_are_named(
    arguments: Any, keywords: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        InverseTimeDecayLR(optimizer_of(0.1), *arguments, **keywords)


# ---------------------------------------------------------------- tensors as steps


def steps_of(kind: str) -> Any:
    steps = torch.arange(-5, 10_000, 3)
    return {
        "int64": steps,
        "int32": steps.int(),
        "float32": steps.float(),
        "float64": steps.double(),
        "strided": steps[::7],
        "2d": steps.reshape(5, -1).T,
        "0d": torch.tensor(12),
        "empty": steps[:0],
    }[kind]


KINDS = ("int64", "int32", "float32", "float64", "strided", "2d", "0d", "empty")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_give_tensors_of_the_same_bits(kind: str, dtype: str, staircase: bool) -> None:
    schedule = InverseTimeDecay(0.1, 7, 0.5, staircase, dtype=dtype)
    steps = steps_of(kind)
    rates = schedule(steps)
    assert type(rates) is torch.Tensor
    assert rates.dtype == getattr(torch, dtype)
    assert rates.shape == steps.shape
    assert np.array_equal(rates.numpy(), schedule(steps.numpy()))


def test_function_keeps_float_tensors_and_gives_the_default_float() -> None:
    assert inverse_time_decay(torch.arange(3.0), 0.1, 10, 0.5).dtype == torch.float32
    assert inverse_time_decay(torch.arange(3.0).double(), 0.1, 10, 0.5).dtype == torch.float64
    assert inverse_time_decay(torch.arange(3), 0.1, 10, 0.5).dtype == torch.get_default_dtype()
    assert inverse_time_decay(torch.arange(3).bfloat16(), 0.1, 10, 0.5).dtype == torch.float32


def test_tensors_may_be_hyperparameters() -> None:
    rates = torch.tensor([0.5, 1.0], dtype=torch.float64)[:, None]
    table = inverse_time_decay(torch.arange(9.0).double(), 0.1, 10, rates)
    expected = inverse_time_decay(np.arange(9.0), 0.1, 10, rates.numpy())
    assert np.array_equal(table.numpy(), expected)


SCHEDULE = InverseTimeDecay(0.1, 7, 0.5, dtype="float32")
STEPS = torch.arange(20.0)


def decay(steps: Any) -> Any:
    return SCHEDULE(steps)


# Loading forward_ad calls torch.jit.script, which PyTorch deprecates.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is:FutureWarning")
def test_gradients_flow() -> None:
    steps = STEPS.clone().requires_grad_()
    decay(steps).sum().backward()
    slope = -0.1 * 0.5 / 7 / (1 + 0.5 * STEPS / 7) ** 2
    torch.testing.assert_close(steps.grad, slope)
    torch.testing.assert_close(torch.func.grad(lambda s: decay(s).sum())(STEPS), slope)
    _, tangent = torch.func.jvp(decay, (STEPS,), (torch.ones(20),))
    torch.testing.assert_close(tangent, slope)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(STEPS, torch.ones(20))
        tangent = torch.autograd.forward_ad.unpack_dual(decay(dual)).tangent
    torch.testing.assert_close(tangent, slope)


def test_transforms_and_placeholders_stay_pytorch_s() -> None:
    assert torch.equal(torch.vmap(decay)(STEPS), decay(STEPS))
    assert decay(STEPS.to("meta")).device.type == "meta"
    assert decay(STEPS.bfloat16()).dtype == torch.float32


@pytest.mark.filterwarnings("ignore")  # PyTorch's own, of tracing and of caches it looks through
def test_traced_and_compiled_calls_depend_on_their_input() -> None:
    for compiled in (
        torch.jit.trace(decay, (STEPS,)),
        # Before 2.13 the compiler leaves the graph to ask what kind of array the steps are.
        torch.compile(decay, backend="aot_eager", fullgraph=torch.__version__ >= (2, 13)),
    ):
        assert torch.equal(compiled(2 * STEPS), decay(2 * STEPS))


def test_rates_do_not_share_the_steps_memory() -> None:
    steps = torch.arange(4.0)
    rates = decay(steps)
    assert rates.data_ptr() != steps.data_ptr()
    assert all(late < early for early, late in pairwise(rates.tolist()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_device_gives_the_same_bits(dtype: str, staircase: bool) -> None:
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase, dtype=dtype)
    steps = torch.randint(0, 10**9, (100_000,), generator=torch.Generator().manual_seed(0))
    rates = schedule(steps.cuda())
    assert rates.device.type == "cuda"
    assert np.array_equal(rates.cpu().numpy(), schedule(steps.numpy()))
