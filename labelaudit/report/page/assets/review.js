// The reviewer's decisions, kept in the browser's storage under the data's fingerprint.

const ACTIONS = ["keep", "change", "drop"];

class Review {
  // rows: the gallery's columns; classes: how many there are; changed: called after every change with the rows.
  constructor(fingerprint, rows, classes, changed) {
    this.key = `labelaudit:review:${fingerprint}`;
    this.rows = rows;
    this.classes = classes;
    this.changed = changed;
    this.rowOf = new Map(rows.sample.map((sample, row) => [sample, row]));
    this.decisions = new Map();
    this.foreign = {}; // of samples that this page does not show; kept for a page that does
    this.undone = [];
    this.stored = true;
    this.timer = null;
    this.load();
    addEventListener("storage", (event) => {
      if (event.key === this.key) {
        this.load();
        this.changed([]);
      }
    });
    addEventListener("pagehide", () => this.save());
    document.addEventListener("visibilitychange", () => document.hidden && this.save());
  }

  of(row) {
    return this.decisions.get(row);
  }

  get count() {
    return this.decisions.size;
  }

  counts() {
    const counts = { keep: 0, change: 0, drop: 0 };
    for (const { action } of this.decisions.values()) counts[action] += 1;
    return counts;
  }

  decide(row, action, label) {
    this.undone.push([[row, this.decisions.get(row)]]);
    this.decisions.set(row, { action, label });
    this.later([row]);
  }

  clear(row) {
    if (!this.decisions.has(row)) return;
    this.undone.push([[row, this.decisions.get(row)]]);
    this.decisions.delete(row);
    this.later([row]);
  }

  clearAll() {
    if (!this.decisions.size) return;
    this.undone.push([...this.decisions]);
    this.decisions.clear();
    this.later([]);
  }

  // Undoes the last step; returns the first row it concerned, or null when there is none.
  undo() {
    const step = this.undone.pop();
    if (!step) return null;
    for (const [row, before] of step) {
      if (before) this.decisions.set(row, before);
      else this.decisions.delete(row);
    }
    this.later(step.map(([row]) => row));
    return step[0][0];
  }

  later(rows) {
    this.dirty = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), 250);
    this.changed(rows);
  }

  save() {
    if (!this.dirty) return;
    const kept = { ...this.foreign };
    for (const [row, { action, label }] of this.decisions) {
      kept[this.rows.sample[row]] = action === "change" ? [action, label] : [action];
    }
    try {
      localStorage.setItem(this.key, JSON.stringify(kept));
      this.dirty = false;
      this.stored = true;
    } catch {
      this.stored = false;
      this.changed([]);
    }
  }

  load() {
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(this.key) ?? "{}");
    } catch (error) {
      this.stored = error instanceof SyntaxError; // anything else: the storage may not be used
    }
    this.decisions.clear();
    this.foreign = {};
    if (kept === null || typeof kept !== "object") return;
    for (const [sample, entry] of Object.entries(kept)) {
      const row = this.rowOf.get(Number(sample));
      if (!Array.isArray(entry) || !ACTIONS.includes(entry[0])) continue;
      if (row === undefined) this.foreign[sample] = entry;
      else if (entry[0] !== "change") this.decisions.set(row, { action: entry[0], label: this.rows.given[row] });
      else if (Number.isInteger(entry[1]) && entry[1] >= 0 && entry[1] < this.classes) {
        this.decisions.set(row, { action: "change", label: entry[1] });
      }
    }
  }
}
