// The reviewer's decisions by row, and the steps that can be undone. Behind the rows of the gallery are those of copies.

class Review {
  // store: where they are kept; size: how many rows the gallery has; changed: called after every change with the rows, and
  // whether it was the first time that the store gave any.
  constructor({ rows, size, store, changed }) {
    Object.assign(this, { rows, size, store, changed });
    this.decisions = new Map();
    this.undone = []; // steps of [row, before, after]
    this.twins = Map.groupBy(rows.all, (row) => this.twinsOf(row));
    this.groups = Map.groupBy(rows.all.slice(size), (item) => rows.group(item));
  }

  twinsOf(row) {
    return row < this.size ? `${this.rows.sha256(row, 8)}:${this.rows.given[row]}` : row;
  }

  of(row) {
    return this.decisions.get(row);
  }

  // Returns what the gallery says of a copy's image.
  own(item) {
    return this.of(this.twins.get(`${this.rows.sha256(item, 8)}:${this.rows.given[item]}`)?.[0]);
  }

  // Returns the label that a copy inherits, or null: it stays, nothing else is said of it, and one with its label goes.
  inherited(item) {
    if (this.of(item)?.action !== "keep-copy" || this.own(item)) return null;
    const isLost = (one) => this.of(one)?.action === "drop-copy" && this.rows.given[one] === this.rows.given[item];
    const changes = this.groups.get(this.rows.group(item)).filter(isLost).map((one) => this.own(one)).filter((one) => one?.action === "change");
    return new Set(changes.map(({ label }) => label)).size === 1 ? changes[0].label : null;
  }

  // Returns the label to which a copy's image is changed, or null.
  labelOf(item) {
    const own = this.own(item);
    return own?.action === "change" ? own.label : this.inherited(item);
  }

  // The number of decided rows of the gallery.
  get count() {
    let found = 0;
    for (const row of this.decisions.keys()) found += row < this.size ? 1 : 0;
    return found;
  }

  counts() {
    const counts = Object.fromEntries(ACTIONS.map((action) => [action, 0]));
    for (const [row, { action }] of this.decisions) if (row < this.size) counts[action] += 1;
    return counts;
  }

  decide(row, action, label) {
    this.step([[row, { action, label }]]);
  }

  clear(...some) {
    this.step(some.map((row) => [row, undefined]));
  }

  // Decides on rows in one step; equal files with one label are decided on together.
  step(changes) {
    const wanted = new Map();
    for (const [row, decision] of changes) {
      for (const twin of this.twins.get(this.twinsOf(row))) wanted.set(twin, decision);
    }
    const step = [...wanted].map(([row, after]) => [row, this.of(row), after]).filter(([, before, after]) => !same(before, after));
    if (!step.length) return;
    this.undone.push(step);
    this.write(step.map(([row, , after]) => [row, after]));
  }

  // Undoes the last step as far as nobody else has changed it; returns its first row, or null when there is none.
  undo() {
    while (this.undone.length) {
      const step = this.undone.pop().filter(([row, , after]) => same(this.of(row), after));
      if (!step.length) continue;
      this.write(step.map(([row, before]) => [row, before]));
      return step[0][0];
    }
    return null;
  }

  write(changes) {
    this.put(changes);
    this.store.write(changes);
    this.changed(changes.map(([row]) => row));
  }

  put(changes) {
    for (const [row, decision] of changes) {
      if (decision) this.decisions.set(row, decision);
      else this.decisions.delete(row);
    }
  }

  // Takes what the store has instead of everything; with steps, also what can be undone.
  replace(decisions, steps) {
    const isFirst = !this.isLoaded;
    Object.assign(this, { decisions: new Map(decisions), isLoaded: true });
    if (steps) this.undone = steps;
    this.changed([], isFirst);
  }

  // Takes what was decided elsewhere.
  merge(changes) {
    const news = [...changes].filter(([row, decision]) => !same(this.of(row), decision));
    if (!news.length) return;
    this.put(news);
    this.changed(news.map(([row]) => row));
  }
}
