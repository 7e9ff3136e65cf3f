// One suspicious sample as a card: its image, its labels, what can be decided.

const CURVE = { width: 150, height: 46 };
const LABEL = { line: 17, lines: 3, height: 20 }; // characters in a line of the narrowest card
const KEYS = { keep: "K", suggested: "C", other: "O", drop: "D" };
const ANSWER_KEYS = { keep: "R", wrong: "W", other: "O", skip: "S" };
const VERDICTS = { keep: "Kept.", drop: "Dropped.", wrong: "Wrong.", skip: "Unsure." };
// Characters of full width count twice.
const widthOf = (text) => Array.from(text).reduce((sum, character) => sum + (character > "\u2e7f" ? 2 : 1), 0);

// Where images come from: this file, or the server. Each function returns an address, or { why } there is none.
const imagesOf = ({ rows, thumbnails, examples, server }) => {
  const inFile = (content) => `data:${thumbnails.kind};base64,${content}`;
  if (server) {
    return {
      preview: (row) => `preview/${rows.sample[row]}`,
      whole: (row) => `image/${rows.sample[row]}`,
      example: (at) => `preview/${examples.samples[at]}`,
    };
  }
  const preview = (row) => {
    const content = thumbnails.content[row];
    if (typeof content === "string") return inFile(content);
    return { why: content === undefined ? "no thumbnail in this file" : thumbnails.reasons[content] };
  };
  return { preview, whole: preview, example: (at) => (examples.content[at] ? inFile(examples.content[at]) : { why: "" }) };
};

// Returns an image in a box, or a box that says why there is none.
const picture = (source, attributes = {}) => {
  const box = make("div", { class: "thumbnail", ...attributes });
  const explain = (why) => {
    box.classList.add("none");
    box.replaceChildren(make("span", {}, visible(why)));
  };
  if (typeof source !== "string") {
    explain(source.why);
    return box;
  }
  const image = make("img", { alt: "", decoding: "async", draggable: "false" });
  image.addEventListener("error", () => reasonOf(source).then(explain), { once: true });
  image.src = source;
  box.append(image);
  return box;
};
const reasonOf = (source) =>
  source.startsWith("data:")
    ? Promise.resolve("cannot be shown")
    : fetch(source).then((answer) => (answer.ok ? "cannot be shown" : answer.text()), () => "the server does not answer");

class Cards {
  constructor({ rows, classes, kinds, curves, examples, images, statistic, sampled, dropped, review }) {
    Object.assign(this, { rows, classes, kinds, examples, images, statistic, sampled, review, keys: sampled ? ANSWER_KEYS : KEYS });
    this.toDrop = dropped ? `Drop: the image moves to ${visible(dropped)} (D)` : "Drop the image from the data (D)";
    this.points = curves.points;
    this.own = bytesOf(curves.samples);
    this.typical = bytesOf(curves.classes);
    this.exceptions = new Set();
    // All cards have as many lines for a label as the longest takes.
    const used = [...new Set([...rows.given, ...rows.suggested])].filter((name) => name >= 0);
    const longest = Math.max(1, ...used.map((name) => widthOf(visible(classes[name]))));
    CARD.height += 2 * LABEL.height * (Math.min(LABEL.lines, Math.ceil(longest / LABEL.line)) - 1);
  }

  given(row) {
    return this.classes[this.rows.given[row]];
  }

  suggested(row) {
    return this.rows.suggested[row] < 0 ? null : this.classes[this.rows.suggested[row]];
  }

  // Returns what stands in the place of a suggested label where there is none.
  nothing(row) {
    return this.kinds[this.rows.kind[row]] === "no-class" ? "no class" : "–";
  }

  // position: where the card stands in the list of count that is shown.
  build(row, position, count) {
    const { rows } = this;
    const [given, suggested] = [this.given(row), this.suggested(row)];
    const decision = this.review.of(row);
    const heard = [
      `${visible(rows.path[row])}:`,
      `given ${visible(given)},`,
      ...(this.sampled ? [] : [suggested === null ? (this.nothing(row) === "–" ? "nothing suggested," : "belongs to none of the classes,") : `suggested ${visible(suggested)},`, `probability ${probability(rows.p[row])}.`]),
      this.verdict(row),
    ];
    const isException = this.exceptions.has(row);
    const mark = "Mark as an exception (X)";
    const exception = { type: "button", class: "exception", title: mark, "aria-label": mark, tabindex: -1, "data-action": "exception" };
    return make(
      "article",
      {
        class: `card ${decision ? decision.action : "open"}${isException ? " marked" : ""}`,
        tabindex: -1,
        "data-row": row,
        "aria-posinset": position + 1,
        "aria-setsize": count,
        "aria-label": heard.join(" "),
      },
      picture(this.images.preview(row), { title: "Show it large (Space)" }),
      make("button", { ...exception, "aria-pressed": isException ? "true" : "false" }, "✕"),
      ...this.labels(given, suggested, this.nothing(row)),
      make(
        "div",
        { class: "foot" },
        make("span", { class: "numbers" }, this.numbers(row)),
        make("p", { class: "path" }, nameOf(rows.path[row], { dir: "ltr" })),
        this.kind(row),
      ),
      this.actions(row),
    );
  }

  verdict(row) {
    const decision = this.review.of(row);
    if (!decision) return "Not reviewed.";
    if (decision.action === "keep" && this.sampled) return "Right.";
    return VERDICTS[decision.action] ?? `${this.sampled ? "Wrong: it is" : "Changed to"} ${visible(this.classes[decision.label])}.`;
  }

  numbers(row) {
    return `#${this.rows.rank ? this.rows.rank[row] : row + 1}${this.sampled ? "" : ` · P ${probability(this.rows.p[row])}`}`;
  }

  labels(given, suggested, nothing) {
    const most = LABEL.line * LABEL.lines - 3;
    const name = (text, other, kind) =>
      widthOf(text) <= most
        ? contrasted(text, other ?? "", { class: kind })
        : make("bdi", { class: kind, title: visible(text) }, shortened(text, other ?? "", widthOf(text) > text.length ? most / 2 : most));
    const label = (what, ...content) => make("p", { class: "label" }, make("span", { class: "what" }, what), ...content);
    const first = label("given", name(given, suggested, "given"));
    if (this.sampled) return [first];
    return [
      first,
      label("suggested", suggested === null ? make("span", { class: "what" }, nothing) : name(suggested, given, "suggested")),
    ];
  }

  kind(row) {
    const kind = this.rows.kind[row];
    return kind < 0 || this.kinds[kind] === "mislabeled" ? null : make("span", { class: "kind" }, visible(this.kinds[kind]));
  }

  // Returns examples of the given or the suggested class (0, 1), those near the image where they are known.
  near(row, which) {
    const label = which ? this.rows.suggested[row] : this.rows.given[row];
    const found = this.examples.rows[row]?.[which] ?? this.examples.classes[label] ?? [];
    return found.map((at) => this.images.example(at)).filter((source) => source.why !== "");
  }

  details(row) {
    const { rows } = this;
    const value = this.sampled ? null : make("p", {}, `${this.statistic} ${compact(rows.value[row])}`);
    return [this.points ? this.curve(row) : null, make("p", {}, this.numbers(row)), value, make("p", { class: "whole-path" }, nameOf(rows.path[row])), this.kind(row)]
      .filter((node) => node !== null);
  }

  curve(row) {
    const own = this.own.subarray(row * this.points, (row + 1) * this.points);
    const label = this.rows.given[row];
    const typical = this.typical.subarray(label * this.points, (label + 1) * this.points);
    const title = `Its loss by epoch (strong line), and the median of all labeled ${visible(this.classes[label])}`;
    return curveChart(own, typical, CURVE.width, CURVE.height, title);
  }

  // What can be decided; on a card in a few letters, else with the keys.
  actions(row, isCard = true) {
    const [given, suggested, decision] = [this.given(row), this.suggested(row), this.review.of(row)];
    const change = decision && decision.action === "change";
    const toSuggested = change && decision.label === this.rows.suggested[row];
    const other = change && !toSuggested ? this.classes[decision.label] : null;
    const button = (action, says, pressed, ...content) =>
      make(
        "button",
        { type: "button", "data-action": action, title: says, "aria-label": says, tabindex: -1, "aria-pressed": pressed ? "true" : "false" },
        ...content,
        isCard ? null : make("kbd", { class: "keyboard" }, this.keys[action]),
      );
    const changeTo = (name) => `Change to ${visible(name)}`;
    const simple = (action, text, says) => button(action, says, decision?.action === action, text);
    return make(
      "div",
      { class: "actions" },
      suggested === null ? null : button("suggested", `${changeTo(suggested)} (C)`, toSuggested, "→ ", parted(suggested, differsAt(suggested, given, 8))),
      this.sampled ? simple("keep", "Right", "The given label is right (R)") : simple("keep", "Keep", "Keep the given label (K)"),
      this.sampled ? simple("wrong", "Wrong", "The given label is wrong (W)") : null,
      other === null
        ? button("other", "Choose another label (O)", false, "Other…")
        : button("other", changeTo(other), true, "→ ", parted(other, differsAt(other, given, 8))),
      this.sampled ? simple("skip", "Unsure", "Unsure (S)") : simple("drop", "Drop", this.toDrop),
    );
  }
}
