// Makes the page quicker to use. Everything but the live view and copying works without it.
"use strict";

const page = (id) => document.getElementById(id);
const details = page("details");
const columns = page("columns");
const said = page("said");
const MOST_LIVE_ROWS = 500;

// As the server shows texts: nothing invisible, nothing that turns the text around it.
const TRICKS = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
const plain = (text) => String(text ?? "").replace(TRICKS,
  (one) => `⟨U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
const short = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
const tell = (text) => { if (said) said.textContent = text; };

// Theme

page("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("opstrail-theme", root.dataset.theme); } catch { /* for this page */ }
});

// Narrow screens begin with the events

if (matchMedia("(max-width: 1000px)").matches) page("facets")?.removeAttribute("open");

// Details beside the list

let opened = 0;

async function open(link, { push = true } = {}) {
  const turn = ++opened;
  const url = new URL(link, location.href);
  let answer;
  try {
    answer = await fetch(`/details${url.search}`, { credentials: "same-origin" });
  } catch {
    tell("The server does not answer.");
    return;
  }
  if (answer.status === 401) { location.href = `/sign-in?to=${encodeURIComponent(url.search.slice(1))}`; return; }
  // The server's own page, in which every text is escaped.
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (turn !== opened) return;
  details.replaceChildren(...parsed.body.childNodes);
  details.hidden = false;
  columns.classList.add("with-details");
  if (push) history.pushState({}, "", url.pathname + url.search);
  choose(url.searchParams.get("event"));
  details.focus({ preventScroll: !matchMedia("(max-width: 1000px)").matches });
  details.scrollTop = 0;
}

function close({ push = true } = {}) {
  if (!details || details.hidden) return;
  opened += 1;
  details.hidden = true;
  details.replaceChildren();
  columns.classList.remove("with-details");
  const url = new URL(location.href);
  url.searchParams.delete("event");
  if (push) history.pushState({}, "", url.pathname + url.search);
  document.querySelector("tr.chosen a.open")?.focus();
}

function choose(id) {
  for (const row of document.querySelectorAll("#rows tr")) {
    row.classList.toggle("chosen", row.dataset.id === id);
  }
}

addEventListener("popstate", () => {
  if (new URL(location.href).searchParams.has("event")) open(location.href, { push: false });
  else close({ push: false });
});

document.addEventListener("click", async (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const target = event.target.closest("a.open, a.close, button");
  if (!target) return;
  if (target.matches("a.open")) {
    event.preventDefault();
    await open(target.href);
  } else if (target.matches("a.close")) {
    event.preventDefault();
    close();
  } else if (target.dataset.copy !== undefined) {
    await copy(target, target.dataset.copy);
  } else if (target.dataset.copyLink !== undefined) {
    await copy(target, new URL(target.dataset.copyLink, location.href).href);
  } else if (target.dataset.copyFrom !== undefined) {
    await copy(target, page(target.dataset.copyFrom).dataset.exact);
  }
});

async function copy(button, text) {
  const before = button.dataset.label ?? button.textContent;
  button.dataset.label = before;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed to copy";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

// Histogram: drag, or arrow keys with Shift, to choose a time

const histogram = page("histogram");
if (histogram) {
  const svg = histogram.querySelector("svg");
  const bars = [...svg.querySelectorAll("rect.bar")];
  const brush = page("brush");
  const out = page("brushed");
  const begin = Number(histogram.dataset.begin);
  const end = Number(histogram.dataset.end);
  const width = svg.viewBox.baseVal.width;
  const clock = (iso) => iso.replace("T", " ").replace(".000Z", "Z");

  const show = (from, to, text) => {
    brush.setAttribute("x", Math.min(from, to));
    brush.setAttribute("width", Math.abs(to - from));
    out.textContent = text;
  };
  const go = (since, until) => {
    const url = new URL(location.href);
    url.searchParams.set("since", since);
    url.searchParams.set("until", until);
    for (const name of ["cursor", "event", "all"]) url.searchParams.delete(name);
    location.href = url.pathname + url.search;
  };
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(width, Math.max(0, ((event.clientX - box.left) / box.width) * width));
  };
  const timeAt = (x) => new Date(begin + (x / width) * (end - begin)).toISOString();

  let from = null;
  let dragged = false;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = place(event);
    dragged = false;
  });
  addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = place(event);
    if (Math.abs(to - from) > 4) dragged = true;
    if (dragged) {
      const [low, high] = from < to ? [from, to] : [to, from];
      show(low, high, `${clock(timeAt(low))} to ${clock(timeAt(high))}`);
    }
  });
  addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = place(event);
    const [low, high] = from < to ? [from, to] : [to, from];
    from = null;
    if (dragged) go(timeAt(low), timeAt(high));
  });
  // A drag ends on a bar, which is a link: not the one that was meant.
  svg.addEventListener("click", (event) => { if (dragged) event.preventDefault(); }, true);
  svg.addEventListener("dragstart", (event) => event.preventDefault());

  let at = -1;
  let anchor = -1;
  histogram.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      at = Math.min(bars.length - 1, Math.max(0, at < 0 ? (step > 0 ? 0 : bars.length - 1) : at + step));
      if (!event.shiftKey || anchor < 0) anchor = at;
      const [low, high] = anchor < at ? [anchor, at] : [at, anchor];
      const left = Number(bars[low].getAttribute("x"));
      const right = Number(bars[high].getAttribute("x")) + Number(bars[high].getAttribute("width"));
      const count = bars.slice(low, high + 1).reduce((sum, bar) => sum + Number(bar.dataset.count), 0);
      show(left, right, `${count.toLocaleString("en")} events, ${clock(bars[low].dataset.begin)} to ${clock(bars[high].dataset.end)}`);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      event.stopPropagation();
      const [low, high] = anchor < at ? [anchor, at] : [at, anchor];
      go(bars[low].dataset.begin, bars[high].dataset.end);
    } else if (event.key === "Escape" && at >= 0) {
      event.stopPropagation();
      at = anchor = -1;
      show(0, 0, "");
    }
  });
}

// Live view

const live = page("live");
let stream = null;

function cell(name, parts) {
  const td = document.createElement("td");
  td.className = name;
  for (const [tag, text] of parts) {
    if (!text) continue;
    const element = tag ? document.createElement(tag) : document.createTextNode("");
    element.textContent = plain(text);
    if (td.childNodes.length) td.append(" ");
    td.append(element);
  }
  return td;
}

function rowOf(event) {
  const tr = document.createElement("tr");
  tr.dataset.id = event.id;
  tr.className = "new";
  const url = new URL(location.href);
  url.searchParams.set("event", event.id);
  url.searchParams.delete("cursor");
  const link = document.createElement("a");
  link.className = "open";
  link.href = url.pathname + url.search;
  link.textContent = short(plain(event.action), 80);
  const did = cell("did", []);
  const source = document.createElement("small");
  source.textContent = plain(event.source.replace(".amazonaws.com", ""));
  did.append(link, " ", source);
  tr.append(
    cell("when", [["", (event.time ?? "no time").replace("T", " ")]]),
    cell("who", [["b", short(event.who.name, 60)], ["small", event.who.kind]]),
    cell("from", [["", short(event.address ?? "", 60)]]),
    did,
    cell("what", [["", short(event.targets.slice(0, 3).join(", "), 120)]]),
    cell("where", [["b", event.accountName ?? event.account], ["small", event.region]]),
    cell("stack", [["", event.stack ? event.stack.name ?? event.stack.id : ""]]),
    cell(`outcome ${event.outcome}`, [["", event.outcome], ["small", event.errorCode]]),
  );
  return tr;
}

function follow() {
  stream = new EventSource(live.dataset.url);
  live.setAttribute("aria-pressed", "true");
  tell("Live: events appear as they are stored.");
  let arrived = 0;
  stream.addEventListener("row", (message) => {
    const rows = page("rows");
    const event = JSON.parse(message.data);
    if ([...rows.children].some((row) => row.dataset.id === event.id)) return;
    rows.prepend(rowOf(event));
    arrived += 1;
    tell(`Live: ${arrived.toLocaleString("en")} event${arrived === 1 ? "" : "s"} came in.`);
    while (rows.children.length > MOST_LIVE_ROWS) rows.lastElementChild.remove();
  });
  for (const kind of ["gap", "away", "ended"]) {
    stream.addEventListener(kind, (message) => {
      tell(`Live: ${plain(JSON.parse(message.data).why)}`);
      if (kind === "ended") unfollow(false);
    });
  }
  stream.onerror = () => {
    if (stream?.readyState === EventSource.CLOSED) { tell("Live: the server refuses."); unfollow(false); }
  };
}

function unfollow(silent = true) {
  stream?.close();
  stream = null;
  live.setAttribute("aria-pressed", "false");
  if (silent) tell("");
}

live?.addEventListener("click", () => (stream ? unfollow() : follow()));

// Keys

const help = page("help");
page("keys")?.addEventListener("click", () => help.showModal());

function move(step) {
  const links = [...document.querySelectorAll("#rows a.open")];
  if (!links.length) return;
  const here = links.indexOf(document.activeElement);
  const chosen = links.findIndex((link) => link.closest("tr").classList.contains("chosen"));
  const from = here >= 0 ? here : chosen;
  const next = links[Math.min(links.length - 1, Math.max(0, from + step))];
  next.focus();
  if (details && !details.hidden) open(next.href).then(() => next.focus());
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches?.("input, select, textarea");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (!help?.open) close();
    return;
  }
  if (typing || help?.open) return;
  const act = {
    "/": () => page("q")?.focus(),
    j: () => move(1),
    k: () => move(-1),
    n: () => page("next")?.click(),
    l: () => live?.click(),
    h: () => histogram?.focus(),
    "?": () => help?.showModal(),
  }[event.key];
  if (act) { event.preventDefault(); act(); }
});
