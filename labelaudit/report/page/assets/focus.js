// One image large, with zoom, beside examples of the given and the suggested class.

const ZOOM = { most: 16, step: 1.25 };

class Focus {
  constructor({ rows, cards, images, act, move }) {
    Object.assign(this, { rows, cards, images });
    [this.dialog, this.stage, this.image] = [byId("focus"), byId("stage"), byId("large")];
    this.fingers = new Map();
    this.fit();
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? ZOOM.step : 1 / ZOOM.step, event);
    }, { passive: false });
    this.stage.addEventListener("dblclick", (event) => (this.scale > 1 ? this.fit() : this.zoom(3, event)));
    this.stage.addEventListener("pointerdown", (event) => {
      this.fingers.set(event.pointerId, event);
      this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) this.stage.addEventListener(name, (event) => this.fingers.delete(event.pointerId));
    this.image.addEventListener("error", () => this.fail());
    byId("focus-actions").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) act(this.row, button.dataset.action, button.getAttribute("aria-pressed") === "true");
    });
    byId("previous").addEventListener("click", () => move(-1));
    byId("next").addEventListener("click", () => move(1));
  }

  get isOpen() {
    return this.dialog.open;
  }

  // Shows a row; nextRow is fetched in advance.
  show(row, place, nextRow) {
    const isOther = row !== this.row || !this.isOpen;
    this.row = row;
    if (!this.isOpen) {
      this.dialog.showModal();
      this.dialog.focus();
    }
    byId("focus-place").textContent = place;
    byId("focus-verdict").textContent = this.cards.verdict(row);
    byId("focus-verdict").className = `verdict ${this.cards.review.of(row)?.action ?? "open"}`;
    byId("focus-actions").replaceChildren(this.cards.actions(row, false));
    for (const button of byId("focus-actions").querySelectorAll("button")) button.tabIndex = 0;
    if (!isOther) return;
    this.fit();
    this.load(row);
    byId("focus-labels").replaceChildren(...(this.cards.sampled ? [0] : [0, 1]).map((which) => this.label(row, which)));
    byId("focus-details").replaceChildren(...this.cards.details(row));
    if (nextRow !== undefined) this.fetchAhead(nextRow);
  }

  load(row) {
    const [preview, whole] = [this.images.preview(row), this.images.whole(row)];
    byId("large-none").hidden = true;
    this.image.hidden = typeof preview !== "string";
    if (this.image.hidden) {
      this.explain(preview.why);
      return;
    }
    this.image.src = preview;
    this.image.alt = `${visible(this.rows.path[row])}, labeled ${visible(this.cards.given(row))}`;
    if (whole === preview) return;
    const loading = new Image();
    loading.addEventListener("load", () => row === this.row && (this.image.src = whole));
    loading.src = whole;
  }

  fetchAhead(row) {
    const whole = this.images.whole(row);
    if (typeof whole === "string" && !whole.startsWith("data:")) new Image().src = whole;
    for (const source of [0, 1].flatMap((which) => this.cards.near(row, which))) {
      if (!source.startsWith("data:")) new Image().src = source;
    }
  }

  async fail() {
    const { row } = this;
    const why = await reasonOf(this.images.preview(row));
    if (row !== this.row) return;
    this.image.hidden = true;
    this.explain(why);
  }

  explain(why) {
    byId("large-none").textContent = visible(why);
    byId("large-none").hidden = false;
  }

  label(row, which) {
    const name = which ? this.cards.suggested(row) : this.cards.given(row);
    const near = this.cards.near(row, which);
    const full = name === null ? make("span", { class: "soft" }, this.cards.nothing(row)) : contrasted(name, this.cards[which ? "given" : "suggested"](row) ?? "", { class: which ? "suggested" : "given" });
    const examples = near.map((source) => picture(source));
    return make(
      "section",
      { class: "of-class" },
      make("h3", {}, make("span", { class: "what" }, which ? "suggested" : "given"), full),
      make("div", { class: "examples", role: "img", "aria-label": name === null ? "No examples" : `Examples of ${visible(name)}` }, ...examples),
    );
  }

  fit() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.place();
  }

  // Enlarges by a factor; what is under the pointer, or in the middle, stays where it is.
  zoom(factor, pointer = null) {
    const box = this.stage.getBoundingClientRect();
    const scale = Math.min(ZOOM.most, Math.max(1, this.scale * factor));
    const [x, y] = pointer ? [pointer.clientX - box.left - box.width / 2, pointer.clientY - box.top - box.height / 2] : [0, 0];
    const by = scale / this.scale;
    Object.assign(this, { scale, x: x - (x - this.x) * by, y: y - (y - this.y) * by });
    this.place();
  }

  drag(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const other = [...this.fingers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    if (other) {
      const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      this.zoom(apart(event) / Math.max(1, apart(before)), event);
    } else {
      this.x += event.clientX - before.clientX;
      this.y += event.clientY - before.clientY;
      this.place();
    }
    this.fingers.set(event.pointerId, event);
  }

  // Moves the image to where it is wanted, without a gap between its edge and the stage's.
  place() {
    const limit = (value, inner, outer) => {
      const most = Math.max(0, (inner * this.scale - outer) / 2);
      return Math.max(-most, Math.min(most, value));
    };
    this.x = limit(this.x, this.image.clientWidth, this.stage.clientWidth);
    this.y = limit(this.y, this.image.clientHeight, this.stage.clientHeight);
    this.image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    byId("zoomed").hidden = this.scale === 1;
    byId("zoomed").textContent = `${Math.round(100 * this.scale)}%`;
  }
}
