// decisions.csv: RFC 4180 in UTF-8.

const DECISION_COLUMNS = ["time", "reviewer", "path", "given_label", "action", "label", "sha256"];

// A spreadsheet runs a cell that begins like a formula. Such a cell gets one apostrophe in front, also where there are
// apostrophes already; readers remove exactly one. The same holds after a semicolon or a line end inside a cell, since
// some spreadsheets split there.
const FORMULA = /(?<![^;\r\n])(?='*[=+\-@\t\r\n＝＋－＠])/g;
const sheetSafe = (text) => text.replace(FORMULA, "'");
const csvCell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const csvLine = (cells) => `${cells.map((cell) => csvCell(sheetSafe(String(cell)))).join(",")}\r\n`;

const decisionsCsv = (rows, classes, review) => {
  const lines = [csvLine(DECISION_COLUMNS)];
  for (const row of rows.all) {
    const decision = review.of(row);
    if (!decision) continue;
    const [action, label] = review.store.words(row, decision);
    const time = new Date(review.store.timeOf(row)).toISOString().replace("Z", "+00:00");
    lines.push(csvLine([time, "", rows.path[row], classes[rows.given[row]], action, label, rows.sha256(row)]));
  }
  return lines.join("");
};

const download = (name, text) => {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
};

const plain = (cell) => cell.replace(/(?<![^;\r\n])'(?='*[=+\-@\t\r\n＝＋－＠])/g, "");

// Returns the rows of a CSV with a header as objects.
const csvRows = (text) => {
  const lines = [[]];
  for (const [, quoted, bare, end] of text.replace(/^\ufeff/, "").matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    lines.at(-1).push(plain(quoted === undefined ? bare : quoted.replaceAll('""', '"')));
    if (end !== ",") lines.push([]);
  }
  const [header, ...rest] = lines.filter((cells) => cells.some((cell) => cell !== ""));
  return rest.map((cells) => Object.fromEntries((header ?? []).map((name, at) => [name, cells[at] ?? ""])));
};

// Returns changes for these rows from a decisions.csv, or another CSV with its last columns; null for another file.
const changesIn = (text, rows, classes, store) => {
  const lines = csvRows(text);
  if (!lines.length || !["path", "given_label", "action", "label", "sha256"].every((name) => name in lines[0])) return null;
  const isOfCopy = ({ action, label }) => COPY_ACTIONS.includes(action) || (action === "undo" && label);
  const about = (line) => (isOfCopy(line) ? `:${line.label}:${line.path}` : "");
  const keyed = new Map(lines.map((line) => [`${line.sha256.toLowerCase()}:${line.given_label}${about(line)}`, line]));
  const changes = [];
  for (const row of rows.all) {
    const copy = rows.group(row) ? `:${rows.group(row)}:${rows.path[row]}` : "";
    const line = keyed.get(`${rows.sha256(row)}:${classes[rows.given[row]]}${copy}`);
    const decision = line ? store.read(row, line.action, line.label) : undefined;
    if (decision) changes.push([row, decision]);
  }
  return changes;
};
