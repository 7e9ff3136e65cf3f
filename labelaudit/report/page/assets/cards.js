// One suspicious sample as a card.

const CURVE = { width: 150, height: 46 };
const PATH_END = 18;
const LABEL = { beside: 12, line: 24, lines: 3, height: 20 }; // characters beside the image and below it
// Characters of full width count twice.
const widthOf = (text) => Array.from(text).reduce((sum, character) => sum + (character > "\u2e7f" ? 2 : 1), 0);

class Cards {
  constructor({ rows, classes, kinds, curves, thumbnails, statistic, sampled, review }) {
    Object.assign(this, { rows, classes, kinds, thumbnails, statistic, sampled, review });
    this.points = curves.points;
    this.own = bytesOf(curves.samples);
    this.typical = bytesOf(curves.classes);
    // Long class names stand below the image, in as many lines as the longest takes.
    const used = [...new Set([...rows.given, ...rows.suggested])].filter((name) => name >= 0);
    const longest = Math.max(0, ...used.map((name) => widthOf(visible(classes[name]))));
    this.lines = longest <= LABEL.beside ? 0 : Math.min(LABEL.lines, Math.ceil(longest / LABEL.line));
    CARD.height += this.lines ? 42 + 2 * LABEL.height * (this.lines - 1) : 0;
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
      this.sampled ? "" : `probability ${probability(rows.p[row])}.`,
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
      make("div", { class: "look" }, this.thumbnail(row), this.facts(row, given, suggested)),
      ...(this.lines ? this.labels(given, suggested) : []),
      make(
        "div",
        { class: "foot" },
        make("p", { class: "path" }, parted(rows.path[row], Math.max(0, Array.from(visible(rows.path[row])).length - PATH_END), { dir: "ltr" })),
        this.kind(row),
      ),
      this.actions(row, given, suggested, decision),
    );
  }

  verdict(row) {
    const decision = this.review.of(row);
    if (!decision) return "Not reviewed.";
    if (decision.action === "keep") return "Kept.";
    return decision.action === "drop" ? "Dropped." : `Changed to ${visible(this.classes[decision.label])}.`;
  }

  thumbnail(row) {
    const content = this.thumbnails.content[row];
    if (typeof content !== "string") {
      const why = content === undefined ? "no thumbnail in this file" : this.thumbnails.reasons[content];
      return make("div", { class: "thumbnail none" }, make("span", {}, visible(why)));
    }
    const image = make("img", { alt: "", decoding: "async", draggable: "false" });
    image.addEventListener("load", () => image.naturalWidth < 64 && image.classList.add("tiny"), { once: true });
    image.src = `data:${this.thumbnails.kind};base64,${content}`;
    return make("div", { class: "thumbnail" }, image);
  }

  facts(row, given, suggested) {
    const { rows } = this;
    const place = `#${rows.rank ? rows.rank[row] : row + 1}`;
    const numbers = this.sampled ? place : `${place} · P ${probability(rows.p[row])} · ${this.statistic} ${compact(rows.value[row])}`;
    return make(
      "div",
      { class: "facts" },
      ...(this.lines ? [] : this.labels(given, suggested)),
      make("p", { class: "numbers" }, numbers),
      this.points ? this.curve(row) : null,
    );
  }

  labels(given, suggested) {
    const most = LABEL.line * LABEL.lines - 4;
    const name = (text, other, kind) =>
      widthOf(text) <= most
        ? nameOf(text, { class: kind })
        : make("bdi", { class: kind, title: visible(text) }, shortened(text, other ?? "", widthOf(text) > text.length ? most / 2 : most));
    const label = (what, ...content) => make("p", { class: "label" }, make("span", { class: "what" }, what), ...content);
    return [
      label("given", name(given, suggested, "given")),
      label("suggested", suggested === null ? make("span", { class: "what" }, "–") : name(suggested, given, "suggested")),
    ];
  }

  kind(row) {
    const kind = this.rows.kind[row];
    return kind < 0 ? null : make("span", { class: "kind" }, visible(this.kinds[kind]));
  }

  curve(row) {
    const own = this.own.subarray(row * this.points, (row + 1) * this.points);
    const label = this.rows.given[row];
    const typical = this.typical.subarray(label * this.points, (label + 1) * this.points);
    const title = `Its loss by epoch (strong line), and the median of all labeled ${visible(this.classes[label])}`;
    return curveChart(own, typical, CURVE.width, CURVE.height, title);
  }

  actions(row, given, suggested, decision) {
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
      suggested === null ? null : button("suggested", `${changeTo(suggested)} (C)`, toSuggested, "→ ", parted(suggested, differsAt(suggested, given, 8))),
      other === null
        ? button("other", "Choose another label (O)", false, "Other…")
        : button("other", changeTo(other), true, "→ ", parted(other, differsAt(other, given, 8))),
      button("drop", "Drop the image (D)", decision && decision.action === "drop", "Drop"),
    );
  }
}
