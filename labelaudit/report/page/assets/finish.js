// How far the review is, how long it will take, and its end: what was decided, and how that gets into the data.

const PACE = { steps: 20, least: 3, longest: 60 };

class Progress {
  constructor() {
    Object.assign(this, { times: [], last: performance.now() });
  }

  decided(rows) {
    const now = performance.now();
    this.times.push([Math.min(PACE.longest, (now - this.last) / 1000), rows]);
    this.times.splice(0, Math.max(0, this.times.length - PACE.steps));
    this.last = now;
  }

  // Returns how long the rest takes at the pace of the last decisions, in words.
  left(open) {
    if (this.times.length < PACE.least || !open) return "";
    const [seconds, rows] = this.times.reduce(([time, sum], [one, some]) => [time + one, sum + some], [0, 0]);
    const minutes = (open * seconds) / rows / 60;
    if (minutes < 1) return " · less than a minute left";
    return ` · about ${minutes < 90 ? count(Math.round(minutes), "minute") : count(Math.round(minutes / 60), "hour")} left`;
  }
}

const tallyOf = ({ keep, change, drop, wrong, skip }, isSample) =>
  isSample
    ? `${whole.format(keep)} right · ${whole.format(change + wrong)} wrong${skip ? ` · ${whole.format(skip)} unsure` : ""}`
    : [`${whole.format(change)} changed`, `${whole.format(keep)} kept`, drop ? `${whole.format(drop)} dropped` : ""].filter(Boolean).join(" · ");

// What becomes of the data: the changes as [item, label], and all in the words of the plan. Of an image that is dropped
// no other decision counts.
const outcomeOf = (review) => {
  const { sample, all } = review.rows;
  const of = (...actions) => [...review.decisions].filter(([, { action }]) => actions.includes(action));
  const gone = new Set(of("drop", "drop-copy").map(([item]) => sample[item]));
  const isLeft = ([item]) => !gone.has(sample[item]);
  const changed = of("change").map(([item, { label }]) => [item, label]);
  const inherited = all.map((item) => [item, review.inherited(item)]).filter(([, label]) => label !== null).filter(isLeft);
  const changes = [...changed.filter(isLeft), ...inherited];
  const both = changed.length + inherited.length - changes.length;
  const said = inherited.length ? ` (${whole.format(inherited.length)} as decided for a dropped copy)` : "";
  const also = both ? `; ${count(both, "changed image is", "changed images are")} dropped as ${both === 1 ? "a copy" : "copies"}` : "";
  const kept = of("keep").filter(isLeft).length;
  return { changes, text: `${count(changes.length, "label is", "labels are")} changed${said}, ${count(gone.size, "image")} dropped, ${whole.format(kept)} kept${also}` };
};

const MOST_PAIRS = 8;

// The decisions when files were moved last, as text.
let applied = null;
const textOf = ({ decisions }) => JSON.stringify([...decisions].sort());
const showApplied = (isApplied) => {
  if (byId("applied")) byId("applied").hidden = !isApplied;
  byId("to-apply").hidden = isApplied;
};

const showEnd = ({ rows, classes, review, command, relabel, sampled, copies }) => {
  const [open, { changes, text }] = [rows.all.length - review.count, outcomeOf(review)];
  byId("end-title").textContent = !rows.all.length && copies.decided ? `${copies.decided} reviewed` : open ? `${count(review.count, "label")} reviewed, ${whole.format(open)} to go` : `All ${count(review.count, "label")} reviewed`;
  byId("end-counts").textContent = sampled ? tallyOf(review.counts(), sampled) : [`On this page: ${text}`, copies.apart].filter(Boolean).join(" · ");
  byId("end-open").textContent = copies.open ? `${count(copies.open, "group")} of copies undecided (tab Duplicates)` : "";
  const pairs = new Map();
  for (const [item, label] of changes) {
    const pair = `${review.rows.given[item]} ${label}`;
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  const sorted = [...pairs].sort(([, one], [, other]) => other - one);
  const lines = sorted.slice(0, MOST_PAIRS).map(([pair, number]) => {
    const [given, label] = pair.split(" ").map((name) => classes[name]);
    return make("li", {}, nameOf(given), " → ", nameOf(label), ` (${whole.format(number)})`);
  });
  if (sorted.length > MOST_PAIRS) lines.push(make("li", {}, `… and ${count(sorted.length - MOST_PAIRS, "more pair")}`));
  byId("end-pairs").replaceChildren(...lines);
  byId("command").textContent = command;
  if (byId("wrong")) {
    const { change } = review.counts();
    byId("wrong").hidden = !change;
    byId("wrong-text").textContent = `To put ${change === 1 ? "the right label" : `the ${whole.format(change)} right labels`} into the data:`;
    byId("relabel").textContent = relabel;
  }
  showApplied(applied === textOf(review));
  for (const id of ["plan-text", "plan-list", "apply"]) if (byId(id)) byId(id).hidden = true;
  byId("end").open || byId("end").showModal();
};

const MOST_MOVES = 200;
// Returns where files go, one line for each; dropped ones go to a folder beside the data.
const moveLines = (steps) => {
  const lines = steps.slice(0, MOST_MOVES).map(({ path, target, action, inherited, renamed }) => {
    const remarks = [action === "drop" && "dropped", inherited && "as its copy", renamed && "renamed, since the name is taken"].filter(Boolean).join("; ");
    return make("li", {}, nameOf(path), " → ", nameOf(target.replace("../", "")), remarks ? ` (${remarks})` : "");
  });
  if (steps.length > MOST_MOVES) lines.push(make("li", {}, `… and ${whole.format(steps.length - MOST_MOVES)} more`));
  return lines;
};

const offerPlan = (review) => {
  let plan = null;
  const say = (text) => {
    byId("plan-text").textContent = text;
    byId("plan-text").hidden = false;
  };
  const ask = async (options) => {
    try {
      const answer = await fetch("plan", options);
      if (answer.ok) return await answer.json();
      say(await answer.text());
    } catch {
      say("The server does not answer. Start labelaudit review again.");
    }
    for (const id of ["plan-list", "apply"]) byId(id).hidden = true;
    return null;
  };
  byId("plan").addEventListener("click", async () => {
    await review.store.exchange(); // the plan is of what is written
    plan = await ask({});
    if (!plan) return;
    const refused = plan.refused.slice(0, 5).map(({ path, reason }) => ` Refused: ${visible(path)} ${visible(reason)}.`);
    const made = plan.new_classes.length ? ` New classes: ${plan.new_classes.map(visible).join(", ")}.` : "";
    say(`The plan, of all that was decided in this audit and its sample: ${plan.summary}.${made}${refused.join("")}`);
    byId("plan-list").replaceChildren(...moveLines(plan.steps));
    for (const id of ["plan-list", "apply"]) byId(id).hidden = !plan.steps.length;
    byId("apply").textContent = `Move ${count(plan.change + plan.drop, "file")}`;
  });
  byId("apply").addEventListener("click", async () => {
    const body = JSON.stringify({ plan: plan.plan });
    const done = await ask({ method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (!done) return;
    const dropped = plan.drop ? ` ${count(plan.drop, "dropped image is", "dropped images are")} in ${visible(done.dropped_to)}.` : "";
    byId("applied-text").textContent = `Moved ${count(done.moved, "file")}.${dropped}`;
    byId("undo-command").textContent = done.undo;
    byId("again-command").textContent = done.again;
    applied = textOf(review);
    showApplied(true);
  });
};
