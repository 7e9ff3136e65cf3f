// Joins the parts: the data, the charts, the keys, the bar above the gallery.

const data = JSON.parse(byId("data").textContent);
byId("data").remove();
const digests = bytesOf(data.rows.sha256);
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const rows = {
  ...data.rows,
  all: data.rows.sample.map((_, row) => row),
  // The first bytes of a content hash, as hexadecimal digits.
  sha256: (row, bytes = 32) => {
    let text = "";
    for (let at = 32 * row; at < 32 * row + bytes; at += 1) text += HEX[digests[at]];
    return text;
  },
};
// The rows and behind them the copies: what can be decided on.
const items = {
  all: [...rows.all, ...data.copies.sample.map((_, at) => rows.all.length + at)],
  group: (item) => data.copies.group[item - rows.all.length] ?? "",
  sha256: rows.sha256,
  ...Object.fromEntries(["sample", "path", "given"].map((name) => [name, [...rows[name], ...data.copies[name]]])),
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

// Tabs. Without this script all parts are shown, one below the other.

const TABS = [
  ["tab-review", "review"],
  ["tab-overview", "overview"],
  ["tab-copies", "copies"],
  ["tab-found", "found-how"],
].filter(([tab]) => document.getElementById(tab));
const showTab = (chosen) => {
  for (const [tab, part] of TABS) {
    byId(tab).setAttribute("aria-selected", String(tab === chosen));
    byId(tab).tabIndex = tab === chosen ? 0 : -1;
    byId(part).hidden = tab !== chosen;
  }
};
byId("tab-review").parentElement.hidden = false;
for (const [tab] of TABS) byId(tab).addEventListener("click", () => showTab(tab));
byId("tab-review").parentElement.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const at = TABS.findIndex(([tab]) => tab === document.activeElement.id);
  if (!step || at < 0) return;
  const [tab] = TABS[(at + step + TABS.length) % TABS.length];
  showTab(tab);
  byId(tab).focus();
  event.preventDefault();
});
showTab("tab-review");

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

const images = imagesOf(data);
const store = new (data.server ? ServerStore : BrowserStore)({ rows: items, classes, fingerprint: data.fingerprint, embedded: data.decisions });
const review = new Review({ rows: items, size: rows.all.length, store, changed: (...what) => afterDecision(...what) });
const cards = new Cards({
  rows,
  classes,
  kinds,
  images,
  curves: data.curves,
  examples: data.examples,
  statistic: nameOfStatistic(data.statistic),
  sampled: data.sampled,
  dropped: data.dropped,
  review,
});
const gallery = new Gallery(byId("cards"), cards);
const progress = new Progress();
if (data.sampled) {
  Object.assign(SORTS, { rank: { name: "as drawn", by: null }, least: { ...SORTS.least, name: "the last first" } });
  delete SORTS.suggested;
  delete STATES.drop;
  const isOne = (...actions) => (decision) => actions.includes(decision?.action);
  STATES.keep.name = "right";
  Object.assign(STATES, { change: { name: "wrong", fits: isOne("wrong", "change") }, skip: { name: "unsure", fits: isOne("skip") } });
}
const filters = new Filters({ rows, classes, kinds, since: data.since, review, changed: onceAFrame(() => refilter()) });

const jumpTo = (given, suggested, fresh = "") => {
  showTab("tab-review");
  filters.set({ given, suggested, fresh });
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
} else without("confusion");

// What is new since the last audit, and pairs of labels, the most frequent first.
const offer = (action, ...content) => {
  const button = make("button", { type: "button" }, ...content);
  button.addEventListener("click", action);
  byId("pairs").append(make("li", {}, button));
};
const pairsOf = () => {
  const counts = new Map();
  for (const row of rows.all) {
    if (rows.suggested[row] < 0) continue;
    const pair = `${rows.given[row]} ${rows.suggested[row]}`;
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  }
  return [...counts].sort(([, one], [, other]) => other - one).slice(0, matchMedia("(max-width: 640px)").matches ? 4 : 8);
};
const fresh = (data.since?.new ?? []).filter(Boolean).length;
if (fresh) offer(() => jumpTo("", "", 1), `New since audit ${visible(data.since.name)} (${whole.format(fresh)})`);
for (const [pair, number] of data.sampled ? [] : pairsOf()) {
  const [given, suggested] = pair.split(" ").map(Number);
  offer(() => jumpTo(given, suggested), nameOf(classes[given]), " → ", nameOf(classes[suggested]), ` (${whole.format(number)})`);
}

// The gallery.

const showCounts = () => {
  byId("reviewed").textContent = whole.format(review.count);
  byId("tally").textContent = tallyOf(review.counts(), data.sampled);
  byId("left").textContent = progress.left(rows.all.length - review.count);
  byId("progress").max = Math.max(1, rows.all.length);
  byId("progress").value = review.count;
  byId("undo").disabled = review.undone.length === 0;
  byId("focus-undo").disabled = review.undone.length === 0;
  byId("not-stored").textContent = store.problem;
  byId("not-stored").hidden = !store.problem;
};

const showFound = () => {
  const found = gallery.order.length, all = rows.all.length;
  byId("found").textContent = found === all ? `${whole.format(all)} shown` : `${whole.format(found)} of ${whole.format(all)} shown`;
  byId("nothing").hidden = found > 0 || all === 0;
};

const refilter = () => {
  cards.exceptions.clear();
  gallery.show(filters.result());
  showFound();
  showGroup();
};

// Many at once, where one label is suggested for all.

const openOthers = () => gallery.order.filter((row) => !review.of(row) && !cards.exceptions.has(row));
const isGrouped = () => byId("suggested").value !== "" && gallery.order.length > 0;
const showGroup = () => {
  const grouped = isGrouped();
  byId("group").hidden = !grouped;
  byId("cards").classList.toggle("grouped", grouped);
  if (!grouped) return;
  const others = openOthers().length;
  const name = visible(classes[Number(byId("suggested").value)]);
  byId("group-text").textContent = `${count(cards.exceptions.size, "exception")} marked, ${whole.format(others)} others to review`;
  byId("group-change").textContent = `Change the others to ${name} (A)`;
  byId("group-keep").textContent = "Keep the others";
  for (const id of ["group-change", "group-keep"]) byId(id).disabled = !others;
};
const toggleException = (row) => {
  if (!isGrouped()) return;
  if (!cards.exceptions.delete(row)) cards.exceptions.add(row);
  gallery.refresh([row]);
  showGroup();
};
const decideOthers = (action) => {
  const others = openOthers();
  if (!isGrouped() || !others.length) return;
  progress.decided(others.length);
  review.step(others.map((row) => [row, { action, label: action === "change" ? rows.suggested[row] : rows.given[row] }]));
  announce(`${count(others.length, "label")} ${action === "change" ? "changed" : "kept"}.`);
  endIfDone(others.length);
};
byId("group-change").addEventListener("click", () => decideOthers("change"));
byId("group-keep").addEventListener("click", () => decideOthers("keep"));

const announce = (text) => {
  byId("announce").textContent = `${text} ${whole.format(review.count)} of ${whole.format(rows.all.length)} reviewed.`;
};

function afterDecision(changedRows, isFirst = false) {
  if (filters.followDecisions || !changedRows.length) {
    gallery.update(filters.result());
    showFound();
  } else gallery.refresh(changedRows);
  showCounts();
  showGroup();
  copies.show();
  if (isFirst) {
    if (review.of(gallery.row)) nextOpen(); // a key on what was decided before would decide anew
    copies.begin();
  }
  if (focus.isOpen) showFocus();
}

// Shows the end when the last decision was just made.
const endIfDone = (decided) => {
  if (review.count < rows.all.length || !decided) return false;
  focus.dialog.close();
  showEnd({ ...data, rows, review, copies });
  return true;
};

const decide = (row, action, label, thenNext) => {
  const position = gallery.active;
  const before = review.count;
  progress.decided(1);
  review.decide(row, action, label);
  announce(cards.verdict(row));
  if (endIfDone(review.count - before) || !thenNext) return;
  if (focus.isOpen && !filters.followDecisions && position + 1 >= gallery.order.length) nextOpen();
  else gallery.activate(filters.followDecisions ? position : position + 1, !focus.isOpen);
  if (focus.isOpen) showFocus();
};

const act = (row, action, thenNext) => {
  if (ACTIONS.includes(action)) decide(row, action, rows.given[row], thenNext);
  else if (action === "suggested") {
    if (rows.suggested[row] >= 0) decide(row, "change", rows.suggested[row], thenNext);
  } else if (action === "other") choose(row, thenNext);
  else if (action === "exception") toggleException(row);
};

const undo = () => {
  const row = review.undo();
  if (row === null) return;
  showTab(row < rows.all.length ? "tab-review" : "tab-copies");
  if (copies.reveal(row)) return announce("Undone.");
  const position = gallery.order.indexOf(row);
  if (position >= 0) gallery.activate(position, !focus.isOpen);
  if (focus.isOpen) showFocus();
  announce("Undone.");
};

// One image large.

const focus = new Focus({
  rows,
  cards,
  images,
  act: (row, action, isPressed) => {
    if (isPressed && action !== "other") review.clear(row);
    else act(row, action, true);
  },
  move: (step) => moveFocus(gallery.active + step),
});
const showFocus = () => {
  const { order, active, row } = gallery;
  if (row === null) focus.dialog.close();
  else focus.show(row, `${whole.format(active + 1)} of ${whole.format(order.length)}`, order[active + 1]);
};
const moveFocus = (position) => {
  gallery.activate(position, false);
  showFocus();
};
focus.dialog.addEventListener("close", () => gallery.row !== null && gallery.activate(gallery.active));
byId("focus-undo").addEventListener("click", undo);

byId("cards").addEventListener("click", (event) => {
  const card = event.target.closest("article");
  if (!card) return;
  const row = Number(card.dataset.row);
  gallery.activate(gallery.order.indexOf(row), false);
  const button = event.target.closest("button");
  if (event.target.closest(".thumbnail")) {
    if (isGrouped()) toggleException(row);
    else showFocus();
  } else if (!button) {
    card.focus({ preventScroll: true });
  } else if (button.getAttribute("aria-pressed") === "true" && !["other", "exception"].includes(button.dataset.action)) {
    review.clear(row);
    announce("Not reviewed.");
  } else act(row, button.dataset.action, false);
});

// Choosing another label.

let choosing = null;
const recent = []; // classes that were chosen, the last first
// Returns all classes, likely ones first: the suggested one, those chosen before, those suggested for this given label.
// In a sample only those chosen before come first: what the audit suggests would tell the reviewer what to answer.
const likely = (row) => {
  const suggested = (data.sampled ? [] : data.confusion).filter(([given]) => given === rows.given[row]).map(([, other]) => other);
  return [...new Set([rows.suggested[row], ...recent, ...suggested, ...classes.keys()])].filter((at) => at >= 0 && at !== rows.given[row]);
};
const UNSAFE = /^[.\-~]|^\s|\s$|[/\\]|[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u;
const plainName = (name) => name.normalize("NFC").toLowerCase();
const pick = (number) => {
  const { row, thenNext } = choosing;
  byId("choose").close();
  recent.unshift(...recent.splice(0).filter((other) => other !== number));
  recent.unshift(number);
  decide(row, "change", number, thenNext);
};
const listChoices = () => {
  const typed = byId("choice-words").value;
  const words = typed.toLowerCase();
  const fitting = choosing.likely.filter((number) => visible(classes[number]).toLowerCase().includes(words));
  const buttons = fitting.slice(0, 300).map((number) => {
    const button = make("button", { type: "button" }, nameOf(classes[number]));
    button.addEventListener("click", () => pick(number));
    return make("li", {}, button);
  });
  byId("choices").replaceChildren(...buttons);
  byId("no-choice").hidden = buttons.length > 0;
  const isKnown = classes.some((name) => plainName(name) === plainName(typed));
  const isUnsafe = UNSAFE.test(typed) || new TextEncoder().encode(typed).length > 200;
  byId("new-class").hidden = typed === "" || isKnown || isUnsafe;
  byId("new-class").replaceChildren("New class: ", nameOf(typed));
  byId("not-a-class").hidden = typed === "" || isKnown || !isUnsafe;
  byId("not-a-class").textContent = "A new class cannot have this name: it would be no safe folder name.";
};
const choose = (row, thenNext) => {
  choosing = { row, thenNext, likely: likely(row) };
  byId("choice-words").value = "";
  byId("choose-path").replaceChildren(nameOf(rows.path[row]), " is labeled ", nameOf(cards.given(row)));
  byId("choose-image").replaceChildren(picture(images.preview(row)));
  byId("choose").showModal();
  listChoices();
  byId("choice-words").focus();
};
byId("new-class").addEventListener("click", () => pick(numberOf(classes, byId("choice-words").value)));
byId("choice-words").addEventListener("input", listChoices);
byId("choose").addEventListener("keydown", (event) => {
  const added = byId("new-class").hidden ? [] : [byId("new-class")];
  const buttons = [...byId("choices").querySelectorAll("button"), ...added];
  const at = buttons.indexOf(document.activeElement);
  event.stopPropagation(); // a choice closes this dialog: the one below would take the same key
  if (event.key === "Enter" && document.activeElement === byId("choice-words")) {
    // The first that fits, once something was typed: Enter alone should not change a label.
    event.preventDefault();
    if (byId("choice-words").value !== "" && buttons.length > added.length) buttons[0].click();
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

byId("undo").addEventListener("click", undo);
byId("help").addEventListener("click", () => byId("keys").showModal());
byId("finish").addEventListener("click", () => showEnd({ ...data, rows, review, copies }));
if (data.server) {
  if (data.server.moves) offerPlan(review);
  else byId("plan")?.parentElement.setAttribute("hidden", "");
} else byId("download").addEventListener("click", () => download("decisions.csv", decisionsCsv(items, classes, review)));
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    const isCopied = await navigator.clipboard?.writeText(button.previousElementSibling.textContent).then(() => true, () => false);
    button.textContent = isCopied || document.execCommand("copy") ? "Copied" : "Selected";
  });
}
byId("forget").addEventListener("click", () => {
  if (!review.decisions.size) return;
  byId("ask-title").textContent = `Clear ${count(review.decisions.size, "decision")}? Undo brings them back.`;
  byId("ask").showModal();
});
byId("ask-yes").addEventListener("click", () => {
  byId("ask").close();
  review.clear(...review.decisions.keys());
  announce("Cleared.");
});

// Another review's file.

const take = async (file) => {
  const changes = changesIn(await file.text(), items, classes, store);
  if (changes) review.step(changes);
  const taken = changes ? `${count(changes.length, "decision")} taken from ${visible(file.name)}.` : `${visible(file.name)} is no decisions.csv.`;
  announce(taken);
  showEnd({ ...data, rows, review, copies });
  byId("end-title").textContent = taken;
};
byId("open").addEventListener("change", () => {
  if (byId("open").files.length) take(byId("open").files[0]);
  byId("open").value = "";
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
});

const nextOpen = () => {
  const { order, active } = gallery;
  for (let step = 1; step <= order.length; step += 1) {
    const position = (active + step) % order.length;
    if (!review.of(order[position])) return gallery.activate(position, !focus.isOpen);
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
const DECISIONS = Object.fromEntries(Object.entries(cards.keys).map(([action, key]) => [key.toLowerCase(), action]));

// Groups of copies.

const copies = new Copies({
  review,
  first: rows.all.length,
  done: (text, isLast) => {
    announce(text);
    if (isLast) showEnd({ ...data, rows, review, copies });
  },
  enlarge: (item, { src }) => {
    byId("copy-path").replaceChildren(nameOf(items.path[item], { dir: "ltr" }));
    byId("copy-image").replaceChildren(picture(data.server ? `image/${items.sample[item]}` : src));
    byId("copy").showModal();
  },
});
for (const [id, action] of [["copies-undo", undo], ["copies-finish", () => showEnd({ ...data, rows, review, copies })]]) {
  document.getElementById(id)?.addEventListener("click", action);
}

const isTyping = (node) => node.matches("input, select, textarea") && node.type !== "checkbox";
const isElsewhere = (node) =>
  node !== document.body && !byId("review").contains(node) && !focus.dialog.contains(node) && node.id !== "tab-review";
const ZOOMS = { "+": ZOOM.step, "=": ZOOM.step, "-": 1 / ZOOM.step };

const keyInFocus = (key) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
  if (step) moveFocus(gallery.active + step);
  else if (key === "Home" || key === "End") moveFocus(MOVES[key]());
  else if (key in ZOOMS) focus.zoom(ZOOMS[key]);
  else if (key === "0") focus.fit();
  else if (key === " " || key === "Enter") focus.dialog.close();
  else if (key in DECISIONS) act(gallery.row, DECISIONS[key], true);
  else return false;
  return true;
};
const keyInGallery = (key, node) => {
  const inGallery = node.closest("article") !== null;
  if (key in MOVES && node.id !== "tab-review" && (inGallery || gallery.inSight)) gallery.activate(MOVES[key]());
  else if ((key in DECISIONS || key === "x") && gallery.row !== null) {
    // A key on a card out of sight scrolls to it and decides nothing.
    if (!gallery.inSight) gallery.activate(gallery.active);
    else if (key === "x") toggleException(gallery.row);
    else act(gallery.row, DECISIONS[key], true);
  } else if (key === "a" && isGrouped()) decideOthers("change");
  else if ((key === " " || key === "Enter") && gallery.row !== null && (node.matches("article") || (node === document.body && gallery.inSight))) showFocus();
  else if (key === "/") {
    byId("filters").open = true;
    byId("words").focus();
  }
  else return false;
  return true;
};

document.addEventListener("keydown", (event) => {
  const node = document.activeElement ?? document.body;
  if (document.querySelector("dialog[open]:not(#focus)") || isTyping(node) || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z" && !event.shiftKey) {
      event.preventDefault();
      undo();
    }
    return;
  }
  const part = document.getElementById("copies");
  if (part && !part.hidden && (node === document.body || part.contains(node) || node.id === "tab-copies")) {
    if (copies.key(key)) event.preventDefault();
    else if (key === "u") undo();
    else if (key === "?") byId("keys").showModal();
    return;
  }
  if (isElsewhere(node) || byId("review").hidden) return;
  if (node.matches("button, summary") && (key === " " || key === "Enter")) return;
  if (focus.isOpen ? keyInFocus(key) : keyInGallery(key, node)) event.preventDefault();
  else if (key === "u") undo();
  else if (key === "n") {
    nextOpen();
    if (focus.isOpen) showFocus();
  } else if (key === "?") byId("keys").showModal();
  else return;
  event.preventDefault();
});

refilter();
showCounts();
store.start(review);
