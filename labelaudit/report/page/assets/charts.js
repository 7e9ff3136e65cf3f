// Small charts in SVG: each function turns numbers and a width into a drawing.

const niceStep = (span, most) => {
  const raw = span / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
};

const ticksOf = (low, high, most) => {
  if (!(high > low)) return [low];
  const step = niceStep(high - low, most);
  const ticks = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at += 1) ticks.push(Number((at * step).toPrecision(12)));
  return ticks;
};

const pathOf = (points) => {
  let text = "";
  let drawing = false;
  for (const [x, y] of points) {
    // The first stroke of a line is so short that it shows nothing, unless the line is a single point.
    if (y !== null) text += `${drawing ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}${drawing ? "" : "h.1"}`;
    drawing = y !== null;
  }
  return text;
};

// An empty chart with axes; x and y turn values into places.
const frame = (width, height, { xLow, xHigh, yHigh, xName, yName, yTicks, yScale = (y) => y, label }) => {
  const left = 52, right = 10, top = 10, bottom = 40;
  const x = (value) => left + ((value - xLow) / (xHigh - xLow || 1)) * (width - left - right);
  const y = (value) => height - bottom - (yScale(value) / (yScale(yHigh) || 1)) * (height - top - bottom);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  for (const tick of yTicks ?? ticksOf(0, yHigh, 4)) {
    svg.append(
      draw("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      draw("text", { class: "tick", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick)),
    );
  }
  for (const tick of ticksOf(xLow, xHigh, Math.max(2, Math.min(8, width / 70)))) {
    svg.append(draw("text", { class: "tick", x: x(tick), y: height - bottom + 16, "text-anchor": "middle" }, short(tick)));
  }
  svg.append(
    draw("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    draw("text", { class: "axis-name", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xName),
    draw(
      "text",
      { class: "axis-name", x: 12, y: (height - bottom + top) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(height - bottom + top) / 2})` },
      yName,
    ),
  );
  return { svg, x, y };
};

const short = (value) =>
  Math.abs(value) >= 10_000 ? `${Number((value / 1000).toPrecision(3))}k` : Number(value.toPrecision(4)).toString();

const STATISTIC_NAMES = {
  aul: "area under the loss curve (AUL)",
  aum: "area under the margin (AUM)",
  log_odds: "log-odds of P(mislabeled)",
  mean_probability: "mean probability of the given label",
  misprediction_rate: "share of epochs with another prediction",
  forgetting_count: "times forgotten",
};

const nameOfStatistic = (name) => ({ aul: "AUL", aum: "AUM" })[name] ?? name.replaceAll("_", " ");

const histogramChart = (data, width, logarithmic) => {
  const bins = data.rest.length;
  const name = (width < 420 ? null : STATISTIC_NAMES[data.statistic]) ?? nameOfStatistic(data.statistic);
  const total = data.rest.map((count, bin) => count + data.suspicious[bin]);
  const tallest = Math.max(...total, 1);
  // A narrow component may be far higher than every bar: it is cut, so that the bars stay visible.
  const high = Math.max(tallest, Math.min(1.5 * tallest, Math.max(0, ...(data.components ?? []).flat())));
  const step = (data.high - data.low) / bins;
  const powers = Array.from({ length: Math.ceil(Math.log10(high)) + 1 }, (_, power) => 10 ** power);
  const { svg, x, y } = frame(width, 260, {
    xLow: data.low,
    xHigh: data.high,
    yHigh: high * (logarithmic ? 1.5 : 1.06),
    xName: data.suspicious_when_low ? `← more suspicious · ${name}` : `${name} · more suspicious →`,
    yName: logarithmic ? "images, log scale" : "images",
    yTicks: logarithmic ? powers.filter((power) => power <= high) : null,
    yScale: logarithmic ? (count) => Math.log10(1 + count) : undefined,
    label: `Histogram of the ${name}, with the suspicious images apart`,
  });
  for (let bin = 0; bin < bins; bin += 1) {
    const from = data.low + bin * step;
    const place = { x: x(from) + 0.5, width: Math.max(1, x(from + step) - x(from) - 1) };
    const title = `${compact(from)} to ${compact(from + step)}: ${whole.format(data.suspicious[bin])} suspicious, ${whole.format(data.rest[bin])} others`;
    const group = draw("g", {}, draw("title", {}, title));
    const bar = (name, low, height) =>
      height > low && group.append(draw("rect", { class: name, ...place, y: y(height), height: Math.max(0.5, y(low) - y(height)) }));
    bar("rest", 0, data.rest[bin]);
    bar("suspicious", data.rest[bin], total[bin]);
    svg.append(group);
  }
  (data.components ?? []).forEach((line, component) => {
    const points = line.map((count, at) => [
      x(data.low + ((data.high - data.low) * at) / (line.length - 1)),
      count === null ? null : Math.max(y(count), 4),
    ]);
    const speaksAgainst = component === 1;
    svg.append(draw("path", { class: `line ${speaksAgainst ? "suspicious" : "rest"}`, d: pathOf(points) }));
  });
  return svg;
};

const lossChart = (data, width) => {
  const epochs = data.rest[1].length;
  const values = [...data.suspicious[2], ...data.rest[2]].filter((value) => value !== null);
  const { svg, x, y } = frame(width, 260, {
    xLow: 1,
    xHigh: Math.max(2, epochs),
    yHigh: Math.max(...values, 0.1) * 1.05,
    xName: "epoch",
    yName: "loss in nats",
    label: "Loss by epoch: median and quartiles of the suspicious images and of the others",
  });
  for (const name of ["rest", "suspicious"]) {
    const [low, middle, high] = data[name].map((line) => line.map((value, at) => [x(at + 1), value === null ? null : y(value)]));
    if (middle.every(([, place]) => place === null)) continue;
    const band = [...high, ...low.reverse()].filter(([, place]) => place !== null);
    svg.append(
      draw("path", { class: `band ${name}`, d: `${pathOf(band)}Z` }),
      draw("path", { class: `line ${name}`, d: pathOf(middle) }),
    );
  }
  return svg;
};

// Given labels downwards, suggested ones to the right; pick is called with both when a cell is clicked.
const confusionChart = (pairs, classes, width, pick) => {
  const used = [...new Set(pairs.flatMap(([given, suggested]) => [given, suggested]))].sort((a, b) => a - b);
  const place = new Map(used.map((name, at) => [name, at]));
  const letter = 6.8;
  const longest = Math.max(...used.map((name) => visible(classes[name]).length));
  const labels = Math.min(longest * letter + 12, 120, width * 0.28);
  const head = labels * 0.77 + 8; // the names above are turned by 50 degrees,
  const overhang = labels * 0.5; // so the last one leans out to the right
  const cell = Math.min(46, (width - labels - overhang) / used.length);
  const characters = Math.floor((labels - 8) / letter);
  // Of the names beside it in the alphabet, the one that a name has more in common with.
  const twin = (name) => {
    const at = place.get(name);
    const [before, after] = [used[at - 1], used[at + 1]].map((other) => (other === undefined ? "" : classes[other]));
    return differsAt(classes[name], before, 0) > differsAt(classes[name], after, 0) ? before : after;
  };
  const svg = draw("svg", {
    viewBox: `0 0 ${labels + cell * used.length + overhang} ${head + cell * used.length}`,
    width: labels + cell * used.length + overhang,
    height: head + cell * used.length,
    role: "img",
    "aria-label": "Suspicious images by given and suggested label; the most frequent pairs are listed below",
  });
  const most = Math.max(...pairs.map(([, , count]) => count), 1);
  const sign = cell >= 26;
  // The sign must be readable on its background.
  const signOn = (strength) => `count${strength > 0.85 ? " strong" : strength > 0.62 ? " middle" : ""}`;
  for (const name of used) {
    const middle = (place.get(name) + 0.5) * cell;
    const text = visible(classes[name]);
    const cut = shortened(classes[name], twin(name), characters);
    const size = cell >= 12 ? "tick" : "tick tiny";
    svg.append(
      draw("text", { class: size, x: labels - 6, y: head + middle + 4, "text-anchor": "end" }, cut, draw("title", {}, text)),
      draw("text", { class: size, transform: `translate(${labels + middle + 3} ${head - 6}) rotate(-50)` }, cut, draw("title", {}, text)),
    );
    svg.append(draw("rect", { class: "diagonal", x: labels + middle - cell / 2, y: head + middle - cell / 2, width: cell - 1, height: cell - 1 }));
  }
  for (const [given, suggested, count] of pairs) {
    const left = labels + place.get(suggested) * cell, top = head + place.get(given) * cell;
    const strength = Math.sqrt(count / most);
    const group = draw(
      "g",
      { class: "cell" },
      draw("title", {}, `given ${visible(classes[given])}, suggested ${visible(classes[suggested])}: ${whole.format(count)}`),
      draw("rect", { x: left, y: top, width: cell - 1, height: cell - 1, "fill-opacity": (0.06 + 0.94 * strength).toFixed(3) }),
    );
    if (sign) {
      group.append(
        draw("text", { class: signOn(strength), x: left + cell / 2 - 0.5, y: top + cell / 2 + 4, "text-anchor": "middle" }, short(count)),
      );
    }
    group.addEventListener("click", () => pick(given, suggested));
    svg.append(group);
  }
  return svg;
};

// One sample's curve against its class's; the byte 255 means no record.
const curveChart = (own, typical, width, height, title) => {
  const points = (bytes) =>
    Array.from(bytes, (byte, at) => [
      bytes.length > 1 ? 2 + (at / (bytes.length - 1)) * (width - 4) : width / 2,
      byte === 255 ? null : height - 2 - (byte / 254) ** 2 * (height - 4),
    ]);
  const svg = draw(
    "svg",
    { class: "curve", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": title },
    draw("title", {}, title),
    draw("line", { class: "axis", x1: 0, x2: width, y1: height - 1, y2: height - 1 }),
    draw("path", { class: "line rest", d: pathOf(points(typical)) }),
    draw("path", { class: "line suspicious", d: pathOf(points(own)) }),
  );
  return svg;
};
