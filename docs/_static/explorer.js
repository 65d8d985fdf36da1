/* The page "Choosing decay_steps and decay_rate". It needs no library and asks no other host. */
"use strict";

/**
 * Return the learning rate at a step, with the bits of the package's float64 rates.
 *
 * A JavaScript number is a float64 and each operation rounds once, so the bits are equal as long
 * as these operations and their order are those of the numeric contract (docs/contract.md).
 */
function learningRate(step, initialLearningRate, decaySteps, decayRate, staircase) {
  let p = step / decaySteps;
  if (staircase) p = Math.floor(p);
  return initialLearningRate / (1 + decayRate * p);
}

(() => {
  const $ = (id) => document.getElementById(id);
  const svg = $("explorer-svg");

  /* ---------------------------------------------------------------- the state
   * The fields hold the state. Sliders, handles and the address write into the fields;
   * `read` checks them, and all that is shown follows from what it returns. */

  const DEFAULTS = {
    initial_learning_rate: "0.1", decay_steps: "1000", decay_rate: "1", staircase: false,
    start: "0", stop: "5000", at: "4000", xscale: false, yscale: false,
  };
  const SLIDERS = {
    initial_learning_rate: [1e-6, 1], decay_steps: [1, 1e9], decay_rate: [1e-3, 1e3], stop: [10, 1e12],
  };
  const FLAGS = ["staircase", "xscale", "yscale"];
  const WORDS = { staircase: "true", xscale: "log", yscale: "log" }; // as written in the address
  const LAST = 2 ** 53; // the last step before which float64 holds every whole number
  const HINTS = {};
  let state = null; // the last that was right

  const set = (name, value) => { $(name).value = String(value); };

  /** Return the number in a field; throw a sentence that names the field if there is none. */
  function number(name) {
    const text = $(name).value.trim().replaceAll("_", "");
    if (text.includes(",")) throw new Error(`${name}: write 1000 or 1e3, without a comma`);
    if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
      throw new Error(`${name} must be a real number, got ${text || "nothing"}`);
    }
    const value = Number(text);
    if (!Number.isFinite(value)) throw new Error(`${name} must be finite, got ${text}`);
    return value;
  }

  function step(name) {
    const value = number(name);
    if (!Number.isInteger(value)) throw new Error(`${name} must be a whole number, got ${value}`);
    if (value < 0 || value > LAST) throw new Error(`${name} must be from 0 to 2^53, got ${value}`);
    return value;
  }

  const CHECKS = {
    initial_learning_rate: number,
    decay_rate: number,
    decay_steps: (name) => {
      const value = number(name);
      if (value <= 0) throw new Error(`${name} must be positive, got ${value}`);
      return value;
    },
    start: step,
    stop: (name) => {
      const value = step(name);
      if (value < Number($("start").value) + 2) {
        throw new Error(`${name} must be at least 2 past the first step, got ${value}`);
      }
      return value;
    },
    at: step,
  };

  /** Return what the fields say, or null; say beside each wrong field what is wrong with it. */
  function read() {
    const values = {};
    let good = true;
    for (const [name, check] of Object.entries(CHECKS)) {
      let wrong = "";
      try { values[name] = check(name); } catch (error) { wrong = error.message; }
      complain(name, wrong);
      good &&= !wrong;
    }
    for (const name of FLAGS) values[name] = $(name).checked;
    return good ? values : null;
  }

  function complain(name, wrong) {
    $(name).setAttribute("aria-invalid", String(Boolean(wrong)));
    $(`${name}-hint`).textContent = wrong || HINTS[name];
  }

  const rateAt = (at, s = state) =>
    learningRate(at, s.initial_learning_rate, s.decay_steps, s.decay_rate, s.staircase);

  /* ---------------------------------------------------------------- the address */

  function toHash(s) {
    const parts = [];
    for (const [name, usual] of Object.entries(DEFAULTS)) {
      const always = name in SLIDERS;
      if (always || String(s[name]) !== String(usual)) parts.push(`${name}=${WORDS[name] ?? s[name]}`);
    }
    return "#" + parts.join("&");
  }

  function fromHash() {
    const given = new URLSearchParams(location.hash.slice(1));
    if (![...given.keys()].some((name) => name in DEFAULTS)) return false; // a heading's anchor
    for (const [name, usual] of Object.entries(DEFAULTS)) {
      const value = given.get(name);
      if (FLAGS.includes(name)) $(name).checked = value === WORDS[name];
      else set(name, value ?? usual);
    }
    return true;
  }

  // Browsers allow some hundred changes of the address in half a minute; a drag makes more.
  let pending = 0;
  function keepInAddress() {
    clearTimeout(pending);
    pending = setTimeout(() => history.replaceState(null, "", toHash(state)), 150);
  }

  /* ---------------------------------------------------------------- numbers in words */

  const SI = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"]];
  const round = (value, digits) => Number(value.toPrecision(digits));

  function power(exponent) {
    const digits = { "-": "⁻" };
    [..."⁰¹²³⁴⁵⁶⁷⁸⁹"].forEach((digit, i) => { digits[i] = digit; });
    return "10" + [...String(exponent)].map((c) => digits[c]).join("");
  }

  /** 1,000 and 20 M: a number of steps. */
  function inSteps(value) {
    for (const [unit, letter] of SI) {
      if (Math.abs(value) >= unit) return `${round(value / unit, 6).toLocaleString("en")} ${letter}`;
    }
    return value.toLocaleString("en", { maximumSignificantDigits: 6 });
  }

  /** A learning rate with a few digits: 0.05, 2.5 · 10⁻⁷. */
  function inRate(value, digits = 4) {
    if (value === 0 || !Number.isFinite(value)) return String(value).replace("Infinity", "infinite");
    const short = round(value, digits);
    const exponent = Math.floor(Math.log10(Math.abs(short)));
    if (exponent >= -4 && exponent < 6) return short.toLocaleString("en", { maximumSignificantDigits: digits });
    return `${round(short / 10 ** exponent, digits)} · ${power(exponent)}`;
  }

  /* ---------------------------------------------------------------- which steps are drawn */

  const firstShown = (s) => (s.xscale ? Math.max(s.start, 1) : s.start);

  /** Return whole steps spread over the picture: all of them, or one for each column. */
  function spread(s, count) {
    const first = firstShown(s), steps = [];
    for (let i = 0; i <= count; i++) {
      const t = i / count;
      const at = s.xscale ? first * (s.stop / first) ** t : first + (s.stop - first) * t;
      const whole = i === count ? s.stop : Math.round(at);
      if (steps.at(-1) !== whole) steps.push(whole);
    }
    return steps;
  }

  /** Return the steps at which the rate changes, or null if there are too many to draw. */
  function stairs(s, most) {
    const first = firstShown(s);
    const low = Math.floor(first / s.decay_steps), high = Math.floor(s.stop / s.decay_steps);
    if (!(high - low <= most) || high > LAST) return null; // also where a quotient overflows
    const steps = [first];
    for (let k = low + 1; k <= high; k++) {
      let at = Math.ceil(k * s.decay_steps); // the product is rounded: look at both sides
      while (Math.floor((at - 1) / s.decay_steps) >= k) at -= 1;
      while (Math.floor(at / s.decay_steps) < k) at += 1;
      if (at > steps.at(-1) && at <= s.stop) steps.push(at);
    }
    if (steps.at(-1) !== s.stop) steps.push(s.stop);
    return steps;
  }

  /** Return the first step from `low` on at which `test` holds, null if it never does. */
  function firstStep(test, low = 0) {
    let high = LAST;
    if (!test(high)) return null;
    while (low < high) { // every rounded operation is monotonic, so halving finds it
      const middle = low + Math.floor((high - low) / 2);
      if (test(middle)) high = middle; else low = middle + 1;
    }
    return low;
  }

  /** Return the first step whose denominator is zero or negative, null if there is none. */
  function pole(s) {
    if (!(s.decay_rate < 0)) return null;
    return firstStep((at) => {
      const inverse = learningRate(at, 1, s.decay_steps, s.decay_rate, s.staircase);
      return !(inverse > 0 && inverse < Infinity);
    });
  }

  /* ---------------------------------------------------------------- the picture */

  const NS = "http://www.w3.org/2000/svg";
  const parts = {};
  let view = null; // size, limits and scales, which stand still during a drag
  let dragging = null;

  function element(tag, attributes, parent = svg) {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    parent.append(made);
    return made;
  }

  const HANDLES = {
    initial: { shape: "M-7,-9 L9,0 L-7,9 Z", label: "initial_learning_rate" },
    decay: { shape: "M-8,0 a8,8 0 1,0 16,0 a8,8 0 1,0 -16,0 Z", label: "decay_steps and decay_rate" },
    target: { shape: "M0,-10 L10,0 L0,10 L-10,0 Z", label: "wanted rate at a step" },
  };

  function build() {
    const clip = element("clipPath", { id: "explorer-clip" });
    parts.clip = element("rect", {}, clip);
    parts.axes = element("g", { class: "axes", "aria-hidden": "true" });
    const clipped = element("g", { "clip-path": "url(#explorer-clip)", "aria-hidden": "true" });
    parts.guides = element("path", { class: "guides" }, clipped);
    parts.pole = element("path", { class: "pole" }, clipped);
    parts.ghost = element("path", { class: "ghost" }, clipped);
    parts.curve = element("path", { class: "curve", id: "explorer-curve" }, clipped);
    parts.labels = element("g", { class: "labels", "aria-hidden": "true" });
    for (const [name, { shape, label }] of Object.entries(HANDLES)) {
      const handle = element("g", {
        class: `handle handle-${name}`, id: `handle-${name}`, tabindex: "0", role: "slider", "aria-label": label,
      });
      element("circle", { r: 20, class: "reach" }, handle);
      element("path", { d: shape }, handle);
      parts[name] = handle;
      handle.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        handle.focus();
        handle.setPointerCapture(event.pointerId);
        const { e: left, f: top } = handle.transform.baseVal[0].matrix;
        dragging = { name, left, top, x: event.clientX, y: event.clientY };
      });
      handle.addEventListener("pointermove", (event) => { if (dragging?.name === name) drag(event); });
      for (const end of ["pointerup", "pointercancel"]) {
        handle.addEventListener(end, () => { dragging = null; changed(); });
      }
      handle.addEventListener("keydown", (event) => press(name, event));
    }
  }

  function limits(s, rates) {
    const finite = rates.filter((rate) => Number.isFinite(rate) && (!s.yscale || rate > 0));
    if (!finite.length) return s.yscale ? [1e-3, 1] : [0, 1];
    let low = Math.min(...finite), high = Math.max(...finite);
    const at = pole(s);
    if (at !== null && at <= s.stop) { // beside the pole the rates pass every limit
      const most = 5 * Math.abs(s.initial_learning_rate) || 1;
      low = Math.max(low, -most);
      high = Math.min(high, most);
    }
    const largest = 8e307; // the difference of two limits must not overflow
    if (s.yscale) {
      const room = Math.max(Math.log(high) - Math.log(low), 4) * 0.05;
      low = Math.min(Math.max(low * Math.exp(-room), Number.MIN_VALUE), largest / 10);
      return [low, Math.max(Math.min(high * Math.exp(room), largest), 2 * low)];
    }
    low = Math.min(low, 0);
    high = Math.max(high, 0);
    if (low === high) high = 1; // the rates are all zero
    const room = (high - low) * 0.06;
    return [low < 0 ? Math.max(low - room, -largest) : low, high > 0 ? Math.min(high + room, largest) : high];
  }

  function scales(s) {
    const width = Math.max(svg.clientWidth, 200), height = svg.clientHeight || 300;
    const box = { left: 60, right: width - 16, top: 28, bottom: height - 38 };
    const first = firstShown(s), last = Math.max(s.stop, first + 1);
    const columns = Math.round(box.right - box.left);
    const steps = (s.staircase && stairs(s, 2000)) || spread(s, columns);
    const [low, high] = limits(s, steps.map((at) => rateAt(at, s)));
    const [u, v] = [s.xscale ? Math.log : Number, s.yscale ? Math.log : Number];
    const inverse = (log, value) => (log ? Math.exp(value) : value);
    const x = (at) => box.left + (box.right - box.left) * ((u(at) - u(first)) / (u(last) - u(first)));
    const y = (rate) => box.bottom - (box.bottom - box.top) * ((v(rate) - v(low)) / (v(high) - v(low)));
    const stepOf = (px) =>
      inverse(s.xscale, u(first) + (u(last) - u(first)) * ((px - box.left) / (box.right - box.left)));
    const rateOf = (py) =>
      inverse(s.yscale, v(low) + (v(high) - v(low)) * ((box.bottom - py) / (box.bottom - box.top)));
    return { width, height, box, first, last, low, high, x, y, stepOf, rateOf, columns };
  }

  /** Return the path of a curve, interrupted where there is nothing to draw. */
  function path(s, asStairs) {
    const { x, y, columns } = view;
    const steps = (asStairs && stairs(s, 2000)) || spread(s, columns);
    const held = asStairs && stairs(s, 2000);
    let d = "", before = null;
    for (const at of steps) {
      const rate = rateAt(at, s);
      const drawn = Number.isFinite(rate) && (!s.yscale || rate > 0);
      const joined = before !== null && drawn && Math.sign(rate) * Math.sign(before) >= 0;
      // SVG numbers far outside the picture lose their precision.
      const py = drawn ? Math.min(Math.max(y(rate), -1e4), 1e4).toFixed(2) : 0;
      if (held && before !== null) d += `H${x(at).toFixed(2)}`;
      if (drawn) d += joined ? (held ? `V${py}` : `L${x(at).toFixed(2)},${py}`) : `M${x(at).toFixed(2)},${py}`;
      before = drawn ? rate : null;
    }
    return d;
  }

  function ticks(low, high, log, most) {
    const found = [];
    if (log && high / low >= 10) {
      const from = Math.floor(Math.log10(low)), to = Math.floor(Math.log10(high));
      const every = Math.max(1, Math.ceil((to - from) / most));
      const between = to - from < 3 ? [1, 2, 5] : [1];
      for (let k = Math.ceil(from / every) * every; k <= to; k += every) {
        for (const m of between) found.push(Number(`${m}e${k}`));
      }
      return found.filter((value) => value >= low && value <= high);
    }
    const rough = (high - low) / most, unit = 10 ** Math.floor(Math.log10(rough));
    const size = [1, 2, 5, 10].find((m) => m * unit >= rough) * unit;
    for (let i = 0; i <= most + 1; i++) { // counted, because large numbers do not grow by a size
      const value = round((Math.ceil(low / size) + i) * size, 15);
      if (value <= high + size * 1e-9) found.push(value);
    }
    return found;
  }

  function drawAxes(s) {
    const { box, x, y, first, last, low, high, width } = view;
    parts.axes.replaceChildren();
    const line = (d, name) => element("path", { d, class: name }, parts.axes);
    const text = (content, at, anchor, name = "") => {
      element("text", { x: at[0], y: at[1], "text-anchor": anchor, class: name }, parts.axes).textContent = content;
    };
    for (const at of ticks(first, last, s.xscale, width < 500 ? 4 : 7).filter(Number.isInteger)) {
      line(`M${x(at)},${box.top}V${box.bottom}`, "grid");
      const label = s.xscale && at >= 1e4 && Number.isInteger(Math.log10(at)) ? power(Math.log10(at)) : inSteps(at);
      const end = x(at) > box.right - 24;
      text(label, [end ? width - 2 : x(at), box.bottom + 17], end ? "end" : "middle");
    }
    for (const rate of ticks(low, high, s.yscale, 6)) {
      line(`M${box.left},${y(rate)}H${box.right}`, rate === 0 ? "zero" : "grid");
      const exponent = Math.log10(rate);
      const label = s.yscale && rate < 1e-3 && Number.isInteger(round(exponent, 12)) ? power(round(exponent, 12)) : inRate(rate, 6);
      text(label, [box.left - 12, y(rate) + 4], "end");
    }
    line(`M${box.left},${box.top}V${box.bottom}H${box.right}`, "frame");
    text("learning rate", [0, 12], "start", "title");
    text("step", [(box.left + box.right) / 2, box.bottom + 34], "middle", "title");
  }

  /** Put a handle on its point of the curve and return its guide, down to the axis of steps. */
  function place(name, at, rate, words, now) {
    const { box, x, y, first, last, low, high } = view;
    const inside = at >= first && at <= last && rate >= low && rate <= high;
    const handle = parts[name];
    handle.classList.toggle("outside", !inside);
    handle.setAttribute("aria-valuenow", now);
    handle.setAttribute("aria-valuetext", words);
    if (!inside) return "";
    const [px, py] = [x(at), y(rate)];
    handle.setAttribute("transform", `translate(${px.toFixed(2)},${py.toFixed(2)})`);
    if (name === "initial") return "";
    const label = element("text", { class: `label-${name}` }, parts.labels);
    label.textContent = words;
    // A falling curve leaves room above it on the right and below it on the left.
    const length = label.getComputedTextLength(), falls = state.decay_rate * state.initial_learning_rate >= 0;
    const right = falls ? px + length + 10 < view.width : px - length - 10 < 0;
    const below = falls && !right && py + 30 < box.bottom;
    label.setAttribute("text-anchor", right ? "start" : "end");
    label.setAttribute("x", px + (right ? 8 : -8));
    label.setAttribute("y", below ? py + 24 : Math.max(py - 14, box.top - 4));
    return `M${px.toFixed(2)},${box.bottom}V${py.toFixed(2)}`;
  }

  /** Move the second label below its point where it would cover the first. */
  function untangle() {
    const [first, second] = [...parts.labels.children].map((label) => label.getBBox());
    if (!second) return;
    const apart = first.x + first.width < second.x || second.x + second.width < first.x ||
      first.y + first.height < second.y || second.y + second.height < first.y;
    if (!apart) {
      const label = parts.labels.children[1];
      label.setAttribute("y", Math.min(view.y(rateAt(state.at)) + 26, view.box.bottom - 4));
    }
  }

  function draw() {
    const s = state;
    if (!dragging || !view) {
      view = scales(s);
      svg.setAttribute("viewBox", `0 0 ${view.width} ${view.height}`);
      const { box } = view;
      for (const [name, value] of Object.entries({
        x: box.left, y: box.top - 2, width: box.right - box.left + 4, height: box.bottom - box.top + 4,
      })) parts.clip.setAttribute(name, value);
      drawAxes(s);
    }
    parts.curve.setAttribute("d", path(s, s.staircase));
    parts.ghost.setAttribute("d", s.staircase ? path({ ...s, staircase: false }, false) : "");
    const at = pole(s);
    const shown = at !== null && at >= view.first && at <= view.last;
    parts.pole.setAttribute("d", shown ? `M${view.x(at)},${view.box.top}V${view.box.bottom}` : "");
    parts.labels.replaceChildren();
    const { initial_learning_rate: lr, decay_steps: ds, decay_rate: rate } = s;
    place("initial", view.first, lr, `initial_learning_rate ${inRate(lr)}`, lr);
    parts.guides.setAttribute("d",
      place("decay", ds, rateAt(ds), `decay_steps: ÷ ${inRate(1 + rate)}`, ds) +
      place("target", s.at, rateAt(s.at), `step ${inSteps(s.at)}: ${inRate(rateAt(s.at))}`, s.at));
    untangle();
  }

  /* ---------------------------------------------------------------- handles */

  /** Set decay_rate so that the rate at step `at` is `rate`; say why if no number does it. */
  function decayRateFor(at, rate, digits) {
    const p = state.staircase ? Math.floor(at / state.decay_steps) : at / state.decay_steps;
    const lr = state.initial_learning_rate;
    if (p === 0) return "the rate before the first stair's end does not depend on decay_rate";
    if (rate === 0 || lr === 0 || rate / lr < 0) return `rate must have the sign of initial_learning_rate, got ${rate}`;
    const found = (lr / rate - 1) / p;
    if (!Number.isFinite(found)) return `no finite decay_rate gives ${rate} at step ${at}`;
    set("decay_rate", digits ? round(found, digits) : found);
    return "";
  }

  /** Let what the handle stands for follow the pointer. */
  function drag(event) {
    const { box } = view;
    const moved = { x: event.clientX - dragging.x, y: event.clientY - dragging.y };
    // A drag along one axis leaves the other number alone, until the pointer strays.
    dragging.sideways ||= Math.abs(moved.x) > 3;
    dragging.upright ||= Math.abs(moved.y) > 3;
    const px = Math.min(Math.max(dragging.left + moved.x, box.left), box.right);
    const py = Math.min(Math.max(dragging.top + moved.y, box.top), box.bottom - 1);
    const at = round(view.stepOf(px), 3), rate = view.rateOf(py);
    if (dragging.name === "initial") {
      if (dragging.upright) set("initial_learning_rate", round(rate, 3));
      return changed();
    }
    if (dragging.sideways) {
      if (dragging.name === "decay") set("decay_steps", Math.max(at, Math.min(1, state.decay_steps)));
      else set("at", Math.max(Math.round(at), 1));
      state = read() ?? state;
    }
    // A pointer above the initial rate means a constant schedule, not a growing one.
    const lr = state.initial_learning_rate, wanted = lr > 0 ? Math.min(rate, lr) : rate;
    if (dragging.upright) decayRateFor(dragging.name === "decay" ? state.decay_steps : state.at, wanted, 3);
    return changed();
  }

  /** Return the next number with two significant digits, or three for small steps. */
  function next(value, direction, small) {
    if (value === 0) return direction * 0.01;
    const unit = 10 ** (Math.floor(Math.log10(Math.abs(value))) - (small ? 2 : 1));
    const moved = round((Math.round(value / unit) + direction) * unit, 12);
    return moved === 0 ? round(direction * unit / 10, 12) : moved;
  }

  const KEYS = {
    ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0], PageUp: [0, 5], PageDown: [0, -5],
  };

  /** Move a handle by a key. */
  function press(name, event) {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    const [dx, dy] = KEYS[event.key], small = event.shiftKey;
    const moved = (value, by) => {
      for (let i = 0; i < Math.abs(by); i++) value = next(value, Math.sign(by), small);
      return value;
    };
    if (name === "initial") set("initial_learning_rate", moved(state.initial_learning_rate, dx || dy));
    else if (dy) set("decay_rate", moved(state.decay_rate, -dy)); // a lower rate needs more decay
    else if (name === "decay") set("decay_steps", Math.max(moved(state.decay_steps, dx), 1e-3));
    else {
      const { first, last } = view, fiftieth = Math.max(1, Math.round((last - first) / 50));
      const at = state.xscale && !small ? Math.round(moved(state.at, dx)) : state.at + dx * (small ? 1 : fiftieth);
      set("at", Math.min(Math.max(at, first), last));
    }
    changed();
  }

  /* ---------------------------------------------------------------- what is said */

  function summary(s) {
    const { initial_learning_rate: lr, decay_rate: rate } = s;
    const first = rateAt(s.start), last = rateAt(s.stop);
    const words = first === last ? "stays at" : Math.abs(last) < Math.abs(first) ? "falls from" : "goes from";
    let text = `The rate ${words} ${inRate(first)}`;
    text += first === last ? "." : ` at step ${inSteps(s.start)} to ${inRate(last)} at step ${inSteps(s.stop)}.`;
    if (lr > 0 && rate > 0) {
      const found = [["a half", 2], ["a tenth", 10], ["a hundredth", 100]]
        .map(([name, parts]) => [name, firstStep((at) => rateAt(at) <= lr / parts)])
        .filter(([, at]) => at !== null)
        .map(([name, at]) => `${name} at step ${at.toLocaleString("en")}`);
      if (found.length) text += ` It is down to ${found.join(", ").replace(/, ([^,]*? at step [\d,]+)$/, " and $1")}.`;
    }
    if (!s.staircase && rate > 0) {
      text += " Without the staircase, only the quotient decay_rate / decay_steps shapes the curve.";
    }
    return text;
  }

  function problems(s) {
    const said = [];
    const at = pole(s);
    if (at !== null) {
      const past = s.initial_learning_rate < 0 ? "positive" : "negative";
      const what = Number.isFinite(rateAt(at)) ? past : "infinite, because the denominator is zero there";
      said.push(`At step ${at.toLocaleString("en")} the rate is ${what}, and past it the rates are ${past}: ` +
        "1 + decay_rate · (step / decay_steps) reaches zero when decay_rate is negative.");
    } else if (s.decay_rate < 0) said.push("A negative decay_rate makes the rate grow.");
    if (s.initial_learning_rate < 0) said.push("A negative initial_learning_rate gives negative rates.");
    if ([s.start, s.at, s.stop].some((step) => Number.isNaN(rateAt(step)))) {
      said.push("Some rates are not numbers (NaN), because step / decay_steps overflows.");
    }
    const some = spread(s, 200).map((step) => rateAt(step));
    if (s.yscale && some.some((rate) => !(rate > 0))) {
      said.push("A logarithmic axis cannot show rates that are zero, negative or not finite: there the curve has a gap.");
    }
    if (s.xscale && s.start === 0) said.push("A logarithmic axis of steps begins at step 1.");
    if (s.decay_steps > s.stop) said.push("decay_steps lies past the last step shown.");
    return said.join(" ");
  }

  /* ---------------------------------------------------------------- lines to copy */

  /** A float as Python and the shell read it: 1.0, 0.1, 1e-07. */
  function float(value) {
    const text = String(value);
    return /^-?\d+$/.test(text) ? `${text}.0` : text;
  }

  /** A whole number as Python and the command read it: 1000, 20_000. */
  const whole = (value) => (value < 1e4 ? String(value) : value.toLocaleString("en", { useGrouping: true }).replaceAll(",", "_"));
  const numeric = (value) => (Number.isInteger(value) && value < 1e15 ? whole(value) : float(value));

  function lines(s) {
    const lr = float(s.initial_learning_rate), ds = numeric(s.decay_steps), rate = float(s.decay_rate);
    const form = s.staircase ? ", staircase=True" : "";
    const decay = `decay_steps=${ds}, decay_rate=${rate}${form}`;
    const steps = s.start ? `range(${whole(s.start)}, ${whole(s.stop)})` : whole(s.stop);
    const from = s.start ? ` --start ${whole(s.start)}` : "";
    return {
      python: `from invdecay import InverseTimeDecay

schedule = InverseTimeDecay(${lr}, ${decay})
rates = schedule.precompute(${steps})
`,
      keras: `import keras
from invdecay.keras import InverseTimeDecay

schedule = InverseTimeDecay(${lr}, ${decay})
optimizer = keras.optimizers.SGD(learning_rate=schedule)
`,
      pytorch: `import torch
from invdecay.torch import InverseTimeDecayLR

optimizer = torch.optim.SGD(model.parameters(), lr=${lr})
scheduler = InverseTimeDecayLR(optimizer, ${decay})
`,
      shell: `invdecay precompute --initial-learning-rate ${lr} \\
    --decay-steps ${ds} --decay-rate ${rate}${s.staircase ? " --staircase" : ""} \\
    --steps ${whole(s.stop - s.start)}${from} lr.npy
`,
    };
  }

  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // a page opened without https has no clipboard
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const label = button.dataset.label ??= button.textContent;
    button.textContent = "Copied";
    $("explorer-copied").textContent = "Copied to the clipboard.";
    setTimeout(() => { button.textContent = label; $("explorer-copied").textContent = ""; }, 1500);
  }

  /* ---------------------------------------------------------------- everything together */

  function show() {
    draw();
    for (const [name, [low, high]] of Object.entries(SLIDERS)) {
      const slider = document.querySelector(`[data-for=${name}]`);
      const position = 1000 * Math.log(state[name] / low) / Math.log(high / low);
      slider.value = String(Number.isFinite(position) ? Math.round(position) : 0);
      slider.setAttribute("aria-valuetext", String(state[name]));
    }
    if (document.activeElement !== $("rate")) set("rate", rateAt(state.at));
    $("explorer-summary").textContent = summary(state);
    const wrong = problems(state);
    $("explorer-problem").textContent = wrong;
    $("explorer-problem").hidden = !wrong;
    for (const [name, text] of Object.entries(lines(state))) $(`code-${name}`).textContent = text;
  }

  function changed() {
    const now = read();
    if (now === null) return;
    state = now;
    complain("rate", "");
    show();
    keepInAddress();
  }

  function reset() {
    for (const [name, usual] of Object.entries(DEFAULTS)) {
      if (FLAGS.includes(name)) $(name).checked = usual;
      else set(name, usual);
    }
    changed();
  }

  function listen() {
    for (const name of [...Object.keys(CHECKS), ...FLAGS]) $(name).addEventListener("input", changed);
    $("rate").addEventListener("input", () => {
      try {
        const wrong = decayRateFor(state.at, number("rate"), 0);
        if (!wrong) changed();
        complain("rate", wrong);
      } catch (error) { complain("rate", error.message); }
    });
    $("rate").addEventListener("change", () => { set("rate", rateAt(state.at)); complain("rate", ""); });
    for (const slider of document.querySelectorAll("[data-for]")) {
      const name = slider.dataset.for, [low, high] = SLIDERS[name];
      Object.assign(slider, { min: "0", max: "1000", step: "1" });
      slider.addEventListener("input", () => {
        const value = round(low * (high / low) ** (slider.value / 1000), 3);
        set(name, value);
        changed();
      });
    }
    document.querySelector(".explorer-controls").addEventListener("submit", (event) => event.preventDefault());
    for (const button of document.querySelectorAll("[data-copies]")) {
      button.addEventListener("click", () => copy($(button.dataset.copies).textContent, button));
    }
    $("explorer-link").addEventListener("click", (event) => {
      history.replaceState(null, "", toHash(state));
      copy(location.href, event.target);
    });
    $("explorer-fit").addEventListener("click", () => {
      set("start", 0);
      set("stop", Math.min(Math.max(Math.ceil(5 * state.decay_steps), 10), LAST));
      changed();
    });
    $("explorer-reset").addEventListener("click", reset);
    addEventListener("hashchange", () => { if (fromHash()) changed(); });
    new ResizeObserver(() => { if (state) { view = null; draw(); } }).observe(svg);
  }

  for (const name of [...Object.keys(CHECKS), "rate"]) HINTS[name] = $(`${name}-hint`).textContent;
  build();
  listen();
  reset();
  clearTimeout(pending); // the address of a page just opened stays as it is
  if (fromHash()) changed();
})();
