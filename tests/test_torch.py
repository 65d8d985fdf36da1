"""The scheduler and the schedule with PyTorch's own optimizers, wrappers, files and tensors."""

import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra invdecay[torch]")

from invdecay import InverseTimeDecay, inverse_time_decay  # noqa: E402
from invdecay.torch import InverseTimeDecayLR  # noqa: E402
from torch.optim import lr_scheduler  # noqa: E402

HYPER = (10, 0.5)
RATES = (0.1, 0.03)


def optimizer_of(*rates: Any) -> Any:
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=0.1)


def rates_of(optimizer: Any) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def train(optimizer: Any, scheduler: Any, steps: int) -> list[list[float]]:
    """Take `steps` steps and return the rates that each of them used."""
    used = []
    for _ in range(steps):
        used.append(rates_of(optimizer))
        optimizer.step()
        scheduler.step()
    return used


def saved_and_loaded(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_every_group_follows_its_table(staircase: bool) -> None:
    optimizer = optimizer_of(*RATES)
    used = train(optimizer, InverseTimeDecayLR(optimizer, *HYPER, staircase), 50)
    tables = [InverseTimeDecay(rate, *HYPER, staircase).precompute(50) for rate in RATES]
    assert used == np.stack(tables, axis=1).tolist()
    assert all(type(rate) is float for rates in used for rate in rates)


def test_get_last_lr_is_the_rate_in_use() -> None:
    optimizer = optimizer_of(*RATES)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 3)
    assert scheduler.get_last_lr() == rates_of(optimizer)


def test_the_rate_may_be_a_tensor() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=torch.tensor(0.1, dtype=torch.float64))
    rate = optimizer.param_groups[0]["lr"]
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    for step in range(20):
        assert optimizer.param_groups[0]["lr"] is rate
        assert rate.item() == InverseTimeDecay(0.1, *HYPER)(step)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("optimizer_first", [True, False])
def test_resumes_from_files_without_a_jump(optimizer_first: bool) -> None:
    optimizer = optimizer_of(*RATES)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 7)
    states = saved_and_loaded([optimizer.state_dict(), scheduler.state_dict()])
    expected = train(optimizer, scheduler, 20)
    resumed = optimizer_of(1.0, 1.0)
    again = InverseTimeDecayLR(resumed, 1, 1)
    pairs = [(resumed, states[0]), (again, states[1])]
    for target, state in pairs if optimizer_first else pairs[::-1]:
        target.load_state_dict(state)
    assert train(resumed, again, 20) == expected


def test_resumes_from_its_own_state_alone() -> None:
    optimizer = optimizer_of(*RATES)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 7)
    state = saved_and_loaded(scheduler.state_dict())
    resumed = optimizer_of(*RATES)
    again = InverseTimeDecayLR(resumed, *HYPER)
    again.load_state_dict(state)
    assert train(resumed, again, 20) == train(optimizer, scheduler, 20)


def test_resumes_from_last_epoch() -> None:
    optimizer = optimizer_of(*RATES)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 7)
    expected = rates_of(optimizer)
    assert scheduler.last_epoch == 7
    InverseTimeDecayLR(optimizer, *HYPER, last_epoch=6)
    assert rates_of(optimizer) == expected


def test_states_of_other_group_counts_are_refused() -> None:
    state = InverseTimeDecayLR(optimizer_of(*RATES), *HYPER).state_dict()
    other = InverseTimeDecayLR(optimizer_of(0.1), *HYPER)
    with pytest.raises(ValueError, match="has 2 parameter groups, the optimizer has 1"):
        other.load_state_dict(state)


def test_sequential_starts_the_decay_at_the_milestone() -> None:
    optimizer = optimizer_of(*RATES)
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
    decay = InverseTimeDecayLR(optimizer, *HYPER)
    sequence = lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[5])
    used = train(optimizer, sequence, 30)
    assert used[0] == pytest.approx([rate * 0.1 for rate in RATES])
    tables = [InverseTimeDecay(rate, *HYPER).precompute(25) for rate in RATES]
    assert used[5:] == np.stack(tables, axis=1).tolist()


@pytest.mark.parametrize("warmup_first", [True, False])
def test_chained_multiplies_the_decay_by_the_warm_up(warmup_first: bool) -> None:
    optimizer = optimizer_of(*RATES)
    makers: list[Callable[[], Any]] = [
        lambda: lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=4),
        lambda: InverseTimeDecayLR(optimizer, *HYPER),
    ]
    schedulers = [make() for make in (makers if warmup_first else makers[::-1])]
    used = train(optimizer, lr_scheduler.ChainedScheduler(schedulers), 30)
    factors = [min(1.0, 0.25 + 0.75 * step / 4) for step in range(30)]
    tables = [InverseTimeDecay(rate, *HYPER).precompute(30) * factors for rate in RATES]
    np.testing.assert_allclose(used, np.stack(tables, axis=1), rtol=1e-14)


def test_chained_resumes_without_a_jump() -> None:
    def chain(optimizer: Any) -> Any:
        warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=4)
        decay = InverseTimeDecayLR(optimizer, *HYPER)
        return lr_scheduler.ChainedScheduler([decay, warmup])

    optimizer = optimizer_of(*RATES)
    chained = chain(optimizer)
    train(optimizer, chained, 2)
    states = saved_and_loaded([optimizer.state_dict(), chained.state_dict()])
    resumed = optimizer_of(*RATES)
    again = chain(resumed)
    for target, state in zip((resumed, again), states, strict=True):
        target.load_state_dict(state)
    assert train(resumed, again, 10) == train(optimizer, chained, 10)


def test_a_rate_set_by_hand_is_decayed_on() -> None:
    optimizer = optimizer_of(0.1)
    scheduler = InverseTimeDecayLR(optimizer, *HYPER)
    train(optimizer, scheduler, 10)
    optimizer.param_groups[0]["lr"] /= 2
    used = train(optimizer, scheduler, 10)
    expected = InverseTimeDecay(0.05, *HYPER).precompute(range(10, 20))
    np.testing.assert_allclose(np.ravel(used), expected, rtol=1e-14)


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
    ("arguments", "error", "message"),
    [
        ((0, 0.5), ValueError, "decay_steps must be positive, got 0"),
        ((10, float("inf")), ValueError, "decay_rate must be finite, got inf"),
        (("10", 0.5), TypeError, "decay_steps must be a real number, got '10'"),
    ],
)
def test_bad_hyperparameters_are_named(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        InverseTimeDecayLR(optimizer_of(0.1), *arguments)


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, which forward_ad loads
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
        torch.compile(decay, backend="aot_eager", fullgraph=True),
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
