// Where decisions are kept: in this browser, or by the server that gave this page.
//
// A decision is { action, label }, with the number of a class, about an image's content and its given label. Of a drawn
// sample, "wrong" says no more than that, and "skip" that the reviewer is unsure. About a copy, see copies.js, the group
// stands in the place of the label.

const ACTIONS = ["keep", "change", "drop", "wrong", "skip"];
const same = (one, other) => one?.action === other?.action && one?.label === other?.label;

class Store {
  // embedded: what the page itself says, as [row, action, label, milliseconds].
  constructor({ rows, classes, embedded }) {
    const known = new Map(rows.all.map((row) => [`${rows.sample[row]}:${rows.group(row)}`, row]));
    Object.assign(this, { rows, classes, embedded, known, problem: "" });
  }

  // Returns a decision from what is stored; undefined for one that is taken back, null for one that makes no sense.
  read(row, action, label) {
    if (action === "undo") return undefined;
    if (this.rows.group(row)) return COPY_ACTIONS.includes(action) && label === this.rows.group(row) ? { action, label: null } : null;
    if (!ACTIONS.includes(action)) return null;
    if (action !== "change") return { action, label: this.rows.given[row] };
    return typeof label === "string" && label !== "" ? { action, label: numberOf(this.classes, label) } : null;
  }

  // Returns the row that a line about a sample means.
  rowOf(sample, action, label) {
    const about = COPY_ACTIONS.includes(action) || (action === "undo" && label) ? `${sample}:${label}` : `${sample}:`;
    return this.known.get(about);
  }

  words(row, decision) {
    if (this.rows.group(row)) return [decision?.action ?? "undo", this.rows.group(row)];
    return decision ? [decision.action, decision.action === "change" ? this.classes[decision.label] : ""] : ["undo", ""];
  }
}

class BrowserStore extends Store {
  constructor({ fingerprint, ...rest }) {
    super(rest);
    Object.assign(this, { entries: {}, timer: null });
    [this.key, this.stepsKey] = ["labelaudit:decisions", `labelaudit:steps:${fingerprint}`];
  }

  start(review) {
    this.review = review;
    review.replace(this.load(), this.loadSteps());
    addEventListener("storage", (event) => event.key === this.key && review.replace(this.load()));
    addEventListener("pagehide", () => this.save());
    document.addEventListener("visibilitychange", () => document.hidden && this.save());
  }

  keyOf(row) {
    const copy = this.rows.group(row) ? `:${this.rows.group(row)}:${this.rows.path[row]}` : "";
    return `${this.rows.sha256(row, 8)}:${this.classes[this.rows.given[row]]}${copy}`;
  }

  // Returns when a row was decided on, in milliseconds.
  timeOf(row) {
    return this.entries[this.keyOf(row)]?.[2] ?? this.embedded.find(([one]) => one === row)?.[3] ?? Date.now();
  }

  stored(key) {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch (error) {
      // Anything but damaged text: the storage may not be used.
      if (!(error instanceof SyntaxError)) this.problem = NOT_KEPT;
      return null;
    }
  }

  load() {
    const kept = this.stored(this.key);
    this.entries = kept !== null && typeof kept === "object" && !Array.isArray(kept) ? kept : {};
    const found = new Map();
    for (const [row, action, label, time] of this.embedded) found.set(row, { decision: this.read(row, action, label), time });
    for (const row of Object.keys(this.entries).length ? this.rows.all : []) {
      const entry = this.entries[this.keyOf(row)];
      if (!Array.isArray(entry) || (found.get(row)?.time ?? 0) > entry[2]) continue;
      const decision = this.read(row, entry[0], entry[1]);
      if (decision !== null) found.set(row, { decision });
    }
    return new Map([...found].filter(([, { decision }]) => decision).map(([row, { decision }]) => [row, decision]));
  }

  loadSteps() {
    const side = (row, entry) => (entry ? (this.read(row, entry[0], entry[1]) ?? undefined) : undefined);
    try {
      const steps = this.stored(this.stepsKey).map((step) =>
        step.map(([about, before, after]) => [this.known.get(about), before, after]).filter(([row]) => row !== undefined)
          .map(([row, before, after]) => [row, side(row, before), side(row, after)]),
      );
      return steps.filter((step) => step.length);
    } catch {
      return [];
    }
  }

  write(changes) {
    const time = Date.now();
    for (const [row, decision] of changes) this.entries[this.keyOf(row)] = [...this.words(row, decision), time];
    this.dirty = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), 250);
  }

  save() {
    if (!this.dirty) return;
    const side = (row, decision) => (decision ? this.words(row, decision) : null);
    const steps = this.review.undone.slice(-50).map((step) =>
      step.map(([row, before, after]) => [`${this.rows.sample[row]}:${this.rows.group(row)}`, side(row, before), side(row, after)]),
    );
    try {
      localStorage.setItem(this.key, JSON.stringify(this.entries));
      localStorage.setItem(this.stepsKey, JSON.stringify(steps));
      this.dirty = false;
      this.problem = "";
    } catch {
      this.problem = NOT_KEPT;
      this.review.changed([]);
    }
  }
}
const NOT_KEPT = "This browser does not store decisions for this page: download your corrections before you close it.";

class ServerStore extends Store {
  constructor(parts) {
    super(parts);
    Object.assign(this, { heard: 0, queue: [], running: null, loaded: false });
  }

  start(review) {
    this.review = review;
    this.exchange();
    setInterval(() => document.hidden || this.exchange(), 1500);
    addEventListener("beforeunload", (event) => this.problem && this.queue.length && event.preventDefault());
    addEventListener("pagehide", () => this.queue.length && this.ask(this.queue, true));
  }

  write(changes) {
    this.queue.push(changes);
    this.exchange();
  }

  // Sends the steps that wait, or asks what others have decided; returns when no step waits, or the server fails.
  exchange() {
    this.running ??= this.converse().finally(() => (this.running = null));
    return this.running;
  }

  async converse() {
    const before = this.problem;
    try {
      do {
        const steps = this.queue.length;
        const answer = await this.ask(this.queue);
        if (answer.status === 403) throw new Error(await answer.text());
        this.queue.splice(0, steps);
        this.problem = answer.ok ? "" : await answer.text();
        if (answer.ok) this.receive(await answer.json());
        else if (steps) this.heard = -1; // what the page shows is not what is written: read it all again
      } while (this.queue.length || this.heard < 0);
    } catch {
      const waiting = this.queue.length ? ` ${this.queue.length} of your last steps are not written yet: leave this page open.` : "";
      this.problem = `The server does not answer. Start labelaudit review again.${waiting}`;
    }
    if (this.problem !== before) this.review.changed([]);
  }

  ask(queue, keepalive = false) {
    if (!queue.length) return fetch(`decisions?after=${this.heard}`);
    const steps = queue.map((step) => step.map(([row, decision]) => [this.rows.sample[row], ...this.words(row, decision)]));
    const body = JSON.stringify({ steps, after: Math.max(0, this.heard) });
    return fetch("decisions", { method: "POST", headers: { "Content-Type": "application/json" }, body, keepalive });
  }

  receive({ start, events }) {
    const waiting = new Set(this.queue.flatMap((step) => step.map(([row]) => row)));
    const isAll = !this.loaded || (start === 0 && this.heard !== 0);
    const { review } = this;
    const said = new Map(isAll ? this.embedded.map(([row, , , time]) => [row, time]) : []);
    const decisions = new Map(this.embedded.map(([row, action, label]) => [row, this.read(row, action, label)]));
    for (const row of waiting) decisions.delete(row);
    for (const row of waiting) if (review.of(row)) decisions.set(row, review.of(row));
    const [steps, changes] = [[], new Map()];
    let last = null;
    for (const [time, sample, action, label] of events) {
      const row = this.rowOf(sample, action, label);
      if (row === undefined) continue;
      const decision = this.read(row, action, label);
      if (waiting.has(row) || (isAll && (same(decisions.get(row), decision) || Date.parse(time) <= said.get(row)))) continue;
      if (!isAll) changes.set(row, decision);
      else {
        if (time !== last) steps.push([]);
        steps.at(-1).push([row, decisions.get(row), decision]);
        if (decision) decisions.set(row, decision);
        else decisions.delete(row);
        last = time;
      }
    }
    this.heard = start + events.length;
    if (isAll) review.replace(decisions, this.loaded ? settled(steps) : [...settled(steps), ...review.undone]);
    else review.merge(changes);
    this.loaded = true;
  }
}

// Returns the steps that can be undone: without those that took another one back, and the ones that they took back.
const settled = (steps) => {
  const open = [];
  for (const step of steps) {
    const top = open.at(-1);
    const before = new Map(top?.map(([row, earlier]) => [row, earlier]));
    const takesBack = top && top.length === step.length && step.every(([row, , after]) => before.has(row) && same(after, before.get(row)));
    if (takesBack) open.pop();
    else open.push(step);
  }
  return open;
};
