// The list of cards. Only those near the window are in the document, so its length does not matter.

const CARD = { width: 236, height: 360, gap: 12 };
const SPARE_ROWS = 2;

class Gallery {
  constructor(list, cards) {
    this.list = list;
    this.cards = cards;
    this.order = [];
    this.active = 0;
    this.shown = new Map(); // position → card
    this.columns = 1;
    const refresh = onceAFrame(() => this.render());
    addEventListener("scroll", refresh, { passive: true });
    addEventListener("resize", refresh, { passive: true });
    new ResizeObserver(onceAFrame(() => list.clientWidth !== this.width && this.measure())).observe(list);
  }

  // Shows these rows in this order, the first of them active.
  show(order) {
    this.order = order;
    this.active = 0;
    this.measure();
  }

  // The same, but the active row stays active if it is among them, or else its position does.
  update(order) {
    const at = this.row === null ? -1 : order.indexOf(this.row);
    this.order = order;
    this.active = at >= 0 ? at : Math.max(0, Math.min(this.active, order.length - 1));
    this.measure();
  }

  get row() {
    return this.order.length ? this.order[this.active] : null;
  }

  measure() {
    const width = this.list.clientWidth;
    this.width = width;
    this.columns = Math.max(1, Math.floor((width + CARD.gap) / (CARD.width + CARD.gap)));
    this.cardWidth = (width - (this.columns - 1) * CARD.gap) / this.columns;
    const lines = Math.ceil(this.order.length / this.columns);
    this.list.style.height = `${Math.max(0, lines * (CARD.height + CARD.gap) - CARD.gap)}px`;
    this.forget();
    this.render();
  }

  forget() {
    for (const card of this.shown.values()) card.remove();
    this.shown.clear();
  }

  render() {
    const line = CARD.height + CARD.gap;
    const top = -this.list.getBoundingClientRect().top;
    const from = Math.max(0, (Math.floor(top / line) - SPARE_ROWS) * this.columns);
    const to = Math.min(this.order.length, (Math.ceil((top + innerHeight) / line) + SPARE_ROWS) * this.columns);
    for (const [position, card] of this.shown) {
      if (position < from || position >= to) {
        card.remove();
        this.shown.delete(position);
      }
    }
    const added = document.createDocumentFragment();
    for (let position = from; position < to; position += 1) {
      if (!this.shown.has(position)) added.append(this.place(position));
    }
    if (added.childNodes.length) this.list.append(added);
  }

  place(position) {
    const card = this.cards.build(this.order[position], position, this.order.length);
    const column = position % this.columns, line = Math.floor(position / this.columns);
    card.style.width = `${this.cardWidth}px`;
    card.style.height = `${CARD.height}px`;
    card.style.transform = `translate(${column * (this.cardWidth + CARD.gap)}px, ${line * (CARD.height + CARD.gap)}px)`;
    this.mark(card, position === this.active);
    this.shown.set(position, card);
    return card;
  }

  mark(card, active) {
    card.classList.toggle("active", active);
    card.tabIndex = active ? 0 : -1;
    for (const button of card.querySelectorAll("button")) button.tabIndex = active ? 0 : -1;
  }

  // Builds the cards of these rows anew, where they are shown.
  refresh(rows) {
    const wanted = new Set(rows);
    for (const [position, card] of this.shown) {
      if (!wanted.has(this.order[position])) continue;
      const focus = card.contains(document.activeElement);
      const built = this.place(position);
      card.replaceWith(built);
      if (focus) built.focus({ preventScroll: true });
    }
  }

  // Makes a position the active one; with reveal it is scrolled to and takes the focus.
  activate(position, reveal = true) {
    if (!this.order.length) return;
    const before = this.shown.get(this.active);
    if (before) this.mark(before, false);
    this.active = Math.max(0, Math.min(position, this.order.length - 1));
    if (reveal) this.reveal();
    const card = this.shown.get(this.active);
    if (!card) return;
    this.mark(card, true);
    if (reveal) card.focus({ preventScroll: true });
  }

  reveal() {
    const bar = byId("bar").getBoundingClientRect().height + 8;
    const top = this.list.getBoundingClientRect().top + Math.floor(this.active / this.columns) * (CARD.height + CARD.gap);
    const below = top + CARD.height + 8 - innerHeight;
    if (top < bar) scrollBy({ top: top - bar, behavior: "instant" });
    else if (below > 0) scrollBy({ top: below, behavior: "instant" });
    this.render();
  }

  // True when the active card can be seen: what cannot be seen should not be decided on by a key.
  get inSight() {
    const card = this.shown.get(this.active);
    if (!card) return false;
    const { top, bottom } = card.getBoundingClientRect();
    return (top + bottom) / 2 > 0 && (top + bottom) / 2 < innerHeight;
  }
}
