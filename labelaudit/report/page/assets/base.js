// Shared helpers: building elements, numbers as text, bytes from Base64.
// Text from outside only ever becomes a text node or an attribute's value: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const draw = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
const byId = (id) => document.getElementById(id);

// Writes invisible and direction characters as escapes: they would make one name look like another.
// The two joiners stay: some scripts need them.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;
const visible = (text) =>
  text.replace(UNSEEN, (character) =>
    character === "\u200c" || character === "\u200d"
      ? character
      : `\\x${character.codePointAt(0).toString(16).padStart(2, "0")}`,
  );
const nameOf = (text, attributes = {}) => {
  const shown = visible(text);
  return make("bdi", { title: shown, ...attributes }, shown);
};

// The same, with the part of a long name in bold by which it differs from another.
const contrasted = (text, other, attributes) => {
  const [one, two] = [Array.from(visible(text)), Array.from(visible(other))];
  if (one.length < 20) return nameOf(text, attributes);
  let [start, end] = [0, one.length];
  while (start < end && one[start] === two[start]) start += 1;
  while (end > start && one[end - 1] === two[end - 1 + two.length - one.length]) end -= 1;
  const part = (from, to) => one.slice(from, to).join("");
  return make("bdi", attributes, make("span", {}, part(0, start)), part(start, end), make("span", {}, part(end)));
};

// A name on one line in two parts, split at the given character; the first part is cut first.
const parted = (text, at, attributes = {}) => {
  const shown = visible(text);
  const characters = Array.from(shown);
  const [start, end] = [characters.slice(0, at).join(""), characters.slice(at).join("")];
  return make("bdi", { title: shown, class: "parted", ...attributes }, make("span", {}, start), make("span", {}, end));
};
// Returns where a name begins to differ from another; earlier where the rest would be short.
const differsAt = (text, other, rest) => {
  const [one, two] = [Array.from(visible(text)), Array.from(visible(other))];
  let at = 0;
  while (at < one.length && one[at] === two[at]) at += 1;
  return Math.max(0, Math.min(at, one.length - rest));
};
// Returns a name in at most so many characters, with the part that differs from another one.
const shortened = (text, other, most) => {
  const characters = Array.from(visible(text));
  if (characters.length <= most) return characters.join("");
  const at = differsAt(text, other, most - 1);
  if (at < most / 2) return `${characters.slice(0, most - 1).join("")}…`;
  const isEnd = at + most - 1 >= characters.length;
  return isEnd ? `…${characters.slice(at).join("")}` : `…${characters.slice(at, at + most - 2).join("")}…`;
};

const whole = new Intl.NumberFormat("en");
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;
const probability = (p) => (p === null ? "–" : p > 0.9995 ? ">0.999" : p.toFixed(3));
const compact = (value) =>
  value === null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();

const bytesOf = (base64) => {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
};

// Returns the number of a class; a new name gets one.
const numberOf = (classes, name) => {
  const at = classes.indexOf(name);
  return at >= 0 ? at : classes.push(name) - 1;
};
const count = (number, noun, nouns = `${noun}s`) => `${whole.format(number)} ${number === 1 ? noun : nouns}`;

// Runs a function once at the next frame, however often it is called until then.
const onceAFrame = (action) => {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      action();
    });
  };
};
