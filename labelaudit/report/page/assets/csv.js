// corrections.csv: RFC 4180 in UTF-8.

const CORRECTION_COLUMNS = ["path", "given_label", "action", "label", "sha256", "sample"];

// A spreadsheet runs a cell that begins like a formula. Such a cell gets one apostrophe in front, also where there are
// apostrophes already; readers remove exactly one. The same holds after a semicolon or a line end inside a cell, since
// some spreadsheets split there.
const FORMULA = /(?<![^;\r\n])(?='*[=+\-@\t\r\n＝＋－＠])/g;
const sheetSafe = (text) => text.replace(FORMULA, "'");
const csvCell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const csvLine = (cells) => `${cells.map((cell) => csvCell(sheetSafe(String(cell)))).join(",")}\r\n`;

const correctionsCsv = (rows, classes, review) => {
  const lines = [csvLine(CORRECTION_COLUMNS)];
  for (const row of rows.all) {
    const decision = review.of(row);
    if (!decision) continue;
    const label = decision.action === "drop" ? "" : classes[decision.label];
    lines.push(
      csvLine([rows.path[row], classes[rows.given[row]], decision.action, label, rows.sha256(row), rows.sample[row]]),
    );
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

// Returns changes for these rows from a decisions.csv or a corrections.csv; null for another file.
const changesIn = (text, rows, classes, store) => {
  const lines = csvRows(text);
  if (!lines.length || !["path", "given_label", "action", "label", "sha256"].every((name) => name in lines[0])) return null;
  const keyed = new Map(lines.map((line) => [`${line.sha256.toLowerCase()}:${line.given_label}`, line]));
  const changes = [];
  for (const row of rows.all) {
    const line = keyed.get(`${rows.sha256(row)}:${classes[rows.given[row]]}`);
    const decision = line ? store.read(row, line.action, line.label) : undefined;
    if (decision) changes.push([row, decision]);
  }
  return changes;
};
