// One suspicious sample as a card.

const CURVE = { width: 150, height: 46 };

class Cards {
  constructor({ rows, classes, kinds, curves, thumbnails, statistic, review }) {
    Object.assign(this, { rows, classes, kinds, thumbnails, statistic, review });
    this.points = curves.points;
    this.own = bytesOf(curves.samples);
    this.typical = bytesOf(curves.classes);
  }

  // position: where the card stands in the list of count that is shown.
  build(row, position, count) {
    const { rows } = this;
    const given = this.classes[rows.given[row]];
    const suggested = rows.suggested[row] < 0 ? null : this.classes[rows.suggested[row]];
    const decision = this.review.of(row);
    const heard = [
      `${visible(rows.path[row])}:`,
      `given ${visible(given)},`,
      suggested === null ? "nothing suggested," : `suggested ${visible(suggested)},`,
      `probability ${probability(rows.p[row])}.`,
      this.verdict(row),
    ];
    return make(
      "article",
      {
        class: `card ${decision ? decision.action : "open"}`,
        tabindex: -1,
        "data-row": row,
        "aria-posinset": position + 1,
        "aria-setsize": count,
        "aria-label": heard.join(" "),
      },
      make("div", { class: "look" }, this.picture(row), this.facts(row, given, suggested)),
      make("div", { class: "foot" }, make("p", { class: "path" }, nameOf(rows.path[row])), this.kind(row)),
      this.actions(row, suggested, decision),
    );
  }

  verdict(row) {
    const decision = this.review.of(row);
    if (!decision) return "Not reviewed.";
    if (decision.action === "keep") return "Kept.";
    return decision.action === "drop" ? "Dropped." : `Changed to ${visible(this.classes[decision.label])}.`;
  }

  picture(row) {
    const content = this.thumbnails.content[row];
    if (typeof content !== "string") {
      const why = content === undefined ? "no thumbnail in this file" : this.thumbnails.reasons[content];
      return make("div", { class: "picture none" }, make("span", {}, visible(why)));
    }
    const image = make("img", { alt: "", decoding: "async", draggable: "false" });
    image.addEventListener("load", () => image.naturalWidth < 64 && image.classList.add("tiny"), { once: true });
    image.src = `data:${this.thumbnails.kind};base64,${content}`;
    return make("div", { class: "picture" }, image);
  }

  facts(row, given, suggested) {
    const { rows } = this;
    const numbers = `#${row + 1} · P ${probability(rows.p[row])} · ${this.statistic} ${compact(rows.value[row])}`;
    return make(
      "div",
      { class: "facts" },
      make("p", { class: "label" }, make("span", { class: "what" }, "given"), nameOf(given, { class: "given" })),
      make(
        "p",
        { class: "label" },
        make("span", { class: "what" }, "suggested"),
        suggested === null ? make("span", { class: "what" }, "–") : nameOf(suggested, { class: "suggested" }),
      ),
      make("p", { class: "numbers" }, numbers),
      this.points ? this.curve(row) : null,
    );
  }

  kind(row) {
    const kind = this.rows.kind[row];
    return kind < 0 ? null : make("span", { class: "kind" }, visible(this.kinds[kind]));
  }

  curve(row) {
    const own = this.own.subarray(row * this.points, (row + 1) * this.points);
    const label = this.rows.given[row];
    const typical = this.typical.subarray(label * this.points, (label + 1) * this.points);
    const title = `Its loss by epoch (strong line), and the median of all labelled ${visible(this.classes[label])}`;
    return curveChart(own, typical, CURVE.width, CURVE.height, title);
  }

  actions(row, suggested, decision) {
    const change = decision && decision.action === "change";
    const toSuggested = change && decision.label === this.rows.suggested[row];
    const other = change && !toSuggested ? this.classes[decision.label] : null;
    const button = (action, says, pressed, ...content) =>
      make(
        "button",
        { type: "button", "data-action": action, title: says, "aria-label": says, tabindex: -1, "aria-pressed": pressed ? "true" : "false" },
        ...content,
      );
    const changeTo = (name) => `Change to ${visible(name)}`;
    return make(
      "div",
      { class: "actions" },
      button("keep", "Keep the given label (K)", decision && decision.action === "keep", "Keep"),
      suggested === null ? null : button("suggested", `${changeTo(suggested)} (C)`, toSuggested, "→ ", nameOf(suggested)),
      other === null
        ? button("other", "Choose another label (O)", false, "Other…")
        : button("other", changeTo(other), true, "→ ", nameOf(other)),
      button("drop", "Drop the image (D)", decision && decision.action === "drop", "Drop"),
    );
  }
}
