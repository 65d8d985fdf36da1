"""The explorer page in a browser: its rates, handles, fields, address and lines to copy."""

import importlib.util
import math
import os
import random
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from invdecay import InverseTimeDecay
from support.browser import chromium, look_like, served
from support.site import build

pytest.importorskip("selenium")
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By

FIELDS = ("initial_learning_rate", "decay_steps", "decay_rate", "start", "stop", "at", "rate")
NUMBERS = FIELDS[:3]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(build(tmp_path_factory.mktemp("docs"))) as host:
        yield f"{host}/explorer.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def explorer(browser: Any, address: str) -> Iterator[Any]:
    look_like(browser, 1280)
    yield opened(browser, address)
    errors = [log["message"] for log in browser.get_log("browser") if log["level"] == "SEVERE"]
    assert errors[:3] == []


def opened(browser: Any, address: str) -> Any:
    browser.get("about:blank")  # a change of the hash alone would not load the page
    browser.get(address)
    return browser


def field(page: Any, name: str) -> Any:
    return page.find_element(By.ID, name)


def value(page: Any, name: str) -> str:
    text: str = field(page, name).get_property("value")
    return text


def type_into(page: Any, name: str, text: object) -> None:
    field(page, name).send_keys(Keys.CONTROL, "a")
    field(page, name).send_keys(str(text))


def paste_into(page: Any, name: str, text: str) -> None:
    event = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    page.execute_script(event, field(page, name), text)


def tick(page: Any, name: str) -> None:
    field(page, name).click()


def hint(page: Any, name: str) -> str:
    return page.find_element(By.ID, f"{name}-hint").text


def problem(page: Any) -> str:
    return page.find_element(By.ID, "explorer-problem").text


def code(page: Any, name: str) -> str:
    return page.find_element(By.ID, f"code-{name}").get_property("textContent")


def curve(page: Any) -> str:
    return page.find_element(By.ID, "explorer-curve").get_attribute("d")


def schedule_of(page: Any) -> InverseTimeDecay:
    numbers = (float(value(page, name)) for name in NUMBERS)
    return InverseTimeDecay(*numbers, field(page, "staircase").is_selected())


def bits(number: float) -> str:
    return "NaN" if math.isnan(number) else np.float64(number).tobytes()[::-1].hex()


def until(holds: Callable[[], bool]) -> None:
    for _ in range(100):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come true in 5 s")


# ---------------------------------------------------------------- rates


def random_points(count: int) -> list[tuple[float, float, float, float, bool]]:
    """Return steps and hyperparameters of every size and sign, poles and overflows among them."""
    chance = random.Random(18)
    points = []
    for _ in range(count):
        wide = chance.random() < 0.2
        steps = 10 ** chance.uniform(-300, 300) if wide else 10 ** chance.uniform(-1, 9)
        rate = chance.choice([1, 1, 1, -1]) * 10 ** chance.uniform(-9, 4)
        step = chance.randrange(2 ** chance.randint(1, 53))
        kind = chance.random()
        if kind < 0.1:  # at a pole, or next to it
            steps, rate = float(chance.randint(1, 1000)), -1 / chance.randint(1, 9)
            step = round(-steps / rate)
        elif kind < 0.2:  # at the end of a stair
            steps = float(chance.randint(1, 10**12))
            step = min(chance.randint(1, 9000) * int(steps), 2**53) - chance.randint(0, 1)
        lr = chance.choice([1, 1, 1, -1]) * 10 ** chance.uniform(-300 if wide else -9, 1)
        points.append(
            (
                float(step),
                lr,
                steps,
                chance.choice([rate, rate, 1.0, 0.0]),
                bool(chance.getrandbits(1)),
            )
        )
    return points


IN_BITS = """
return arguments[0].map((point) => {
  const rate = learningRate(...point), view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, rate);
  return Number.isNaN(rate) ? "NaN" : view.getBigUint64(0).toString(16).padStart(16, "0");
});
"""


def test_rates_have_the_bits_of_the_package(explorer):
    points = random_points(1000)
    with np.errstate(all="ignore"):
        expected = [bits(InverseTimeDecay(*hyper)(int(step))) for step, *hyper in points]
    assert explorer.execute_script(IN_BITS, points) == expected
    assert sum(text[0] in "89abcdef" for text in expected) > 50  # some are negative,
    assert {"7ff0000000000000", "NaN"} & set(expected)  # and some not finite


@pytest.mark.parametrize("staircase", [False, True], ids=["continuous", "staircase"])
def test_typed_numbers_give_the_package_s_rate(explorer, staircase):
    if staircase:
        tick(explorer, "staircase")
    for lr, steps, rate, at in [
        ("0.3", "7", "0.1", "123"),
        ("1e-3", "20_000", "1", "77_777"),
        ("0.1", "49", "3", "9007199254740991"),
        ("2", ".5", "-1e-4", "3"),
    ]:
        type_into(explorer, "initial_learning_rate", lr)
        type_into(explorer, "decay_steps", steps)
        type_into(explorer, "decay_rate", rate)
        type_into(explorer, "at", at)
        schedule = InverseTimeDecay(float(lr), float(steps), float(rate), staircase)
        assert bits(float(value(explorer, "rate"))) == bits(schedule(int(at)))


def test_the_summary_names_the_steps_that_step_at_finds(explorer):
    type_into(explorer, "decay_steps", "37")
    tick(explorer, "staircase")
    schedule, lr = schedule_of(explorer), 0.1
    said = explorer.find_element(By.ID, "explorer-summary").text
    for words, parts in ("a half", 2), ("a tenth", 10), ("a hundredth", 100):
        assert f"{words} at step {schedule.step_at(lr / parts):,}" in said


# ---------------------------------------------------------------- poles, gaps, wrong input


def test_a_pole_is_a_gap_with_a_sentence(explorer):
    type_into(explorer, "decay_rate", "-0.5")
    first, second = curve(explorer).removeprefix("M").split("M")
    assert first.count("L") > 10
    assert second.count("L") > 10
    assert "At step 2,000 the rate is infinite" in problem(explorer)
    type_into(explorer, "decay_rate", "-0.3")
    assert "At step 3,334 the rate is negative" in problem(explorer)
    type_into(explorer, "initial_learning_rate", "-1")
    assert "At step 3,334 the rate is positive" in problem(explorer)
    type_into(explorer, "initial_learning_rate", "1")
    type_into(explorer, "decay_rate", "0.3")
    assert problem(explorer) == ""
    assert curve(explorer).count("M") == 1


def test_a_logarithmic_axis_leaves_out_what_it_cannot_show(explorer):
    type_into(explorer, "decay_rate", "-0.3")
    tick(explorer, "yscale")
    assert "logarithmic axis cannot show rates" in problem(explorer)
    assert curve(explorer).count("M") == 1
    type_into(explorer, "initial_learning_rate", "-1")
    type_into(explorer, "decay_rate", "1")
    assert curve(explorer) == ""
    assert "negative rates" in problem(explorer)


EXTREMES = {
    "initial_learning_rate": ("0.1", "0", "5e-324", "1.7e308", "-1.7e308", "-3"),
    "decay_steps": ("1000", "5e-324", "1e-3", "49", "9e15", "1.7e308"),
    "decay_rate": ("1", "0", "5e-324", "1.7e308", "-1e-9", "-0.25", "-3", "-1.7e308"),
    "start": ("0", "1", "9007199254740000"),
    "stop": ("2", "5000", "9007199254740992"),
    "at": ("0", "4000", "9007199254740992"),
}


SET_ALL = """
for (const [name, text] of Object.entries(arguments[0])) document.getElementById(name).value = text;
for (const [name, on] of Object.entries(arguments[1])) document.getElementById(name).checked = on;
document.getElementById("at").dispatchEvent(new Event("input"));
return document.getElementById("explorer-svg").innerHTML;
"""


def test_extremes_are_drawn_without_an_error(explorer):
    chance = random.Random(3)
    for _ in range(200):
        texts = {name: chance.choice(choices) for name, choices in EXTREMES.items()}
        flags = {name: chance.random() < 0.5 for name in ("staircase", "xscale", "yscale")}
        drawn = explorer.execute_script(SET_ALL, texts, flags)
        drawn = re.sub(r"aria-\w+=\"[^\"]*\"|<text.*?</text>", "", drawn)
        assert not re.search("NaN|Infinity", drawn), (texts, flags)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("decay_steps", "0", "decay_steps must be positive, got 0"),
        ("decay_steps", "-3", "decay_steps must be positive, got -3"),
        ("decay_rate", "fast", "decay_rate must be a real number, got fast"),
        ("decay_rate", "1e999", "decay_rate must be finite, got 1e999"),
        ("initial_learning_rate", "", "initial_learning_rate must be a real number, got nothing"),
        (
            "initial_learning_rate",
            "0,1",
            "initial_learning_rate: write 1000 or 1e3, without a comma",
        ),
        ("stop", "1.5", "stop must be a whole number, got 1.5"),
        ("stop", "1", "stop must be at least 2 past the first step, got 1"),
        ("at", "-1", "at must be from 0 to 2^53, got -1"),
        ("rate", "-0.1", "rate must have the sign of initial_learning_rate, got -0.1"),
        ("rate", "0", "rate must have the sign of initial_learning_rate, got 0"),
    ],
)
def test_a_wrong_field_says_so_and_changes_nothing(explorer, name, text, message):
    before = code(explorer, "python"), curve(explorer)
    paste_into(explorer, name, text)
    assert hint(explorer, name) == message
    assert field(explorer, name).get_attribute("aria-invalid") == "true"
    assert (code(explorer, "python"), curve(explorer)) == before
    type_into(explorer, name, {"rate": "0.03", "stop": "300"}.get(name, "3"))
    assert field(explorer, name).get_attribute("aria-invalid") == "false"
    assert code(explorer, "python") != before[0] or name == "at"


# ---------------------------------------------------------------- handles, sliders, keyboard


def drag(page: Any, handle: str, x: int, y: int) -> None:
    grip = field(page, handle)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", grip)
    ActionChains(page).click_and_hold(grip).move_by_offset(x, y).release().perform()


def position(page: Any, handle: str) -> tuple[float, float]:
    x, y = re.findall(r"[\d.]+", field(page, handle).get_attribute("transform"))
    return float(x), float(y)


def test_dragging_sideways_changes_decay_steps_alone(explorer):
    before, x = curve(explorer), position(explorer, "handle-decay")[0]
    drag(explorer, "handle-decay", 120, 0)
    assert float(value(explorer, "decay_steps")) > 1500
    assert value(explorer, "decay_rate") == "1"
    assert position(explorer, "handle-decay")[0] == pytest.approx(x + 120, abs=2)
    assert curve(explorer) != before


def test_dragging_down_raises_decay_rate(explorer):
    drag(explorer, "handle-decay", 0, 30)
    assert float(value(explorer, "decay_rate")) > 1.5
    assert value(explorer, "decay_steps") == "1000"


def test_dragging_the_target_makes_the_curve_pass_there(explorer):
    x, y = position(explorer, "handle-target")
    drag(explorer, "handle-target", -200, -40)
    assert position(explorer, "handle-target") == pytest.approx((x - 200, y - 40), abs=2)
    assert value(explorer, "decay_steps") == "1000"
    at = int(value(explorer, "at"))
    assert bits(float(value(explorer, "rate"))) == bits(schedule_of(explorer)(at))


def test_dragging_the_start_changes_the_initial_rate(explorer):
    drag(explorer, "handle-initial", 0, 50)
    assert 0.05 < float(value(explorer, "initial_learning_rate")) < 0.1


def test_a_drag_past_the_picture_stops_at_its_edge(explorer):
    drag(explorer, "handle-decay", -400, -250)
    assert float(value(explorer, "decay_steps")) >= 1
    assert float(value(explorer, "decay_rate")) >= 0


def test_a_finger_drags(browser, address):
    look_like(browser, 360)
    opened(browser, address)
    grip = field(browser, "handle-decay")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", grip)
    finger = ActionBuilder(browser, mouse=PointerInput("touch", "finger"))
    finger.pointer_action.move_to(grip).pointer_down().move_by(40, 60).pointer_up()
    finger.perform()
    assert float(value(browser, "decay_steps")) > 1300
    assert float(value(browser, "decay_rate")) > 1.3
    # Otherwise a real finger would scroll the page; the emulated one never does.
    assert grip.value_of_css_property("touch-action") == "none"


def test_a_typed_rate_determines_decay_rate(explorer):
    type_into(explorer, "rate", "0.01")
    assert float(value(explorer, "decay_rate")) == 2.25
    assert schedule_of(explorer)(4000) == 0.01
    tick(explorer, "staircase")
    type_into(explorer, "at", "999")
    type_into(explorer, "rate", "0.01")
    assert "does not depend on decay_rate" in hint(explorer, "rate")


@pytest.mark.parametrize(
    ("handle", "keys", "name", "expected"),
    [
        ("handle-decay", Keys.ARROW_RIGHT, "decay_steps", "1100"),
        ("handle-decay", Keys.SHIFT + Keys.ARROW_LEFT, "decay_steps", "990"),
        ("handle-decay", Keys.ARROW_UP, "decay_rate", "0.9"),
        ("handle-decay", Keys.PAGE_DOWN, "decay_rate", "1.5"),
        ("handle-target", Keys.ARROW_RIGHT, "at", "4100"),
        ("handle-target", Keys.SHIFT + Keys.ARROW_LEFT, "at", "3999"),
        ("handle-target", Keys.ARROW_DOWN, "decay_rate", "1.1"),
        ("handle-initial", Keys.ARROW_UP, "initial_learning_rate", "0.11"),
        ("handle-initial", Keys.SHIFT + Keys.ARROW_DOWN, "initial_learning_rate", "0.099"),
    ],
)
def test_handles_take_the_arrow_keys(explorer, handle, keys, name, expected):
    field(explorer, handle).send_keys(keys)
    assert value(explorer, name) == expected


def test_keys_work_beside_a_wrong_field(explorer):
    paste_into(explorer, "initial_learning_rate", "much")
    field(explorer, "handle-decay").send_keys(Keys.ARROW_RIGHT)
    assert value(explorer, "decay_steps") == "1100"
    assert hint(explorer, "initial_learning_rate").endswith("got much")


def test_sliders_change_their_fields(explorer):
    for name in (*NUMBERS, "stop"):
        before = value(explorer, name)
        explorer.find_element(By.CSS_SELECTOR, f"[data-for={name}]").send_keys(
            Keys.ARROW_RIGHT * 20
        )
        assert float(value(explorer, name)) > float(before)


def test_everything_can_be_reached_with_tab_and_has_a_name(explorer):
    wanted = explorer.find_elements(By.CSS_SELECTOR, ".explorer :is(input, button, .handle)")
    for element in wanted:
        assert element.accessible_name, element.get_attribute("outerHTML")
    explorer.execute_script("document.activeElement.blur()")
    reached = []
    for _ in range(150):
        ActionChains(explorer).send_keys(Keys.TAB).perform()
        reached.append(explorer.switch_to.active_element)
    assert set(wanted) <= set(reached)


# ---------------------------------------------------------------- the address


def test_the_address_holds_the_schedule(explorer, address):
    type_into(explorer, "decay_steps", "123")
    type_into(explorer, "decay_rate", "0.75")
    tick(explorer, "staircase")
    tick(explorer, "xscale")
    until(lambda: "decay_steps=123&decay_rate=0.75" in explorer.current_url)
    until(lambda: "staircase=true" in explorer.current_url and "xscale=log" in explorer.current_url)
    before = explorer.current_url, curve(explorer), code(explorer, "shell")
    opened(explorer, before[0])
    assert (explorer.current_url, curve(explorer), code(explorer, "shell")) == before


def test_a_wrong_address_says_so(explorer, address):
    opened(explorer, f"{address}#decay_steps=-1&decay_rate=2&unknown=3")
    assert hint(explorer, "decay_steps") == "decay_steps must be positive, got -1"
    assert curve(explorer) != ""


def test_the_anchor_of_a_heading_is_not_a_schedule(explorer, address):
    opened(explorer, f"{address}#how-to-choose")
    assert value(explorer, "decay_steps") == "1000"
    explorer.find_element(By.PARTIAL_LINK_TEXT, "tutorial on overfitting").click()
    until(lambda: value(explorer, "decay_steps") == "20000")


# ---------------------------------------------------------------- lines to copy


def copied(page: Any, address: str, selector: str) -> str:
    permissions = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.execute_cdp_cmd("Browser.grantPermissions", permissions)
    button = page.find_element(By.CSS_SELECTOR, selector)
    button.click()
    until(lambda: button.text == "Copied")
    text: str = page.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))"
    )
    return text


@pytest.fixture
def typed(explorer: Any) -> Any:
    for name, text in ("initial_learning_rate", "0.25"), ("decay_steps", "1e5"), ("stop", "123456"):
        type_into(explorer, name, text)
    type_into(explorer, "start", "1000")
    tick(explorer, "staircase")
    return explorer


SCHEDULE = InverseTimeDecay(0.25, 100_000, 1.0, staircase=True)


def test_the_python_lines_run(typed, address):
    names: dict[str, Any] = {}
    exec(copied(typed, address, "[data-copies=code-python]"), names)
    assert names["schedule"] == SCHEDULE
    assert np.array_equal(names["rates"], SCHEDULE.precompute(range(1000, 123_456)))


def test_the_shell_line_runs(typed, address, tmp_path):
    pytest.importorskip("click")
    line = copied(typed, address, "[data-copies=code-shell]").replace("\\\n", "")
    command, *options = shlex.split(line)
    assert command == "invdecay"
    subprocess.run([sys.executable, "-m", "invdecay", *options], cwd=tmp_path, check=True)
    table = np.load(tmp_path / "lr.npy")
    assert np.array_equal(table, SCHEDULE.precompute(range(1000, 123_456)))


@pytest.mark.parametrize(
    ("name", "framework", "before", "after"),
    [
        (
            "pytorch",
            "torch",
            "import torch\nmodel = torch.nn.Linear(1, 1)",
            "for _ in [optimizer.step()]*10**5: scheduler.step()\nprint(*scheduler.get_last_lr())",
        ),
        ("keras", "keras", "", "print(float(schedule(100_000)))"),
    ],
    ids=["pytorch", "keras"],
)
def test_the_framework_s_lines_run(typed, address, name, framework, before, after):
    lines = copied(typed, address, f"[data-copies=code-{name}]")
    # Keras imports JAX on its NumPy backend.
    for package in [framework, "jax"] if framework == "keras" else [framework]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"not installed: {package}")
    run = subprocess.run(
        [sys.executable, "-c", f"{before}\n{lines}\n{after}"],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
    )
    assert run.stdout == "0.125\n", run.stderr


def test_the_link_is_copied(typed, address):
    link = copied(typed, address, "#explorer-link")
    assert link == typed.current_url
    assert "initial_learning_rate=0.25&decay_steps=100000" in link


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1e-7", "1e-7"), ("3", "3.0"), ("-0.5", "-0.5"), ("1e22", "1e+22"), ("0.1", "0.1")],
)
def test_numbers_are_written_so_that_python_reads_the_same(explorer, text, expected):
    type_into(explorer, "decay_rate", text)
    assert f"decay_rate={expected})" in code(explorer, "python")
    assert float(expected) == float(text)
    assert f"--decay-rate {expected} " in code(explorer, "shell")


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser, address, width):
    look_like(browser, width)
    opened(browser, address)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    inside = browser.execute_script(
        "return [...document.querySelectorAll('.explorer :is(input, button, svg)')]"
        ".every((e) => e.getBoundingClientRect().right <= innerWidth)"
    )
    assert inside


def test_the_picture_stays_in_sight_on_a_phone(browser, address):
    look_like(browser, 360)
    opened(browser, address)
    slider = browser.find_element(By.CSS_SELECTOR, "[data-for=stop]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'end'})", slider)
    box = browser.find_element(By.ID, "explorer-svg").rect
    top = browser.execute_script("return scrollY")
    assert top > 300
    assert top <= box["y"] <= top + 150


def background(page: Any) -> str:
    chart = page.find_element(By.CSS_SELECTOR, ".explorer-chart")
    return chart.value_of_css_property("background-color")


def test_dark_colours_follow_the_wish_and_the_toggle(browser, address):
    seen = {}
    for scheme in "light", "dark":
        look_like(browser, 1280, scheme)
        opened(browser, address)
        seen[scheme] = background(browser)
    assert seen["light"] != seen["dark"]
    browser.execute_script("document.documentElement.dataset.theme = 'light'")
    assert background(browser) == seen["light"]


def test_no_other_host_is_asked(explorer, address):
    asked = explorer.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    host = address.rsplit("/", 1)[0]
    assert any("explorer.js" in name for name in asked)
    assert [name for name in asked if not name.startswith(host)] == []
