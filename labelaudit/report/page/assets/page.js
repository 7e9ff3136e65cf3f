// Joins the parts: the data, the charts, the keys, the bar above the gallery.

const data = JSON.parse(byId("data").textContent);
byId("data").remove();
const digests = bytesOf(data.rows.sha256);
const rows = {
  ...data.rows,
  all: data.rows.sample.map((_, row) => row),
  sha256: (row) => Array.from(digests.subarray(32 * row, 32 * row + 32), (byte) => byte.toString(16).padStart(2, "0")).join(""),
};
const { classes, kinds } = data;

// Theme: the system's, or the one that the user chose.

const THEMES = ["auto", "light", "dark"];
const rememberedTheme = () => {
  try {
    return localStorage.getItem("labelaudit:theme");
  } catch {
    return null;
  }
};
const setTheme = (theme) => {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
};
let theme = THEMES.includes(rememberedTheme()) ? rememberedTheme() : "auto";
setTheme(theme);
byId("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  setTheme(theme);
  try {
    localStorage.setItem("labelaudit:theme", theme);
  } catch {
    // It holds until the page is closed.
  }
});

// Charts.

const responsive = (id, build) => {
  const place = byId(id);
  let width = 0;
  const redraw = () => {
    width = place.clientWidth;
    if (width > 0) place.replaceChildren(build(width));
  };
  new ResizeObserver(onceAFrame(() => place.clientWidth !== width && redraw())).observe(place);
  redraw();
  return redraw;
};

const without = (id) => byId(id).closest("figure").remove();

if (data.histograms.length) {
  const drawn = () => data.histograms[Number(byId("statistic").value)];
  const option = ({ statistic }, at) => make("option", { value: String(at) }, `${nameOfStatistic(statistic)}${at ? "" : ", which ranks"}`);
  byId("statistic").replaceChildren(...data.histograms.map(option));
  byId("statistic").hidden = data.histograms.length < 2;
  const redraw = responsive("histogram", (width) => {
    byId("components").hidden = !drawn().components;
    return histogramChart(drawn(), width, byId("logarithmic").checked);
  });
  for (const id of ["statistic", "logarithmic"]) byId(id).addEventListener("input", redraw);
} else without("histogram");

if (data.group_curves) responsive("losses", (width) => lossChart(data.group_curves, width));
else without("losses");

const review = new Review(data.fingerprint, rows, classes.length, (changedRows) => afterDecision(changedRows));
const cards = new Cards({
  rows,
  classes,
  kinds,
  curves: data.curves,
  thumbnails: data.thumbnails,
  statistic: nameOfStatistic(data.statistic),
  sampled: data.sampled,
  review,
});
const gallery = new Gallery(byId("cards"), cards);
if (data.sampled) Object.assign(SORTS, { rank: { name: "as drawn", by: null }, least: { ...SORTS.least, name: "the last first" } });
const filters = new Filters({ rows, classes, kinds, review, changed: onceAFrame(() => refilter()) });

const jumpTo = (given, suggested) => {
  filters.set({ given, suggested });
  byId("review").scrollIntoView();
};

// The longest bar is full, unless all rates are small: then it shows that.
const fullBar = Math.max(0.2, ...data.class_table.map(({ rate }) => rate));

const classRow = ({ class: number, rate, samples, suspicious }) => {
  const bar = make("span", { class: "bar" });
  bar.style.width = `${(100 * rate) / fullBar}%`;
  const counts = `${whole.format(suspicious)} of ${whole.format(samples)}`;
  const button = make(
    "button",
    { type: "button", title: "Show its suspicious images" },
    nameOf(classes[number], { class: "name" }),
    make("span", { class: "track" }, bar),
    make("span", { class: "figure" }, percent(rate)),
    make("span", { class: "figure soft" }, counts),
  );
  button.addEventListener("click", () => jumpTo(number, ""));
  return make("li", {}, button);
};
byId("classes").replaceChildren(...data.class_table.map(classRow));

const MOST_CELLS = 26;
if (data.confusion.length) {
  const used = new Set(data.confusion.flatMap(([given, suggested]) => [given, suggested]));
  if (used.size <= MOST_CELLS) {
    responsive("confusion", (width) => confusionChart(data.confusion, classes, width, jumpTo));
  } else byId("confusion").remove();
  const pairs = data.confusion.slice(0, used.size <= MOST_CELLS ? 6 : 16).map(([given, suggested, count]) => {
    const button = make("button", { type: "button" }, nameOf(classes[given]), " → ", nameOf(classes[suggested]), ` (${whole.format(count)})`);
    button.addEventListener("click", () => jumpTo(given, suggested));
    return make("li", {}, button);
  });
  byId("pairs").replaceChildren(...pairs);
} else without("confusion");

// The gallery.

const showCounts = () => {
  const { keep, change, drop } = review.counts();
  byId("reviewed").textContent = whole.format(review.count);
  byId("tally").textContent = `${whole.format(keep)} kept · ${whole.format(change)} changed · ${whole.format(drop)} dropped`;
  byId("progress").max = Math.max(1, rows.all.length);
  byId("progress").value = review.count;
  byId("download").textContent = `↓ corrections.csv (${whole.format(review.count)})`;
  byId("download").disabled = review.count === 0;
  byId("undo").disabled = review.undone.length === 0;
  byId("not-stored").hidden = review.stored;
};

const showFound = () => {
  const found = gallery.order.length, all = rows.all.length;
  byId("found").textContent = found === all ? `${whole.format(all)} shown` : `${whole.format(found)} of ${whole.format(all)} shown`;
  byId("nothing").hidden = found > 0 || all === 0;
};

const refilter = () => {
  gallery.show(filters.result());
  showFound();
};

const announce = (text) => {
  byId("announce").textContent = `${text} ${whole.format(review.count)} of ${whole.format(rows.all.length)} reviewed.`;
};

function afterDecision(changedRows) {
  if (filters.followDecisions || !changedRows.length) {
    gallery.update(filters.result());
    showFound();
  } else gallery.refresh(changedRows);
  showCounts();
}

const decide = (row, action, label, thenNext) => {
  const position = gallery.active;
  review.decide(row, action, label);
  announce(cards.verdict(row));
  if (thenNext) gallery.activate(filters.followDecisions ? position : position + 1);
};

const act = (row, action, thenNext) => {
  if (action === "keep") decide(row, "keep", rows.given[row], thenNext);
  else if (action === "drop") decide(row, "drop", rows.given[row], thenNext);
  else if (action === "suggested") {
    if (rows.suggested[row] >= 0) decide(row, "change", rows.suggested[row], thenNext);
  } else if (action === "other") choose(row, thenNext);
};

const undo = () => {
  const row = review.undo();
  if (row === null) return;
  const position = gallery.order.indexOf(row);
  if (position >= 0) gallery.activate(position);
  announce("Undone.");
};

byId("cards").addEventListener("click", (event) => {
  const card = event.target.closest("article");
  if (!card) return;
  const row = Number(card.dataset.row);
  gallery.activate(gallery.order.indexOf(row), false);
  const button = event.target.closest("button");
  if (!button) {
    card.focus({ preventScroll: true });
  } else if (button.getAttribute("aria-pressed") === "true" && button.dataset.action !== "other") {
    review.clear(row);
    announce("Not reviewed.");
  } else act(row, button.dataset.action, false);
});

// Choosing another label.

let choosing = null;
const listChoices = () => {
  const words = byId("choice-words").value.toLowerCase();
  const { row } = choosing;
  const fitting = classes
    .map((name, number) => [visible(name), number])
    .filter(([name, number]) => number !== rows.given[row] && name.toLowerCase().includes(words));
  const buttons = fitting.slice(0, 300).map(([name, number]) => {
    const button = make("button", { type: "button" }, nameOf(name));
    button.addEventListener("click", () => {
      const { thenNext } = choosing;
      byId("choose").close();
      decide(row, "change", number, thenNext);
    });
    return make("li", {}, button);
  });
  byId("choices").replaceChildren(...buttons);
  byId("no-choice").hidden = buttons.length > 0;
};
const choose = (row, thenNext) => {
  choosing = { row, thenNext };
  byId("choice-words").value = "";
  byId("choose-path").replaceChildren(nameOf(rows.path[row]));
  byId("choose").showModal();
  listChoices();
  byId("choice-words").focus();
};
byId("choice-words").addEventListener("input", listChoices);
byId("choose").addEventListener("keydown", (event) => {
  const buttons = [...byId("choices").querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  if (event.key === "Enter" && document.activeElement === byId("choice-words")) {
    // The first that fits, once something was typed: Enter alone should not change a label.
    event.preventDefault();
    if (byId("choice-words").value !== "" && buttons.length) buttons[0].click();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (next < 0 ? byId("choice-words") : buttons[Math.min(next, buttons.length - 1)])?.focus();
  }
});
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
}

// The bar and the keys.

byId("filters").open = !matchMedia("(max-width: 640px)").matches;

byId("undo").addEventListener("click", undo);
byId("download").addEventListener("click", () => download("corrections.csv", correctionsCsv(rows, classes, review)));
byId("forget").addEventListener("click", () => review.clearAll());
byId("help").addEventListener("click", () => byId("keys").showModal());

const nextOpen = () => {
  const { order, active } = gallery;
  for (let step = 1; step <= order.length; step += 1) {
    const position = (active + step) % order.length;
    if (!review.of(order[position])) return gallery.activate(position);
  }
  return undefined;
};

const MOVES = {
  ArrowRight: () => gallery.active + 1,
  ArrowLeft: () => gallery.active - 1,
  ArrowDown: () => gallery.active + gallery.columns,
  ArrowUp: () => gallery.active - gallery.columns,
  Home: () => 0,
  End: () => gallery.order.length - 1,
};
const DECISIONS = { k: "keep", c: "suggested", o: "other", d: "drop" };

const isTyping = (node) => node.matches("input, select, textarea") && node.type !== "checkbox";
const isElsewhere = (node) => node !== document.body && !byId("review").contains(node);

document.addEventListener("keydown", (event) => {
  const node = document.activeElement ?? document.body;
  if (document.querySelector("dialog[open]") || isTyping(node) || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z" && !event.shiftKey) {
      event.preventDefault();
      undo();
    }
    return;
  }
  if (isElsewhere(node)) return;
  const inGallery = node.closest("article") !== null;
  if (key in MOVES && (inGallery || gallery.inSight)) gallery.activate(MOVES[key]());
  else if (key in DECISIONS && gallery.row !== null) {
    // A key on a card out of sight scrolls to it and decides nothing.
    if (gallery.inSight) act(gallery.row, DECISIONS[key], true);
    else gallery.activate(gallery.active);
  } else if (key === "u") undo();
  else if (key === "n") nextOpen();
  else if (key === "/") byId("words").focus();
  else if (key === "?") byId("keys").showModal();
  else return;
  event.preventDefault();
});

refilter();
showCounts();
