// Search, filters and the date picker. Every page reads without it. Text goes in as text: nothing here writes markup.
"use strict";

function element(name, text, attributes) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
}

const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

function filterList(list) {
  const items = [...list.querySelectorAll("[data-item]")];
  const form = list.closest("main").querySelector("[data-filters]");
  const count = list.closest("main").querySelector("[data-count]");
  if (!form || items.length < 2) return;
  const facets = new Map();
  const said = items.map((item) => JSON.parse(item.dataset.facets));
  const texts = items.map((item) => item.textContent.toLowerCase());
  for (const one of said) for (const [name, values] of Object.entries(one)) {
    if (!facets.has(name)) facets.set(name, new Map());
    for (const value of values) facets.get(name).set(value, (facets.get(name).get(value) || 0) + 1);
  }
  const chosen = new Map();
  for (const [name, values] of facets) {
    if (values.size < 2 && list.dataset.list !== "models") continue;
    const group = element("fieldset");
    group.append(element("legend", name));
    for (const value of [...values.keys()].sort()) {
      const label = element("label");
      const box = element("input", "", { type: "checkbox", "data-facet": name, value });
      label.append(box, `${value} (${values.get(value)})`);
      group.append(label);
    }
    chosen.set(name, group);
    form.append(group);
  }
  const label = element("label", "Words", { class: "words" });
  const words = element("input", "", { type: "search", autocomplete: "off" });
  label.append(words);
  form.append(label);
  function show() {
    const asked = wordsOf(words.value);
    let seen = 0;
    items.forEach((item, at) => {
      let keep = asked.every((word) => texts[at].includes(word));
      for (const [name, group] of chosen) {
        const ticked = [...group.querySelectorAll("input:checked")].map((box) => box.value);
        keep = keep && (!ticked.length || ticked.some((value) => (said[at][name] || []).includes(value)));
      }
      item.hidden = !keep;
      seen += keep ? 1 : 0;
    });
    count.textContent = seen === items.length ? "" : `${seen} of ${items.length} ${list.dataset.list}`;
    count.hidden = seen === items.length;
  }
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}

function marked(text, asked) {
  const found = element("p");
  const lower = text.toLowerCase();
  let first = Math.max(0, Math.min(...asked.map((word) => lower.indexOf(word)).filter((at) => at >= 0), text.length) - 60);
  if (first) first = text.indexOf(" ", first) + 1 || first;
  let rest = (first ? "… " : "") + text.slice(first, first + 240) + (text.length > first + 240 ? "…" : "");
  while (rest) {
    const here = rest.toLowerCase();
    const hits = asked.map((word) => [here.indexOf(word), word.length]).filter(([at]) => at >= 0);
    if (!hits.length) break;
    const [at, length] = hits.sort((a, b) => a[0] - b[0] || b[1] - a[1])[0];
    found.append(rest.slice(0, at), element("mark", rest.slice(at, at + length)));
    rest = rest.slice(at + length);
  }
  found.append(rest);
  return found;
}

// Documents come in parts, the newest first, once somebody searches: thousands of versions are more than a page needs.
function search(section) {
  const input = section.querySelector("input");
  const list = section.querySelector("[data-search-results]");
  const count = section.querySelector("[data-search-count]");
  const parts = self.PORTAL_PARTS || [];
  const documents = [];
  let asked = [], found = [], read = 0, lost = 0, begun = false, drawing = false;
  const matches = (one) => asked.every((word) => one.all.includes(word));
  function draw() {
    drawing = false;
    const title = (one) => asked.every((word) => one.t.toLowerCase().includes(word));
    const first = found.filter(title);
    const shown = first.length < 50 ? first.concat(found.filter((one) => !title(one)).slice(0, 50 - first.length)) : first.slice(0, 50);
    list.replaceChildren(...shown.map((one) => {
      const item = element("li");
      item.append(element("a", one.t, { href: one.u }), ` ${one.k} of ${one.m}`, marked(one.x, asked));
      return item;
    }));
    const more = found.length > 50 ? ", the first 50 are shown" : "";
    const yet = read < parts.length ? ` so far, ${read} of ${parts.length} parts are read` : "";
    const gone = lost ? `; ${lost} parts of the site could not be read` : "";
    count.textContent = asked.length ? `${found.length} found${yet}${more}${gone}` : "";
  }
  function soon() {
    if (!drawing) requestAnimationFrame(draw);
    drawing = true;
  }
  function take() {
    const fresh = self.PORTAL.splice(0).reverse();
    for (const one of fresh) one.all = `${one.m} ${one.k} ${one.t} ${one.x}`.toLowerCase();
    documents.push(...fresh);
    if (asked.length) found.push(...fresh.filter(matches));
    soon();
    if (++read < parts.length) load();
  }
  function load() {
    const script = element("script", "", { src: parts[read] });
    script.onload = take;
    script.onerror = () => { lost += 1; take(); };
    document.head.append(script);
  }
  function show() {
    if (!begun && parts.length) load();
    begun = true;
    asked = wordsOf(input.value);
    found = asked.length ? documents.filter(matches) : [];
    draw();
  }
  section.hidden = false;
  input.addEventListener("input", show);
  const wanted = new URLSearchParams(location.search).get("q");
  if (wanted) {
    input.value = wanted;
    show();
    section.scrollIntoView();
    input.focus();
  }
}

function moments(form) {
  const list = document.querySelector("[data-moments-list]");
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const day = form.querySelector("input").value;
    const item = [...list.children].find((one) => day && one.dataset.at <= day);
    form.querySelector("[data-moments-none]").textContent = item ? "" : "Nothing was released by then.";
    if (item) location.href = item.querySelector("a").href;
  });
}

document.querySelectorAll("[data-list]").forEach(filterList);
document.querySelectorAll("[data-search]").forEach(search);
document.querySelectorAll("[data-moments]").forEach(moments);
