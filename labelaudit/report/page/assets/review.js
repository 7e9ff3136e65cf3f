// The reviewer's decisions by row, and the steps that can be undone.

class Review {
  // store: where they are kept; changed: called after every change with the rows.
  constructor({ rows, store, changed }) {
    Object.assign(this, { rows, store, changed });
    this.decisions = new Map();
    this.undone = []; // steps of [row, before, after]
    this.twins = new Map();
    for (const row of rows.all) {
      const key = `${rows.sha256(row, 8)}:${rows.given[row]}`;
      if (this.twins.has(key)) this.twins.get(key).push(row);
      else this.twins.set(key, [row]);
    }
  }

  of(row) {
    return this.decisions.get(row);
  }

  get count() {
    return this.decisions.size;
  }

  counts() {
    const counts = Object.fromEntries(ACTIONS.map((action) => [action, 0]));
    for (const { action } of this.decisions.values()) counts[action] += 1;
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
      for (const twin of this.twins.get(`${this.rows.sha256(row, 8)}:${this.rows.given[row]}`)) wanted.set(twin, decision);
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
    this.decisions = new Map(decisions);
    if (steps) this.undone = steps;
    this.changed([]);
  }

  // Takes what was decided elsewhere.
  merge(changes) {
    const news = [...changes].filter(([row, decision]) => !same(this.of(row), decision));
    if (!news.length) return;
    this.put(news);
    this.changed(news.map(([row]) => row));
  }
}
