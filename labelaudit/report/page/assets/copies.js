// Groups of copies: which of their files stay, or that they are no copies.

const COPY_ACTIONS = ["keep-copy", "drop-copy", "no-copy"];

class Copies {
  // first: the number of the first copy's item; done: called after a decision with a text, and whether it was the last;
  // enlarge: called with the item and the image that was clicked on.
  constructor({ review, first, done, enlarge }) {
    Object.assign(this, { review, done, enlarge, active: 0, groups: [] });
    let item = first;
    for (const node of document.querySelectorAll("#copies .copies")) {
      const group = { node, files: [...node.querySelectorAll("li")].map((file) => ({ file, changed: make("span"), item: (item += 1) - 1 })) };
      this.groups.push(group);
      this.build(group, this.groups.length);
    }
    if (!this.groups.length) return;
    byId("copies").addEventListener("click", (event) => this.click(event));
    byId("copies").addEventListener("focusin", ({ target }) => {
      const at = this.groups.findIndex(({ node }) => node.contains(target));
      if (at >= 0) this.mark(at);
    });
    this.mark(0);
    this.show();
  }

  build(group, number) {
    const button = (action, text, key) => make("button", { type: "button", "data-action": action }, text, make("kbd", { class: "keyboard" }, key));
    const name = `Group ${whole.format(number)}, ${count(group.files.length, "file")}`;
    group.state = make("span", { class: "state" });
    group.node.setAttribute("aria-label", name);
    group.node.prepend(
      make("header", {}, make("span", {}, make("strong", {}, name), " ", group.state), make("span", { class: "buttons" }, button("best", "Keep the best", "B"), button("apart", "No copies", "X"))),
    );
    for (const { file, changed } of group.files) file.querySelector("bdi").after(changed);
    group.files.forEach(({ file }, at) => file.append(make("button", { type: "button", "data-action": "drop", "data-at": at }, "Drop", at < 9 ? make("kbd", { class: "keyboard" }, String(at + 1)) : null)));
  }

  actions({ files }) {
    return files.map(({ item }) => this.review.of(item)?.action);
  }

  // How a group stands: "open", "apart", or with how many files that go.
  state(group) {
    const actions = this.actions(group);
    if (actions.includes("no-copy")) return "apart";
    return actions.includes("keep-copy") ? actions.filter((action) => action === "drop-copy").length : "open";
  }

  show() {
    if (!this.groups.length) return;
    for (const group of this.groups) {
      const [actions, state] = [this.actions(group), this.state(group)];
      const kept = actions.filter((action) => action === "keep-copy").length;
      const isBest = actions.every((action, at) => action === (at ? "drop-copy" : "keep-copy"));
      group.state.textContent = state === "open" ? "" : state === "apart" ? "No copies: will not be shown again" : `${whole.format(state)} to drop`;
      group.node.classList.toggle("done", state !== "open");
      const press = (name, isOn) => group.node.querySelector(`[data-action=${name}]`).setAttribute("aria-pressed", String(isOn));
      press("best", isBest);
      press("apart", state === "apart");
      group.files.forEach(({ file, changed, item }, at) => {
        const label = this.review.labelOf(item);
        changed.replaceChildren(...(label === null ? [] : [" → ", nameOf(this.review.store.classes[label], { class: "changed" })]));
        const [button, isDropped] = [file.querySelector("button"), actions[at] === "drop-copy"];
        file.classList.toggle("dropped", isDropped);
        button.setAttribute("aria-pressed", String(isDropped));
        button.disabled = actions[at] === "keep-copy" && kept === 1; // one has to stay
      });
    }
    const { open } = this;
    byId("copies-open").textContent = `${whole.format(open)} to decide`;
    byId("copies-open").hidden = !open;
    this.decided = `${whole.format(this.groups.length - open)} of ${count(this.groups.length, "group")}`;
    byId("copies-decided").textContent = this.decided;
    byId("copies-tally").textContent = this.tally || "nothing to drop yet";
    byId("copies-undo").disabled = !this.review.undone.length;
    byId("copies-rest").disabled = !open;
  }

  // The number of groups without a decision.
  get open() {
    return this.groups.filter((group) => this.state(group) === "open").length;
  }

  // What was decided, in words.
  get tally() {
    const states = this.groups.map((group) => this.state(group));
    const dropped = states.reduce((sum, state) => sum + (state > 0 ? state : 0), 0);
    return [dropped ? `${count(dropped, "copy", "copies")} to drop` : "", this.apart].filter(Boolean).join(" · ");
  }
  get apart() {
    const apart = this.groups.filter((group) => this.state(group) === "apart").length;
    return apart ? `${count(apart, "group")} without copies` : "";
  }

  decide(changes, text) {
    const before = this.open;
    this.review.step(changes.map(([item, action]) => [item, action && { action, label: null }]));
    this.done(text, before > 0 && !this.open);
  }

  // Decides on whole groups; the same decision again takes it back.
  all(groups, action) {
    const wanted = ({ files }) => files.map(({ item }, at) => [item, action === "apart" ? "no-copy" : at ? "drop-copy" : "keep-copy"]);
    const isSo = groups.every((group) => wanted(group).every(([item, one]) => this.review.of(item)?.action === one));
    this.decide(groups.flatMap(wanted).map(([item, one]) => [item, isSo ? undefined : one]), isSo ? "Not decided." : action === "apart" ? "No copies." : "The best is kept.");
    return !isSo;
  }

  // Drops or keeps a file; returns whether only one is left, so that nothing more can be decided on.
  toggle(group, at) {
    const actions = this.actions(group).map((action) => (action === "drop-copy" ? action : "keep-copy"));
    actions[at] = actions[at] === "drop-copy" ? "keep-copy" : "drop-copy";
    if (!actions.includes("keep-copy")) return false;
    this.decide(group.files.map(({ item }, which) => [item, actions[which]]), actions[at] === "drop-copy" ? "Dropped." : "Kept.");
    return actions.filter((action) => action === "keep-copy").length === 1;
  }

  click(event) {
    const button = event.target.closest("button");
    const [shown] = this.groups.flatMap(({ files }) => files).filter(({ file }) => file.contains(event.target));
    if (shown && event.target.matches("img")) this.enlarge(shown.item, event.target);
    if (!button) return;
    if (button.id === "copies-rest") this.all(this.groups.filter((group) => this.state(group) === "open"), "best");
    const group = this.groups.find(({ node }) => node.contains(button));
    if (!group) return;
    if (button.dataset.action === "drop") this.toggle(group, Number(button.dataset.at));
    else this.all([group], button.dataset.action);
  }

  mark(at) {
    this.active = at;
    this.groups.forEach(({ node }, which) => {
      node.tabIndex = which === at ? 0 : -1;
      node.classList.toggle("active", which === at);
    });
  }

  // True when the active group can be seen: what cannot be seen should not be decided on by a key.
  get inSight() {
    const { top, bottom } = this.groups[this.active].node.getBoundingClientRect();
    return bottom > 80 && top < innerHeight - 80;
  }

  // Makes the first open group the active one.
  begin() {
    const open = this.groups.findIndex((group) => this.state(group) === "open");
    if (open >= 0) this.mark(open);
  }

  // Makes a group the active one, and shows it.
  go(at) {
    this.mark(Math.max(0, Math.min(at, this.groups.length - 1)));
    const { node } = this.groups[this.active];
    node.focus({ preventScroll: true });
    node.scrollIntoView({ block: "nearest" });
  }

  // Shows the group of an item; false where it is none of a copy.
  reveal(item) {
    const at = this.groups.findIndex(({ files }) => files.some((one) => one.item === item));
    if (at >= 0) this.go(at);
    return at >= 0;
  }

  key(key) {
    const [group, open] = [this.groups[this.active], this.groups.findIndex((one, at) => at > this.active && this.state(one) === "open")];
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[key];
    if (step) this.go(this.active + step);
    else if (/^[bx1-9]$/.test(key) && !this.inSight) this.go(this.active);
    else if (/^[bx1-9]$/.test(key) && !(Number(key) > group.files.length)) {
      const isDecided = /[bx]/.test(key) ? this.all([group], key === "b" ? "best" : "apart") : this.toggle(group, Number(key) - 1);
      this.go(this.active + (isDecided ? 1 : 0));
    }
    else if (key === "n" && open >= 0) this.go(open);
    else return false;
    return true;
  }
}
