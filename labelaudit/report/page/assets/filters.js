// Which samples are shown, and in what order.

const SORTS = {
  rank: { name: "most suspicious first", by: null },
  least: { name: "least suspicious first", by: (rows) => (a, b) => b - a },
  given: { name: "given label", by: (rows) => (a, b) => rows.given[a] - rows.given[b] || a - b },
  suggested: { name: "suggested label", by: (rows) => (a, b) => rows.suggested[a] - rows.suggested[b] || a - b },
  path: { name: "file name", by: (rows) => (a, b) => (rows.path[a] < rows.path[b] ? -1 : 1) },
};

const STATES = {
  all: { name: "all", fits: () => true },
  open: { name: "to review", fits: (decision) => !decision },
  done: { name: "reviewed", fits: (decision) => Boolean(decision) },
  keep: { name: "kept", fits: (decision) => decision?.action === "keep" },
  change: { name: "changed", fits: (decision) => decision?.action === "change" },
  drop: { name: "dropped", fits: (decision) => decision?.action === "drop" },
};

class Filters {
  // since: the name of an earlier audit, and which rows are new since then; null without one.
  constructor({ rows, classes, kinds, since, review, changed }) {
    Object.assign(this, { rows, review, isNew: since?.new ?? [] });
    const names = (used) => [...new Set(used)].filter((at) => at >= 0).sort((a, b) => a - b);
    this.offer("given", [["", "all"], ...names(rows.given).map((at) => [at, visible(classes[at])])]);
    this.offer("suggested", [["", "all"], ...names(rows.suggested).map((at) => [at, visible(classes[at])])]);
    this.offer("kind", [["", "all"], ...names(rows.kind).map((at) => [at, visible(kinds[at])])]);
    this.offer("state", Object.entries(STATES).map(([value, { name }]) => [value, name]));
    this.offer("sort", Object.entries(SORTS).map(([value, { name }]) => [value, name]));
    const fresh = this.isNew.filter(Boolean).length;
    this.offer("fresh", [["", "all"], ["1", `new since audit ${since?.name} (${whole.format(fresh)})`]]);
    byId("fresh").closest("label").hidden = !since;
    byId("kind").closest("label").hidden = !kinds.length;
    byId("suggested").closest("label").hidden = rows.suggested.every((at) => at < 0);
    const inputs = ["given", "suggested", "kind", "fresh", "state", "sort", "low", "high", "words"];
    for (const name of inputs) byId(name).addEventListener("input", changed);
    byId("clear").addEventListener("click", () => {
      for (const name of inputs) byId(name).value = { state: "all", sort: "rank" }[name] ?? "";
      changed();
    });
  }

  offer(name, options) {
    byId(name).replaceChildren(...options.map(([value, text]) => make("option", { value: String(value) }, text)));
  }

  set(values) {
    for (const [name, value] of Object.entries(values)) byId(name).value = String(value);
    byId("given").dispatchEvent(new Event("input"));
  }

  // True when a decision can move a sample in or out of the list.
  get followDecisions() {
    return byId("state").value !== "all";
  }

  result() {
    const { rows } = this;
    const number = (name, otherwise) => {
      const value = byId(name).value;
      return value === "" || Number.isNaN(Number(value)) ? otherwise : Number(value);
    };
    const [given, suggested, kind] = ["given", "suggested", "kind"].map((name) => number(name, null));
    const [low, high] = [number("low", null), number("high", null)];
    const words = byId("words").value.toLowerCase();
    const { fits } = STATES[byId("state").value] ?? STATES.all;
    const found = rows.all.filter(
      (row) =>
        (given === null || rows.given[row] === given) &&
        (suggested === null || rows.suggested[row] === suggested) &&
        (kind === null || rows.kind[row] === kind) &&
        (byId("fresh").value === "" || this.isNew[row]) &&
        (low === null || rows.p[row] >= low) &&
        (high === null || rows.p[row] <= high) &&
        (words === "" || rows.path[row].toLowerCase().includes(words)) &&
        fits(this.review.of(row)),
    );
    const { by } = SORTS[byId("sort").value] ?? SORTS.rank;
    return by ? found.sort(by(rows)) : found;
  }
}
